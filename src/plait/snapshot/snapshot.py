"""The world as an immutable value, and the step from one world to the next.

`advance` costs what changed: an object's old and new contributions are compared, and only entries that differ are
written. The keys it returns are exactly those whose value is not equal to what it was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from plait.api.decode import MeshObject
from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.kit.persistent import MISSING, Missing, PersistentMap
from plait.snapshot.indexes import Contribution, contribution
from plait.snapshot.keys import object_key

#: From how many changes of one set on sorting it anew is cheaper than inserting one by one.
_SORT_FROM: Final = 16


class ObjectChange(NamedTuple):
    """An object as it is now; None: there is none any more."""

    key: ObjectKey
    value: MeshObject | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All decoded objects and their indexes. `domain` is the cluster's DNS domain."""

    domain: str = "cluster.local"
    entries: PersistentMap[Key, Any] = field(default_factory=PersistentMap)

    def get(self, key: Key) -> Any:
        """The entry of `key`: a fact, a set as a sorted tuple, or None."""
        return self.entries.get(key)

    def object(self, key: ObjectKey) -> MeshObject | None:
        """One object."""
        found: MeshObject | None = self.entries.get(object_key(key))
        return found


def advance(snapshot: Snapshot, changes: Iterable[ObjectChange]) -> tuple[Snapshot, frozenset[Key]]:
    """The next snapshot, and the keys whose entries differ."""
    facts: dict[Key, Any] = {}
    joined: dict[Key, set[Any]] = {}
    left: dict[Key, set[Any]] = {}
    newest = {change.key: change.value for change in changes}
    for key, value in newest.items():
        before = snapshot.object(key)
        if before == value:
            continue
        old = contribution(key, before, snapshot.domain) if before is not None else Contribution({}, set())
        new = contribution(key, value, snapshot.domain) if value is not None else Contribution({}, set())
        for gone in old.facts.keys() - new.facts.keys():
            facts[gone] = MISSING
        facts.update((name, fact) for name, fact in new.facts.items() if old.facts.get(name, MISSING) != fact)
        for name, member in old.members - new.members:
            left.setdefault(name, set()).add(member)
        for name, member in new.members - old.members:
            joined.setdefault(name, set()).add(member)
    for name in joined.keys() | left.keys():
        current: tuple[Any, ...] = snapshot.entries.get(name) or ()
        members = _changed_set(current, joined.get(name, set()), left.get(name, set()))
        if members != current:
            facts[name] = members or MISSING
    written: dict[Key, Any | Missing] = facts
    return Snapshot(snapshot.domain, snapshot.entries.updated(written)), frozenset(facts)


def _changed_set(current: tuple[Any, ...], joined: set[Any], left: set[Any]) -> tuple[Any, ...]:
    if len(joined) + len(left) >= _SORT_FROM:
        return tuple(sorted((set(current) - left) | joined))
    members = list(current)
    for member in left - joined:
        place = bisect_left(members, member)
        if place < len(members) and members[place] == member:
            del members[place]
    for member in joined:
        place = bisect_left(members, member)
        if place == len(members) or members[place] != member:
            members.insert(place, member)
    return tuple(members)
