"""Rules about tokens whose keys are still being fetched: in effect before, they would refuse every token.

A RequestAuthentication that wants keys which nobody has looked for yet is held back until they came, or could not be
had. Who holds decides for how long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plait.api.meta import ObjectKey
from plait.api.security import RequestAuthentication
from plait.snapshot.snapshot import ObjectChange
from plait.snapshot.tokens import KeySource, KeysWanted, wanted_by


class Keyless:
    """See the module. `looked` are the sources that were looked at, `held` what waits for others."""

    def __init__(self) -> None:
        self._looked: set[KeySource] = set()
        self._held: dict[ObjectKey, ObjectChange] = {}

    @property
    def held(self) -> frozenset[ObjectKey]:
        """The objects whose newest state waits."""
        return frozenset(self._held)

    @property
    def wanted(self) -> Iterator[KeysWanted]:
        """The keys that they wait for, and others that they want."""
        for change in self._held.values():
            yield from _wanted(change)

    def admit(self, changes: Iterable[ObjectChange], *, patient: bool) -> list[ObjectChange]:
        """What takes effect now; all of it unless `patient`."""
        admitted: list[ObjectChange] = []
        for change in changes:
            self._held.pop(change.key, None)
            if patient and self._waits(change):
                self._held[change.key] = change
            else:
                admitted.append(change)
        return admitted

    def looked(self, source: KeySource) -> list[ObjectChange]:
        """A source has been looked at, in vain or not: what need not wait any more."""
        self._looked.add(source)
        return [self._held.pop(key) for key, change in list(self._held.items()) if not self._waits(change)]

    def forget(self, source: KeySource) -> None:
        """Nobody wants it any more: who comes to want it again, waits again."""
        self._looked.discard(source)

    def release(self, keys: Iterable[ObjectKey]) -> list[ObjectChange]:
        """What has waited long enough."""
        return [self._held.pop(key) for key in keys if key in self._held]

    def _waits(self, change: ObjectChange) -> bool:
        return any(wanted.source not in self._looked for wanted in _wanted(change))


def _wanted(change: ObjectChange) -> Iterator[KeysWanted]:
    return wanted_by(change.value) if isinstance(change.value, RequestAuthentication) else iter(())
