"""Writes the objects of files into a cluster: all are checked by the API before the first is written."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from plait.api.decode import decode
from plait.app.objects.faults import fault_lines, problem_lines
from plait.app.objects.fields import Fields
from plait.app.objects.given import ObjectsError
from plait.app.objects.inherit import inherited
from plait.app.objects.plan import Item, Plan, owned_anew, printed
from plait.kube.client import Answer, Client
from plait.kube.errors import ApiError, Conflict, NotFound
from plait.kube.kinds import CRD, Kind

Verb = Literal["apply", "create", "replace"]
Object = dict[str, Any]

MANAGER: Final = "plait"
#: Codes of answers about an object that is wrong in itself: it cannot be read, or breaks a rule.
_WRONG: Final = frozenset({400, 422})
#: What `kubectl apply` notes for its next run.
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_PARTICIPLE: Final = {"apply": "applying", "create": "creating", "replace": "replacing"}
#: Of a finding, at the end of its warning.
_CODE: Final = re.compile(r" \[(IST|PLT)\d{4}\]$")
#: Seconds between two looks at an object that is being waited for, and how long a new kind may take to be served.
_LOOK, _KIND_PATIENCE = 0.1, 15.0
#: As many namespaces are named as places to look.
_PLACES: Final = 3
#: So many objects are asked about at once: the API answers one while the next is made ready.
_AT_ONCE: Final = 4
#: From so many of one collection on, it is cheaper to have the whole collection.
_MANY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one object: `action` is kubectl's word (`configured`), empty where `faults` say why not.

    `generation` is that of its spec as it was written.
    """

    item: Item
    name: str
    action: str = ""
    generation: int = 0
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{printed(self.item.kind, self.name)} {self.action}"


@dataclass(frozen=True, slots=True)
class _Checked:
    """An item the API would take: what is there now, and what to say about fields taken from others.

    `same` says that applying it would write nothing, not even a note of who manages which fields.
    """

    item: Item
    live: Object | None
    answer: Answer | None
    warnings: tuple[str, ...] = ()
    same: bool = False


