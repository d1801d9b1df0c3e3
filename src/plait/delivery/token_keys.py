"""Keys of tokens that cannot be had: in the log of who fetches, as a Warning Event, and as findings for the status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.analyze.finding import Finding
from plait.analyze.messages import KEYS_MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plait.api.meta import ObjectKey
    from plait.delivery.objects import Objects
    from plait.delivery.refusals import Records
    from plait.snapshot.tokens import KeysStanding, KeysWanted

UNUSABLE: Final = "KeysUnavailable"
IN_USE: Final = "KeysInUse"


class KeyFindings:
    """What RequestAuthentications lack, now; says once on the object what is wrong, and once when it is right again."""

    def __init__(self, objects: Objects, recorder: Records) -> None:
        self._objects = objects
        self._recorder = recorder
        self._changed: Callable[[ObjectKey], None] = lambda _: None
        self._found: dict[ObjectKey, tuple[Finding, ...]] = {}
        self._told: dict[tuple[ObjectKey, str], str] = {}

    def bind(self, changed: Callable[[ObjectKey], None]) -> None:
        """Who is to hear of each object of which there is something else to say."""
        self._changed = changed

    def of(self, key: ObjectKey) -> tuple[Finding, ...]:
        """The rules of an object for which there are no keys."""
        return self._found.get(key, ())

    def take(self, standing: Iterable[tuple[KeysWanted, KeysStanding]]) -> None:
        """All keys that are wanted and were looked for."""
        found: dict[ObjectKey, tuple[Finding, ...]] = {}
        told: dict[tuple[ObjectKey, str], str] = {}
        for wanted, state in standing:
            if not state.problem:
                continue
            told[wanted.key, wanted.path] = state.problem
            if state.keys is None:
                found[wanted.key] = (*found.get(wanted.key, ()), _finding(wanted, state.problem))
        self._tell(told)
        before, self._found = self._found, found
        for key in before.keys() | found.keys():
            if before.get(key, ()) != self.of(key):
                self._changed(key)

    def _tell(self, told: dict[tuple[ObjectKey, str], str]) -> None:
        before, self._told = self._told, told
        for (key, path), problem in told.items():
            if (key, path) not in before:
                self._record(key, reason=UNUSABLE, message=f"{path}: {problem}", type="Warning")
        for key, path in before.keys() - told.keys():
            self._record(key, reason=IN_USE, message=f"{path}: the keys were fetched", type="Normal")

    def _record(self, key: ObjectKey, **words: Any) -> None:
        obj = self._objects.find(str(key))
        if obj is not None:
            self._recorder.record(obj, **words)


def _finding(wanted: KeysWanted, problem: str) -> Finding:
    return Finding(
        message=KEYS_MISSING,
        object=wanted.key,
        text=KEYS_MISSING.text.format(problem=problem),
        path=wanted.path,
        fix="an address that istiod reaches, or the keys themselves in jwks",
    )
