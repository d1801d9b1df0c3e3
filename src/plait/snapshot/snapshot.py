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
from plait.api.kubernetes import Namespace
from plait.api.mesh_settings import NAME as SETTINGS
from plait.api.mesh_settings import ConfigMap
from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.kit.persistent import MISSING, Missing, PersistentMap
from plait.snapshot.contribution import Contribution
from plait.snapshot.indexes import contribution
from plait.snapshot.keys import namespaces, object_key
from plait.snapshot.nearness import said
from plait.snapshot.rules import IndexRules, index_rules

#: From how many changes of one set on sorting it anew is cheaper than inserting one by one.
_SORT_FROM: Final = 16
_READ_BY_THEMSELVES: Final = frozenset(
    {"VirtualService", "DestinationRule", "Gateway", "AuthorizationPolicy", "RequestAuthentication"}
)


class ObjectChange(NamedTuple):
    """An object as it is now; None: there is none any more."""

    key: ObjectKey
    value: MeshObject | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All decoded objects and their indexes. `domain` is the cluster's DNS domain; `rules` follow from the objects."""

    domain: str = "cluster.local"
    entries: PersistentMap[Key, Any] = field(default_factory=PersistentMap)
    root_namespace: str = "istio-system"
    rules: IndexRules | None = None

    def get(self, key: Key) -> Any:
        """The entry of `key`: a fact, a set as a sorted tuple, or None."""
        return self.entries.get(key)

    def object(self, key: ObjectKey) -> MeshObject | None:
        """One object."""
        found: MeshObject | None = self.entries.get(object_key(key))
        return found


def advance(
    snapshot: Snapshot, changes: Iterable[ObjectChange], causes: dict[ObjectKey, set[Key]] | None = None
) -> tuple[Snapshot, frozenset[Key]]:
    """The next snapshot, and the keys whose entries differ. Which of them an object changed is added to `causes`."""
    facts: dict[Key, Any] = {}
    joined: dict[Key, set[Any]] = {}
    left: dict[Key, set[Any]] = {}
    newest = {change.key: change.value for change in changes}
    before_rules = snapshot.rules or IndexRules(snapshot.domain)
    rules = _rules(snapshot, newest, before_rules)
    for key, value in (newest if rules == before_rules else _reindexed(snapshot, newest, before_rules, rules)).items():
        before = snapshot.object(key)
        if before == value and rules == before_rules:
            continue
        old = contribution(key, before, before_rules) if before is not None else Contribution({}, set())
        new = contribution(key, value, rules) if value is not None else Contribution({}, set())
        gone = old.facts.keys() - new.facts.keys()
        made = {name: fact for name, fact in new.facts.items() if old.facts.get(name, MISSING) != fact}
        facts.update(dict.fromkeys(gone, MISSING))
        facts.update(made)
        if causes is not None:
            own = causes.setdefault(key, set())
            own.update(gone, made, (name for name, _ in old.members ^ new.members))
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
    entries = snapshot.entries.updated(written)
    return Snapshot(snapshot.domain, entries, snapshot.root_namespace, rules), frozenset(facts)


def entries_of(snapshot: Snapshot, key: ObjectKey) -> frozenset[Key]:
    """The keys that show where an object has effect: its own facts and, where it is read through them, its sets.

    A rule is read by itself wherever it decides; the sets it is in are read by many that it does not concern.
    """
    value = snapshot.object(key)
    if value is None:
        return frozenset()
    found = contribution(key, value, snapshot.rules or IndexRules(snapshot.domain))
    if key.kind in _READ_BY_THEMSELVES:
        return frozenset(found.facts)
    return frozenset({*found.facts, *(name for name, _ in found.members)})


def _rules(snapshot: Snapshot, newest: dict[ObjectKey, MeshObject | None], before: IndexRules) -> IndexRules:
    """The rules after `newest`; they can change only with the settings and with namespaces."""
    before = before._replace(near=_nearness(before.near, newest))
    settings_key = ObjectKey("ConfigMap", snapshot.root_namespace, SETTINGS)
    chosen = before.members is not None and any(key.kind == "Namespace" for key in newest)
    if settings_key not in newest and not chosen:
        return before
    settings = newest[settings_key] if settings_key in newest else snapshot.object(settings_key)
    names = {key.name for key in newest if key.kind == "Namespace"}.union(snapshot.get(namespaces()) or ())
    keys = [ObjectKey("Namespace", "", name) for name in sorted(names)]
    known = (newest[key] if key in newest else snapshot.object(key) for key in keys)
    return index_rules(
        snapshot.domain,
        snapshot.root_namespace,
        settings if isinstance(settings, ConfigMap) else None,
        [namespace for namespace in known if isinstance(namespace, Namespace)],
    )._replace(near=before.near)


def _nearness(
    before: tuple[tuple[str, str], ...], newest: dict[ObjectKey, MeshObject | None]
) -> tuple[tuple[str, str], ...]:
    """What namespaces say of traffic to their hosts."""
    told = {
        key.name: said(value.metadata.annotations) if isinstance(value, Namespace) else ""
        for key, value in newest.items()
        if key.kind == "Namespace"
    }
    merged = {**dict(before), **told}
    return tuple(sorted((name, near) for name, near in merged.items() if near)) if told else before


def _reindexed(
    snapshot: Snapshot, newest: dict[ObjectKey, MeshObject | None], before: IndexRules, rules: IndexRules
) -> dict[ObjectKey, MeshObject | None]:
    """`newest`, and with them the objects whose place in the indexes is another by the new rules."""
    only_some = before._replace(members=rules.members, near=rules.near) == rules
    otherwise = {name for name, _ in set(before.near) ^ set(rules.near)}
    moved = {
        key[1]: value
        for key, value in snapshot.entries.items()
        if key[0] == "object"
        and isinstance(key[1], ObjectKey)
        and (
            not only_some
            or before.belongs(key[1].namespace) != rules.belongs(key[1].namespace)
            or (key[1].namespace in otherwise and key[1].kind in {"Service", "ServiceEntry"})
        )
    }
    return {**moved, **newest}


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
