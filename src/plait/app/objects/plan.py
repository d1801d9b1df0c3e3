"""What a command is about to do: each object with its kind, its namespace and the words people get about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plait.app.objects.given import Given, ObjectsError
from plait.app.objects.kinds import Kinds, UnknownKindError, defined_kinds
from plait.kube.kinds import Kind

#: Written first, wherever they stand: what the others need in order to be. Routes come last, so that no request is
#: sent to a host or subset that is a line further down.
_RANK = {"Namespace": 0, "CustomResourceDefinition": 1, "VirtualService": 3}
_PLAIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object with all that was left to say: `obj` has apiVersion and namespace; `index` counts it as written.

    `deferred` says that the API cannot judge the object yet: its kind comes with the same call.
    """

    given: Given
    kind: Kind
    obj: dict[str, Any]
    index: int = 0
    deferred: bool = False

    @property
    def name(self) -> str:
        """Empty for an object that is to get a generated name."""
        return str(self.obj["metadata"].get("name") or "")

    @property
    def namespace(self) -> str | None:
        """None for cluster-wide kinds."""
        return self.obj["metadata"].get("namespace") if self.kind.namespaced else None

    @property
    def title(self) -> str:
        """`VirtualService sock-shop/front-end`: for sentences."""
        name = self.name or str(self.obj["metadata"].get("generateName"))
        return f"{self.kind.kind} {self.namespace}/{name}" if self.namespace else f"{self.kind.kind} {name}"


def printed(kind: Kind, name: str) -> str:
    """`virtualservice.networking.istio.io/front-end`: as kubectl prints results."""
    group = f".{kind.group}" if kind.group else ""
    return f"{kind.kind.lower()}{group}/{name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Objects in the order they are to be written, and warnings about how they are written down."""

    items: tuple[Item, ...]
    warnings: tuple[str, ...]

    @property
    def namespaces(self) -> frozenset[str]:
        """Namespaces that the plan itself brings."""
        return frozenset(item.name for item in self.items if item.kind.kind == "Namespace" and not item.kind.group)

    @property
    def backwards(self) -> tuple[Item, ...]:
        """The order for deleting: routes before what they lead to, namespaces last."""
        return tuple(sorted(self.items, key=_rank, reverse=True))


def _rank(item: Item) -> int:
    return _RANK.get(item.kind.kind, _PLAIN)


def make_plan(given: Sequence[Given], kinds: Kinds, *, namespace: str | None, default: str) -> Plan:
    """Settle kinds and namespaces; `namespace` is the one said on the command line, `default` that of the context.

    Raises ObjectsError with every fault.
    """
    brought = defined_kinds([one.obj for one in given])
    items: list[Item] = []
    faults: list[str] = []
    warnings: list[str] = []
    for index, one in enumerate(given):
        try:
            item, said = _settle(one, kinds, brought, namespace=namespace, default=default)
        except UnknownKindError as error:
            faults.append(f"{one.where('kind')}: {one.title}: {error}")
        except ObjectsError as error:
            faults += error.lines
        else:
            items.append(replace(item, index=index))
            warnings += said
    if faults:
        raise ObjectsError(faults)
    if namespace is None:
        warnings += _strays(items, default)
    items.sort(key=_rank)
    return Plan(tuple(items), tuple(warnings))


def _settle(
    one: Given, kinds: Kinds, brought: Iterable[Any], *, namespace: str | None, default: str
) -> tuple[Item, list[str]]:
    deferred, warnings = False, []
    try:
        kind, missing = kinds.of_object(one.obj)
    except UnknownKindError:
        fresh = Kinds(tuple(brought))
        if not any(r.kind.kind == one.obj["kind"] for r in fresh.resources):
            raise
        kind, missing = fresh.of_object(one.obj)
        deferred = True
    if missing is not None:
        warnings.append(
            f"{one.where()}: {one.title} has no apiVersion; taken as {missing}. Write apiVersion: {missing}"
        )
    metadata: dict[str, Any] = {k: v for k, v in one.obj["metadata"].items() if v is not None}
    if not kind.namespaced:
        metadata.pop("namespace", None)
    else:
        own = metadata.get("namespace")
        if own and namespace and own != namespace:
            # kubectl's sentence, so that it is found by those who look for it.
            fault = (
                f'{one.where("metadata.namespace")}: {one.title}: the namespace from the provided object "{own}" does '
                f"not match the namespace \"{namespace}\". You must pass '--namespace={own}' to perform this operation."
            )
            raise ObjectsError([fault])
        metadata["namespace"] = own or namespace or default
    obj = {**one.obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return Item(given=one, kind=kind, obj=obj, deferred=deferred), warnings


def _strays(items: Iterable[Item], default: str) -> list[str]:
    """Objects that go to the default namespace only because theirs was forgotten: others of the file name one."""
    warnings = []
    by_file: dict[str, list[Item]] = {}
    for item in items:
        if item.kind.namespaced:
            by_file.setdefault(item.given.file, []).append(item)
    for group in by_file.values():
        named = [item for item in group if item.given.obj["metadata"].get("namespace") not in {None, "", default}]
        for item in group:
            if item.given.obj["metadata"].get("namespace") or not named:
                continue
            # The neighbour of the same name is the one it was written for.
            beside = next((other for other in named if other.name == item.name), named[0])
            warnings.append(
                f"{item.given.where('metadata')}: {item.kind.kind} {item.name} names no namespace and goes to "
                f'"{item.namespace}", while {beside.title} beside it does not. '
                f"Write metadata.namespace: {beside.namespace}, or say -n {beside.namespace}"
            )
    return warnings


def owned_anew(entries: Sequence[Mapping[str, Any]], manager: str, api_version: str) -> list[dict[str, Any]] | None:
    """ManagedFields with what `manager` and `kubectl apply` wrote by other means counted as applied by `manager`.

    Without it a field that an earlier `replace`, or kubectl's client-side apply, wrote would stay when a later apply no
    longer has it. kubectl does the same when it changes to server-side apply. None if there is nothing to take over.
    """
    mine = {manager, "kubectl-client-side-apply"}
    taken = [
        e for e in entries if e.get("operation") == "Update" and e.get("manager") in mine and not e.get("subresource")
    ]
    if not taken:
        return None
    applied = [e for e in entries if (e.get("manager"), e.get("operation")) == (manager, "Apply")]
    fields: dict[str, Any] = {}
    for entry in (*applied, *taken):
        _unite(fields, entry.get("fieldsV1") or {})
    rest = [dict(e) for e in entries if e not in taken and e not in applied]
    entry = {"manager": manager, "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1"}
    return [*rest, {**entry, "time": taken[0].get("time"), "fieldsV1": fields}]


def _unite(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, inner in other.items():
        _unite(into.setdefault(key, {}), inner if isinstance(inner, dict) else {})