class Writer:
    """Carries out plans. `dry_run` leaves the cluster as it is and gives the same outcomes."""

    def __init__(self, client: Client, *, dry_run: bool = False) -> None:
        self._client = client
        self._dry_run = dry_run
        self._fields = Fields(client)
        self._checked: tuple[Plan, list[_Checked]] | None = None
        #: Objects of which something was told before all of the plan was there, and what.
        self._early: list[tuple[Item, tuple[str, ...]]] = []

    async def write(self, plan: Plan, verb: Verb) -> AsyncIterator[Outcome]:
        """Outcomes one by one. Raises ObjectsError before anything is written if any object would be refused.

        Where more is to come, how an object fits the others is not among its warnings: see `told_at_the_end`.
        """
        checks = await self._checks(plan, verb)
        for place, one in enumerate(checks, 1):
            outcome = await self._carry_out(one, verb)
            yield outcome if self._dry_run or place == len(checks) else self._without_early(outcome)

    def _without_early(self, outcome: Outcome) -> Outcome:
        item = outcome.item
        early = tuple(text for text in outcome.warnings if _fits_others(text)) if _judged(item) and item.name else ()
        if not early or not outcome.action:
            return outcome
        self._early.append((item, early))
        return replace(outcome, warnings=tuple(text for text in outcome.warnings if text not in early))

    async def told_at_the_end(self) -> tuple[str, ...]:
        """Of the objects written what the API says now that all are there, if it said anything while they were not."""
        told: list[str] = []
        for item, early in self._early:
            try:
                answer = await self._send(item, "apply", dry_run=True, force=True)
            except ApiError:
                # It was changed or deleted meanwhile: what was said of it stands.
                told += early
            else:
                told += filter(_fits_others, answer.warnings)
        self._early.clear()
        return tuple(told)

    async def rehearse(self, plan: Plan, verb: Verb = "apply") -> list[tuple[Object | None, Object]]:
        """Each object's essence as it is, None where it is not, and as writing would leave it. Raises ObjectsError."""
        return [
            (
                essence(one.live) if one.live is not None else None,
                essence(_object(one.answer) if one.answer is not None else one.item.obj),
            )
            for one in await self._checks(plan, verb)
        ]

    async def _checks(self, plan: Plan, verb: Verb) -> list[_Checked]:
        if self._checked is not None and self._checked[0] is plan:
            return self._checked[1]
        known = await self._present(plan.items)
        checked: dict[int, _Checked] = {}
        faults: dict[int, list[str]] = {}
        left = iter(plan.items)

        async def check() -> None:
            for item in left:
                try:
                    live = known[_place(item)] if _place(item) in known else await self._live(item)
                    checked[item.index] = await self._check(item, verb, plan, live)
                except ObjectsError as error:
                    faults[item.index] = list(error.lines)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_AT_ONCE, len(plan.items))):
                    tasks.create_task(check())
        except BaseExceptionGroup as group:
            raise _first(group) from group
        lines = [line for index in sorted(faults) for line in faults[index]]
        lines += _twice(plan.items) if verb == "create" else []
        if lines:
            raise ObjectsError(lines)
        found = [checked[item.index] for item in plan.items]
        often = {place for place, count in Counter(map(_place, plan.items)).items() if count > 1}
        redefined = any(one.item.kind == CRD and not one.same for one in found)
        # What the plan itself changes before an object's turn comes, nobody was asked about.
        found = [replace(one, same=one.same and not redefined and _place(one.item) not in often) for one in found]
        self._checked = (plan, found)
        return found

    async def _present(self, items: Sequence[Item]) -> dict[_Place, Object | None]:
        """What is there of collections of which there are many in the plan, as far as they may be listed."""
        groups = Counter((item.kind, item.namespace) for item in items if item.name and not item.deferred)
        found: dict[_Place, Object | None] = {}
        for (kind, namespace), count in groups.items():
            if count < _MANY:
                continue
            try:
                listing = await self._client.list(kind, namespace)
            except ApiError:
                # Who may not list may still read each by its name.
                continue
            there = {obj["metadata"]["name"]: obj for obj in listing.items}
            found |= {
                _place(item): there.get(item.name) for item in items if (item.kind, item.namespace) == (kind, namespace)
            }
        return found

    async def _check(self, item: Item, verb: Verb, plan: Plan, live: Object | None) -> _Checked:
        """Ask the API whether it would take the object; raises ObjectsError."""
        if item.deferred:
            return _Checked(item, None, None)
        if verb == "create" and live is not None:
            raise ObjectsError([f"{_refusal(item, verb, 'AlreadyExists')} already exists; to change it: plait apply"])
        if verb == "replace" and live is None:
            raise ObjectsError([f"{_refusal(item, verb, 'NotFound')} not found{await self._elsewhere(item)}"])
        if verb != "create" and not item.name:
            raise ObjectsError([f"{item.given.where('metadata')}: {item.title}: {verb} needs metadata.name"])
        try:
            if verb == "apply" and live is not None:
                return await self._check_apply(item, live)
            return _Checked(item, live, await self._send(item, verb, dry_run=True))
        except NotFound as error:
            details = error.status.get("details") or {}
            if details.get("kind") == "namespaces" and details.get("name") in plan.namespaces:
                if wrong := problem_lines(item.given, item.title, decode(item.obj).problems):
                    raise ObjectsError(wrong) from error
                return _Checked(item, None, None)
            raise ObjectsError(await self._words(item, error)) from error
        except ApiError as error:
            raise ObjectsError(await self._words(item, error)) from error

    async def _check_apply(self, item: Item, live: Object) -> _Checked:
        after = inherited(live, item.obj, MANAGER, item.kind.api_version)
        taken: tuple[str, ...] | None = ()
        try:
            try:
                answer = await self._send(item, "apply", dry_run=True)
            except Conflict as error:
                taken = _taken(item, error)
                if taken is None:
                    raise
                answer = await self._send(item, "apply", dry_run=True, force=True)
        except ApiError as error:
            if after is None or taken is None:
                raise
            return _Checked(item, live, await self._replaced(item, after, refused=error), taken)
        if after is not None:
            answer = await self._replaced(item, after)
        # An object that inherits, or whose fields are taken from others, differs in who manages what.
        same = not taken and owned_anew(_entries(live), MANAGER, item.kind.api_version) is None
        return _Checked(item, live, answer, taken or (), same=same and _object(answer) == live)

    async def _replaced(self, item: Item, obj: Object, *, refused: ApiError | None = None) -> Answer:
        """Ask about the whole object instead of an apply of it, which may have been `refused`.

        Fields of before, which would be gone, may have been in the way of those of now. If not, it is told as ever.
        """
        params = {"fieldManager": MANAGER, "fieldValidation": "Strict", "dryRun": "All"}
        path = item.kind.path(item.namespace, item.name)
        try:
            return await self._client.exchange("PUT", path, params=params, json=obj)
        except ApiError as error:
            if refused is not None and _fields(refused) <= _fields(error):
                raise refused from error
            raise

    async def _words(self, item: Item, error: ApiError) -> list[str]:
        lines = await fault_lines(item.given, item.kind, item.title, error, self._fields)
        if error.code not in _WRONG:
            return lines
        # All rules that there are: a fifth of what a command takes to start, and most find nothing wrong.
        from plait.app.objects.further import further_lines  # noqa: PLC0415

        return [*lines, *further_lines(item.given, item.title, lines)]

    async def _carry_out(self, one: _Checked, verb: Verb) -> Outcome:
        item = one.item
        if self._dry_run:
            return self._rehearsed(one, verb)
        if one.same and one.answer is not None and one.live is not None:
            return _outcome(one, one.answer, one.live, "unchanged")
        try:
            if item.deferred:
                await self._until_served(item.kind)
            adopted = await self._adopt(one) if verb == "apply" else False
            answer = await self._send(item, verb, dry_run=False, force=True)
        except ApiError as error:
            return Outcome(item=item, name=item.name, faults=tuple(await self._words(item, error)))
        obj = _object(answer)
        same = one.live is not None and _same(one.live, obj, adopted=adopted)
        return _outcome(one, answer, obj, _action(verb, one.live, same=same, created=answer.status == 201))

    def _rehearsed(self, one: _Checked, verb: Verb) -> Outcome:
        item = one.item
        if one.answer is None:
            return Outcome(
                item=item, name=item.name, action="created (dry run, not checked: it needs what comes with it)"
            )
        obj = _object(one.answer)
        same = one.live is not None and essence(one.live) == essence(obj)
        action = _action(verb, one.live, same=same, created=one.answer.status == 201)
        name = obj["metadata"].get("name") or item.name
        warnings = (*one.warnings, *one.answer.warnings)
        return Outcome(item=item, name=name, action=f"{action} (server dry run)", warnings=warnings)

    async def _live(self, item: Item) -> Object | None:
        """The object as it is in the cluster."""
        if item.deferred or not item.name:
            return None
        try:
            return await self._client.get(item.kind, item.name, item.namespace)
        except NotFound:
            return None

    async def _send(self, item: Item, verb: Verb, *, dry_run: bool, force: bool = False) -> Answer:
        params = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        params |= {"dryRun": "All"} if dry_run else {}
        collection, one = item.kind.path(item.namespace), item.kind.path(item.namespace, item.name or "-")
        if verb == "create":
            return await self._client.exchange("POST", collection, params=params, json=item.obj)
        if verb == "replace":
            return await self._client.exchange("PUT", one, params=params, json=item.obj)
        params["force"] = "true" if force else "false"
        body = {**item.obj, "metadata": {k: v for k, v in item.obj["metadata"].items() if k != "managedFields"}}
        return await self._client.exchange(
            "PATCH", one, params=params, json=body, content="application/apply-patch+yaml"
        )

    async def _adopt(self, one: _Checked) -> bool:
        """See `owned_anew`; whether anything was taken over."""
        if one.live is None:
            return False
        metadata, item = one.live["metadata"], one.item
        entries = owned_anew(_entries(one.live), MANAGER, item.kind.api_version)
        if entries is None:
            return False
        change = [
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]
        await self._client.patch(item.kind, item.name, item.namespace, change, type="json", field_manager=MANAGER)
        return True

    async def _elsewhere(self, item: Item) -> str:
        """Advice where to look for an object that is not where it was said to be."""
        if not item.kind.namespaced:
            return "; to create it: plait apply"
        try:
            listing = await self._client.list(item.kind, fields=f"metadata.name={item.name}")
        except ApiError:
            # Not everybody may list every namespace: then there is no advice.
            return f' in namespace "{item.namespace}"; to create it: plait apply'
        found = sorted(obj["metadata"]["namespace"] for obj in listing.items)
        here = f' in namespace "{item.namespace}"; to create it: plait apply'
        if not found:
            return here
        places = " or ".join(f"-n {namespace}" for namespace in found[:_PLACES])
        return f"{here}; there is one in another namespace: say {places}"

    async def _until_served(self, kind: Kind) -> None:
        """Wait until a kind defined a moment ago is served; raises NotFound when it takes too long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _KIND_PATIENCE
        while True:
            crd = await self._client.get(CRD, f"{kind.plural}.{kind.group}")
            conditions = (crd.get("status") or {}).get("conditions") or ()
            if any((c.get("type"), c.get("status")) == ("Established", "True") for c in conditions):
                return
            if loop.time() > end:
                raise NotFound({"code": 404, "message": f"{kind.resource} is not served: its definition is not ready"})
            await asyncio.sleep(_LOOK)


def _judged(item: Item) -> bool:
    """Whether the API says at each write of the object how it fits the others, be it changed or not."""
    group, kind = item.kind.group, item.kind.kind
    return group.endswith(".istio.io") or (group, kind) == ("networking.k8s.io", "Ingress")


def _fits_others(warning: str) -> bool:
    """Whether it is a finding of the analysis, which depends on what else there is: those carry a code."""
    return _CODE.search(warning) is not None


_Place = tuple[str, str | None, str]


def _place(item: Item) -> _Place:
    return item.kind.resource, item.namespace, item.name


def _entries(obj: Object) -> list[Object]:
    return obj["metadata"].get("managedFields") or []


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _outcome(one: _Checked, answer: Answer, obj: Object, action: str) -> Outcome:
    return Outcome(
        item=one.item,
        name=obj["metadata"]["name"],
        action=action,
        generation=int(obj["metadata"].get("generation") or 0),
        warnings=(*one.warnings, *answer.warnings),
    )


def _object(answer: Answer) -> Object:
    obj: Object = msgspec.json.decode(answer.body, type=dict[str, Any])
    return obj


def _fields(error: ApiError) -> set[str]:
    return {cause.get("field", "") for cause in error.causes}


def _action(verb: Verb, live: Object | None, *, same: bool, created: bool) -> str:
    if verb == "create" or created or live is None:
        return "created"
    if verb == "replace":
        return "replaced"
    return "unchanged" if same else "configured"


def _same(live: Object, obj: Object, *, adopted: bool) -> bool:
    """Whether nothing was written, but for a note of who manages which fields."""
    if live["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion"):
        return True
    # Controllers may have written status meanwhile.
    reported = live.get("status") != obj.get("status")
    return (adopted or reported) and essence({**live, "status": None}) == essence({**obj, "status": None})


def essence(obj: Object) -> Object:
    """An object without what a write changes by itself."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in {"managedFields", "resourceVersion", "generation"}}
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != _LAST_APPLIED}
    return {**obj, "metadata": {**metadata, "annotations": annotations} if annotations else metadata}


