"""Waits until the objects of files are in effect: until the mesh says so in their status."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from plait.app.objects.write import Outcome
from plait.kube.client import Client
from plait.kube.errors import Unreachable
from plait.kube.kinds import Kind
from plait.xds.carriage import ACTING

_GROUPS: Final = frozenset({"networking.istio.io", "security.istio.io"})
#: Seconds between two looks.
_LOOK: Final = 0.1
#: Reasons after which waiting is of no use.
_HOPELESS: Final = frozenset({"Rejected", "NotAccepted", "ProbeFailed"})
_PATH: Final = re.compile(r"(?:^|: )(spec[\w.\[\]]*): ")

State = Literal["waiting", "settled", "failed", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How far one object is: `detail` in the mesh's words, `where` the file and line it is about."""

    title: str
    state: State
    detail: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.title}: {self.detail}"


def acts(outcome: Outcome) -> bool:
    """Whether an object says of itself that it is in effect."""
    kind = outcome.item.kind
    return not outcome.faults and kind.group in _GROUPS and kind.kind in ACTING


async def wait_for(client: Client, outcomes: Iterable[Outcome], timeout: float) -> AsyncIterator[Wait]:  # noqa: ASYNC109
    """News of each object until all are settled or failed, or `timeout` seconds are over (then state `late`).

    Raises ApiError; an API that is away for a moment is asked again.
    """
    waiting = {(o.item.kind, o.item.namespace, o.name): o for o in outcomes}
    said: dict[tuple[Kind, str | None, str], Wait] = {}
    end = asyncio.get_running_loop().time() + timeout
    while waiting:
        try:
            found = await _read(client, waiting)
        except Unreachable:
            found = {}
        for place, outcome in tuple(waiting.items()):
            if (obj := found.get(place)) is None:
                continue
            wait = _judge(outcome, obj)
            if wait != said.get(place):
                said[place] = wait
                yield wait
            if wait.state != "waiting":
                del waiting[place]
        if waiting and asyncio.get_running_loop().time() > end:
            for place, outcome in waiting.items():
                known = said.get(place)
                detail = known.detail if known is not None else "the mesh says nothing of it"
                yield _wait(outcome, "late", f"not in effect after {timeout:g} s: {detail}")
            return
        if waiting:
            await asyncio.sleep(_LOOK)


async def _read(
    client: Client, places: Iterable[tuple[Kind, str | None, str]]
) -> dict[tuple[Kind, str | None, str], dict[str, Any]]:
    """The objects as they are; one request for each kind and namespace."""
    groups: dict[tuple[Kind, str | None], list[str]] = {}
    for kind, namespace, name in places:
        groups.setdefault((kind, namespace), []).append(name)
    found = {}
    for (kind, namespace), names in groups.items():
        only = f"metadata.name={names[0]}" if len(names) == 1 else None
        for obj in (await client.list(kind, namespace, fields=only)).items:
            found[kind, namespace, obj["metadata"]["name"]] = obj
    return found


def _judge(outcome: Outcome, obj: Mapping[str, Any]) -> Wait:
    """What an object's status says of the generation that was written, or of a later one."""
    conditions = {
        each.get("type"): each
        for each in (obj.get("status") or {}).get("conditions") or ()
        if int(each.get("observedGeneration") or 0) >= outcome.generation
    }
    settled, accepted = conditions.get("Settled"), conditions.get("Accepted") or {}
    if settled is None:
        return _wait(outcome, "waiting", "written; the control plane has not looked at it yet")
    words = str(settled.get("message", ""))
    if settled.get("status") == "True":
        return _wait(outcome, "settled", words)
    if settled.get("reason") == "NotAccepted":
        words = str(accepted.get("message", words))
    return _wait(outcome, "failed" if settled.get("reason") in _HOPELESS else "waiting", words)


def _wait(outcome: Outcome, state: State, words: str) -> Wait:
    path = _PATH.search(words)
    return Wait(
        title=outcome.item.title, state=state, detail=words, where=outcome.item.given.where(path[1] if path else "")
    )
