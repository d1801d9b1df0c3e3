"""A World that writes down what is looked at in it, and what has changed: the ground of findings that stay current."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from plait.analyze.kinds import Kind
from plait.analyze.reads import Mark, Reads, mark
from plait.analyze.world import PLAIT, Index, Item, World
from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.mesh.destination_rules import rules_finder
from plait.snapshot.reader import Reader

T = TypeVar("T")

#: So much of what somebody looks through is written down one by one; who goes on depends on all of it.
_FEW: Final = 64


class _Finder:
    """Which DestinationRules callers of one namespace use: how it is found, and what was found for (host, owner)."""

    __slots__ = ("chosen", "find")

    def __init__(self, find: Callable[[str, str], tuple[ObjectKey, ...]]) -> None:
        self.find = find
        self.chosen: dict[tuple[str, str], tuple[ObjectKey, ...]] = {}


class FollowedWorld(World):
    """See the module. The mesh's own view of the objects is not made here but handed in: `snapshot` answers its keys,
    and who owns it says with `moved` which of them have changed.

    Who is judged is a reader in `reads`, and so is each `_Finder`, by the name of its namespace.
    """

    def __init__(self, snapshot: Callable[[Key], Any]) -> None:
        self.reads = Reads()
        self._snapshot_of = snapshot
        self._seen: set[Mark] | None = None
        self._touched: set[Mark] = set()
        self._finders: dict[str, _Finder] = {}
        super().__init__(surroundings=PLAIT)

    # what changes

    def _changed(self, kind: Kind, old: Item | None, new: Item | None) -> None:
        super()._changed(kind, old, new)
        item = new or old
        if item is None:
            return
        self._touched |= {mark("get", kind, item.namespace, item.name), mark("all", kind)}
        if (old is None or new is None) and len(self._items[kind]) == (new is not None):
            self._touched.add(mark("has", kind))

    def _moved(self, index: Index, value: Hashable) -> None:
        self._touched.add(mark("find", index, value))

    def _to_read(self, kind: Kind, key: ObjectKey, item: Item | None) -> None:
        """The mesh reads its objects elsewhere."""

    def moved(self, keys: Iterable[Key]) -> None:
        """Entries of the mesh's view that have changed."""
        self._touched.update(map(hash, keys))

    def touched(self) -> set[ObjectKey]:
        """The readers whose results may be others since the last call; costs what changed and who read it."""
        found: set[ObjectKey] = set()
        while self._touched:
            touched, self._touched = self._touched, set()
            finders: set[str] = set()
            for read in touched:
                for reader in self.reads.of(read):
                    (finders if isinstance(reader, str) else found).add(reader)
            for namespace in sorted(finders):
                self._find_again(namespace)
        return found

    # what is read

    @contextmanager
    def recording(self) -> Iterator[set[Mark]]:
        """The marks of all that is read meanwhile."""
        before, self._seen = self._seen, set()
        try:
            yield self._seen
        finally:
            self._seen = before

    def _note(self, *read: Hashable) -> None:
        if self._seen is not None:
            self._seen.add(hash(read))

    def all(self, *wanted: Kind) -> Iterator[Item]:
        """See World."""
        self._note_kinds(wanted)
        return super().all(*wanted)

    def has(self, kind: Kind) -> bool:
        """See World."""
        self._note("has", kind)
        return super().has(kind)

    def get(self, kind: Kind, namespace: str, name: str, cluster: str = "") -> Item | None:
        """See World."""
        self._note("get", kind, namespace, name)
        return super().get(kind, namespace, name, cluster)

    def find(self, index: Index, value: Hashable) -> tuple[Item, ...]:
        """See World."""
        self._note("find", index, value)
        return super().find(index, value)

    def each(self, index: Index, value: Hashable) -> Iterator[Item]:
        """See World. What comes joins at the end, so who stops early depends on what it has seen, and on no more."""
        for seen, item in enumerate(super().each(index, value)):
            if seen < _FEW:
                self._note("get", item.kind, item.namespace, item.name)
            elif seen == _FEW:
                self._note("find", index, value)
            yield item
        self._note("find", index, value)

    def values(self, index: Index) -> Iterator[Hashable]:
        """See World, and `each`."""
        for seen, value in enumerate(super().values(index)):
            if seen < _FEW:
                self._note("find", index, value)
            elif seen == _FEW:
                self._note_kinds(index.kinds)
            yield value
        self._note_kinds(index.kinds)

    def _note_kinds(self, wanted: tuple[Kind, ...]) -> None:
        for kind in wanted:
            self._note("all", kind)

    def derived(self, name: Hashable, wanted: tuple[Kind, ...], make: Callable[[], T]) -> T:
        """See World. It is made of these kinds alone, whatever of them `make` reads this time."""
        self._note_kinds(wanted)
        with self.recording():
            return super().derived(name, wanted, make)

    def named(self, key: ObjectKey, cluster: str = "", group: str | None = None) -> Item | None:
        """See World."""
        item = super().named(key, cluster, group)
        if item is not None:
            self._note("get", item.kind, item.namespace, item.name)
        return item

    @property
    def reader(self) -> Reader:
        """See World."""
        return Reader(self._read, self.domain)

    def _read(self, key: Key) -> Any:
        if self._seen is not None:
            self._seen.add(hash(key))
        return self._snapshot_of(key)

    def rules_of(self, namespace: str) -> Callable[[str, str], tuple[ObjectKey, ...]]:
        """See World. A new rule changes what is known of its whole namespace, and the answer for few hosts: who asks
        depends on the answer alone.
        """

        def find(host: str, owner: str) -> tuple[ObjectKey, ...]:
            self._note("rules", namespace, host, owner)
            return self._rules(namespace, host, owner)

        return find

    def _rules(self, namespace: str, host: str, owner: str) -> tuple[ObjectKey, ...]:
        finder = self._finders.get(namespace)
        if finder is not None and (host, owner) in finder.chosen:
            return finder.chosen[host, owner]
        with self.recording() as seen:
            if finder is None:
                finder = _Finder(rules_finder(self.reader, namespace, self.root_namespace))
                self._finders[namespace] = finder
            found = finder.chosen[host, owner] = finder.find(host, owner)
        if seen:
            self.reads.note_more(namespace, seen)
        return found

    def _find_again(self, namespace: str) -> None:
        """The rules of a namespace may be others: whose answer differs, is touched."""
        before = self._finders.pop(namespace)
        self.reads.forget(namespace)
        for (host, owner), rules in before.chosen.items():
            asked = mark("rules", namespace, host, owner)
            if self.reads.of(asked) and self._rules(namespace, host, owner) != rules:
                self._touched.add(asked)
