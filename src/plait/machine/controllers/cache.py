"""What the controllers know of the API: one copy of each kind they watch, never older than their own last write.

Watches lag behind writes. A controller that created a pod and looks again before the watch told of it would create
another. So the answer to each own write goes into the cache at once, and rules keep the late watch from undoing it:

- an object is replaced only by one with a higher resourceVersion (one counter for all writes of the machine's API);
- an object we saw deleted stays deleted, however many older states of it are still on their way;
- the answer to a write is dropped if the watch told of the object's deletion while that answer was under way;
- an object that the cache owes to a write alone is asked for again until a watch confirms it or it is gone (`confirm`).

Objects in the cache are shared: nobody changes them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from plait.kube.kinds import POD
from plait.kube.reflect import ref_of
from plait.machine.controllers.objects import controller_of, labels_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from plait.kube.kinds import Kind
    from plait.kube.reflect import Batch, Ref

    Object = dict[str, Any]


class Change(NamedTuple):
    """An object changed, appeared (no `old`) or went (no `new`)."""

    kind: Kind
    ref: Ref
    old: Object | None
    new: Object | None


class InFlight:
    """A write under way: what the watch said of its kind meanwhile decides whether the answer still counts."""

    def __init__(self, cache: Cache, kind: Kind) -> None:
        self._cache = cache
        self._kind = kind
        self.deleted: set[Ref] = set()

    def put(self, obj: Object) -> None:
        """The server's answer: the object as it is now."""
        if ref_of(obj) not in self.deleted:
            self._cache.learn(self._kind, obj)

    def gone(self, obj: Object) -> None:
        """The server's answer: the object is no more."""
        self._cache.bury(self._kind, obj)