def _taken(item: Item, error: Conflict) -> tuple[str, ...] | None:
    """Words about fields that others manage; none for kubectl apply's, which does the same job.

    None says that the conflict is of another sort and has to be told.
    """
    warnings = []
    for cause in error.causes:
        if cause.get("reason") != "FieldManagerConflict":
            return None
        field = cause.get("field", "").lstrip(".")
        who = cause.get("message", "").removeprefix("conflict with ")
        if "kubectl-client-side-apply" not in who and f'"{MANAGER}"' not in who:
            warnings.append(f"{item.title}: {field} was set by {who}; it is as the file says now")
    return tuple(warnings) if error.causes else None


def _refusal(item: Item, verb: str, reason: str) -> str:
    """The start of kubectl's sentence about an object that is, or is not, there."""
    said = f'Error from server ({reason}): error when {_PARTICIPLE[verb]} "{item.given.file}" (line '
    return f'{said}{item.given.position()[0]}): {item.kind.resource} "{item.name}"'


def _twice(items: Iterable[Item]) -> list[str]:
    seen: dict[_Place, Item] = {}
    faults = []
    for item in items:
        key = _place(item)
        if item.name and key in seen:
            faults.append(f"{item.given.where()}: {item.title} stands at {seen[key].given.where()} already; remove one")
        seen.setdefault(key, item)
    return faults
