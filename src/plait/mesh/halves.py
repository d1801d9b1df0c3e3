"""Changes that come in two halves: a route to a subset, and the DestinationRule that defines it.

`kubectl apply -f` writes the objects of a file one after the other, in the file's order. Between two writes a route
may name a subset that is not defined yet, or not any more, and every call by it would fail. So a change that leaves
such a route where there was none before is held back until the other half has come; both then take effect together.
Who holds decides for how long: a route to a subset that nobody ever defines is the user's right, and fails as in Istio.

Hosts are matched by name alone, not by who sees which rule. A mistake from that costs what it costs without holding,
or a moment's delay.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from plait.api.destinationrule import DestinationRule
from plait.api.meta import ObjectKey
from plait.api.virtualservice import Destination, VirtualService
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard
from plait.snapshot.snapshot import ObjectChange

Subset: TypeAlias = tuple[str, str]
"""Host in full, which may be a wildcard where it is a DestinationRule's, and the subset's name."""

_KINDS: Final = frozenset({"VirtualService", "DestinationRule"})
_NOTHING: Final[frozenset[Subset]] = frozenset()


class Halves:
    """See the module. Costs what the changes name; `admit` tells what takes effect now, `held` what waits."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._held: dict[ObjectKey, ObjectChange] = {}
        self._of: dict[ObjectKey, frozenset[Subset]] = {}
        self._users: defaultdict[Subset, set[ObjectKey]] = defaultdict(set)
        self._definitions: Counter[Subset] = Counter()

    @property
    def held(self) -> frozenset[ObjectKey]:
        """The objects whose newest state waits for another."""
        return frozenset(self._held)

    def admit(self, changes: Iterable[ObjectChange], *, patient: bool) -> list[ObjectChange]:
        """What takes effect now of what came and of what waited; all of it unless `patient`."""
        admitted: list[ObjectChange] = []
        ready = dict(self._held)
        for change in changes:
            if change.key.kind in _KINDS:
                ready.pop(change.key, None)
                ready[change.key] = change
            else:
                admitted.append(change)
        self._held = {}
        if patient:
            while culprits := self._culprits(ready):
                self._held.update((key, ready.pop(key)) for key in culprits)
        return admitted + self._admitted(ready)

    def release(self, keys: Iterable[ObjectKey]) -> list[ObjectChange]:
        """What has waited long enough, and what that makes possible."""
        freed = self._admitted({key: self._held.pop(key) for key in keys if key in self._held})
        return freed + self.admit((), patient=True)

    def _admitted(self, ready: Mapping[ObjectKey, ObjectChange]) -> list[ObjectChange]:
        for change in ready.values():
            before, now = self._of.pop(change.key, _NOTHING), self._subsets(change)
            if now:
                self._of[change.key] = now
            if change.key.kind == "DestinationRule":
                self._definitions.update(now)
                self._definitions.subtract(before)
                for gone in before:
                    if not self._definitions[gone]:
                        del self._definitions[gone]
                continue
            for subset in now:
                self._users[subset].add(change.key)
            for subset in before - now:
                self._users[subset].discard(change.key)
                if not self._users[subset]:
                    del self._users[subset]
        return list(ready.values())

    def _culprits(self, ready: Mapping[ObjectKey, ObjectChange]) -> set[ObjectKey]:
        """Of changes that would take effect together those that leave a route without its subset."""
        after = {key: self._subsets(change) for key, change in ready.items()}
        rules = {key: subsets for key, subsets in after.items() if key.kind == "DestinationRule"}
        change: Counter[Subset] = Counter()
        for key, subsets in rules.items():
            change.update(subsets)
            change.subtract(self._of.get(key, _NOTHING))

        def undefined(subset: Subset) -> bool:
            return all(self._definitions[each] + change[each] <= 0 for each in _definers(subset))

        found = {
            key
            for key, subsets in after.items()
            if key.kind == "VirtualService" and any(map(undefined, subsets - self._of.get(key, _NOTHING)))
        }
        for key, subsets in rules.items():
            lost = (used for gone in self._of.get(key, _NOTHING) - subsets for used in self._used(gone))
            if any(undefined(subset) and self._still_used(subset, after) for subset in lost):
                found.add(key)
        return found

    def _used(self, gone: Subset) -> Iterator[Subset]:
        """The subsets that routes name and this one may have defined."""
        host, name = gone
        if not is_wildcard(host):
            yield gone
            return
        yield from (subset for subset in self._users if subset[1] == name and host_matches(host, subset[0]))

    def _still_used(self, subset: Subset, after: Mapping[ObjectKey, frozenset[Subset]]) -> bool:
        """Whether a route that named this subset goes on doing so."""
        return any(subset in after.get(user, self._of[user]) for user in self._users.get(subset, ()))

    def _subsets(self, change: ObjectChange) -> frozenset[Subset]:
        """What an object defines or names."""
        value, namespace = change.value, change.key.namespace
        if isinstance(value, DestinationRule):
            host = complete_host(value.spec.host, namespace, self._domain)
            return frozenset((host, subset.name) for subset in value.spec.subsets)
        if isinstance(value, VirtualService):
            return frozenset(
                (complete_host(item.host, namespace, self._domain), item.subset)
                for item in _destinations(value)
                if item.subset
            )
        return _NOTHING


def _definers(subset: Subset) -> Iterator[Subset]:
    """As whose subset a DestinationRule may define this one: the host's, and those of the wildcards it falls under."""
    host, name = subset
    yield subset
    rest = host
    while rest:
        _, _, rest = rest.partition(".")
        yield (f"*.{rest}" if rest else "*", name)


def _destinations(rule: VirtualService) -> Iterator[Destination]:
    for http in rule.spec.http:
        yield from (item.destination for item in http.route)
        yield from (item.destination for item in http.mirrors)
        if http.mirror is not None:
            yield http.mirror
    for tcp in rule.spec.tcp:
        yield from (item.destination for item in tcp.route)
    for tls in rule.spec.tls:
        yield from (item.destination for item in tls.route)