class Cache:
    """Objects by kind and name, with indexes by namespace, controller and (of pods) label."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds = tuple(kinds)
        self._objects: dict[Kind, dict[Ref, Object]] = {kind: {} for kind in self.kinds}
        self._by_namespace: dict[tuple[Kind, str], set[Ref]] = defaultdict(set)
        self._by_controller: dict[tuple[Kind, str], set[Ref]] = defaultdict(set)
        self._by_label: dict[tuple[str, str, str], set[Ref]] = defaultdict(set)
        self._buried: dict[tuple[Kind, Ref], str] = {}
        self._unconfirmed: dict[tuple[Kind, Ref], str] = {}
        self._in_flight: dict[Kind, set[InFlight]] = defaultdict(set)
        self._listeners: list[Callable[[Change], None]] = []
        self._unsynced = set(self.kinds)
        self._synced = asyncio.Event()
        self.on_unconfirmed: Callable[[Kind, Ref], None] = lambda _kind, _ref: None

    def listen(self, changed: Callable[[Change], None]) -> None:
        """Call `changed` with each change from now on."""
        self._listeners.append(changed)

    async def synced(self) -> None:
        """Wait until each kind's first list is here."""
        await self._synced.wait()

    # queries

    def get(self, kind: Kind, ref: Ref) -> Object | None:
        """By name."""
        return self._objects[kind].get(ref)

    def all(self, kind: Kind) -> Iterable[Object]:
        """Every object of a kind."""
        return self._objects[kind].values()

    def in_namespace(self, kind: Kind, namespace: str) -> list[Object]:
        """Every object of a kind in a namespace, by name."""
        objects = self._objects[kind]
        return [objects[ref] for ref in sorted(self._by_namespace.get((kind, namespace), ()))]

    def refs(self, kind: Kind, namespace: str) -> tuple[Ref, ...]:
        """The names of every object of a kind in a namespace."""
        return tuple(self._by_namespace.get((kind, namespace), ()))

    def controlled(self, kind: Kind, uid: str) -> list[Object]:
        """Every object whose controller has this uid, by name."""
        objects = self._objects[kind]
        return [objects[ref] for ref in sorted(self._by_controller.get((kind, uid), ()))]

    def orphans(self, kind: Kind, namespace: str) -> list[Object]:
        """Every object of a namespace that has no controller."""
        objects = self._objects[kind]
        return [objects[ref] for ref in sorted(self._by_controller.get((kind, f"/{namespace}"), ()))]

    def pods_labelled(self, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Every pod of a namespace with all of these labels (there must be one), by name."""
        sets = [self._by_label.get((namespace, key, value), set()) for key, value in labels.items()]
        objects = self._objects[POD]
        return [objects[ref] for ref in sorted(set.intersection(*sets))]

    # changes

    def apply(self, batch: Batch) -> None:
        """Take in what a watch reports."""
        for ref in batch.deletes:
            for flight in self._in_flight.get(batch.kind, ()):
                flight.deleted.add(ref)
            self._buried.pop((batch.kind, ref), None)
            self._unconfirmed.pop((batch.kind, ref), None)
            self._set(batch.kind, ref, None)
        for obj in batch.upserts:
            ref = ref_of(obj)
            self._unconfirmed.pop((batch.kind, ref), None)
            self._put(batch.kind, ref, obj)
        if batch.synced:
            self._unsynced.discard(batch.kind)
            if not self._unsynced:
                self._synced.set()

    @contextmanager
    def writing(self, kind: Kind) -> Iterator[InFlight]:
        """Around each write, from before the request until its answer is noted."""
        flight = InFlight(self, kind)
        self._in_flight[kind].add(flight)
        try:
            yield flight
        finally:
            self._in_flight[kind].discard(flight)

    def learn(self, kind: Kind, obj: Object) -> None:
        """Take in an object that the API answered with."""
        if kind not in self._objects:
            return
        ref = ref_of(obj)
        known = self._objects[kind].get(ref)
        if known is None or known["metadata"]["uid"] != obj["metadata"]["uid"]:
            self._unconfirmed[kind, ref] = obj["metadata"]["uid"]
            self.on_unconfirmed(kind, ref)
        self._put(kind, ref, obj)

    def bury(self, kind: Kind, obj: Object) -> None:
        """Forget an object that the API says is gone, also against older news of it."""
        if kind not in self._objects:
            return
        ref, uid = ref_of(obj), obj["metadata"]["uid"]
        known = self._objects[kind].get(ref)
        if known is None or known["metadata"]["uid"] != uid:
            return
        self._unconfirmed.pop((kind, ref), None)
        self._buried[kind, ref] = uid
        self._set(kind, ref, None)

    def unconfirmed(self, kind: Kind, ref: Ref) -> str | None:
        """The uid of the object if only an own write, and no watch yet, told of it."""
        return self._unconfirmed.get((kind, ref))

    def lost(self, kind: Kind, ref: Ref, uid: str) -> None:
        """The unconfirmed object with this uid is no more; nothing, if a watch has told of the name meanwhile."""
        if self._unconfirmed.get((kind, ref)) != uid:
            return
        del self._unconfirmed[kind, ref]
        known = self._objects[kind].get(ref)
        if known is not None and known["metadata"]["uid"] == uid:
            self._set(kind, ref, None)

    def _put(self, kind: Kind, ref: Ref, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if buried := self._buried.get((kind, ref)):
            if buried == uid:
                return
            del self._buried[kind, ref]
        known = self._objects[kind].get(ref)
        if known is None or version_of(known) < version_of(obj):
            self._set(kind, ref, obj)

    def _set(self, kind: Kind, ref: Ref, new: Object | None) -> None:
        old = self._objects[kind].get(ref)
        if old is None and new is None:
            return
        if old is not None:
            self._unindex(kind, ref, old)
        if new is None:
            del self._objects[kind][ref]
        else:
            self._objects[kind][ref] = new
            self._index(kind, ref, new)
        for listener in self._listeners:
            listener(Change(kind, ref, old, new))

    def _index(self, kind: Kind, ref: Ref, obj: Object) -> None:
        self._by_namespace[kind, ref.namespace].add(ref)
        self._by_controller[kind, _controller_key(ref, obj)].add(ref)
        if kind == POD:
            for item in labels_of(obj).items():
                self._by_label[ref.namespace, *item].add(ref)

    def _unindex(self, kind: Kind, ref: Ref, obj: Object) -> None:
        _drop(self._by_namespace, (kind, ref.namespace), ref)
        _drop(self._by_controller, (kind, _controller_key(ref, obj)), ref)
        if kind == POD:
            for item in labels_of(obj).items():
                _drop(self._by_label, (ref.namespace, *item), ref)


def _controller_key(ref: Ref, obj: Object) -> str:
    """The controller's uid, or for an orphan its namespace behind a slash, which no uid begins with."""
    owner = controller_of(obj)
    return str(owner["uid"]) if owner is not None else f"/{ref.namespace}"


def _drop(index: dict[Any, set[Ref]], key: Any, ref: Ref) -> None:
    entries = index[key]
    entries.discard(ref)
    if not entries:
        del index[key]
