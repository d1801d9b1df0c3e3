"""Views: what classes of proxies share, kept as encoded resources, and the pushes made from them.

A view's resources of one type at one moment are a `Snapshot`, never changed once made. A proxy in sync holds a
reference to the snapshot it was sent, so proxies cost no copies; what a snapshot's successor changed is computed once
per view, and the bytes of a push are joined once for all proxies that need the same. Views of one proxy name
different resources.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import chain, takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary, ref

from plait.delivery.standing import type_status
from plait.delivery.wire import response_parts
from plait.rpc.stream import Message
from plait.xds.resource import ViewUpdate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from plait.delivery.standing import TypeStatus
    from plait.xds.resource import Resource

#: How many changes back a difference is found without comparing whole snapshots.
_LOG = 64
#: Differences remembered per view and type: one for each snapshot that some proxy still has.
_DIFFS = 32
#: Bodies of pushes remembered, in bytes.
_BODIES = 32 << 20
_NAME_SETS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The resources of one type in one view by name, at a revision (unique and rising within a store)."""

    revision: int
    resources: Mapping[str, Resource]


EMPTY = Snapshot(0, MappingProxyType({}))


@dataclass(slots=True)
class Difference:
    """What turns one snapshot into a later one; `adds` when a name is new. Not to be changed, but for `push`: the
    response that brings it, as long as somebody has still to acknowledge it.
    """

    upserts: tuple[Resource, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    adds: bool = False
    push: tuple[int, ref[Push] | None] = field(default=(0, None), compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What is remembered of a push once it is acknowledged, when its body is not needed any more.

    `synced` is how its type stands with a proxy that has acknowledged it and lacks nothing.
    """

    nonce: str
    revision: int
    synced: TypeStatus


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, weakref_slot=True)
class Push:
    """One response, shared by all streams it goes to: `versions` are those of its resources by name.

    `mark` has the store's revision when it was made. `since` is when the change that caused it was seen (monotonic
    seconds), None for answers to a proxy's own question.
    """

    type_url: str
    nonce: str
    message: Message = field(repr=False)
    versions: Mapping[str, str]
    removed: tuple[str, ...]
    mark: Mark
    since: float | None = None

    @property
    def body(self) -> bytes:
        """The message as a whole."""
        return bytes(self.message)


class View:
    """One view: its newest snapshot per type and how it came to be."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: The store's revision when anything here changed last.
        self.revision = 0
        self._heads: dict[str, Snapshot] = {}
        #: None in a store that nobody is served from: going through an empty WeakSet takes as long as all else here.
        self._sights: WeakSet[Sight] | None = None
        self._logs: dict[str, deque[tuple[int, tuple[str, ...]]]] = {}
        self._diffs: OrderedDict[tuple[int, int], Difference] = OrderedDict()
        self._wanted: OrderedDict[tuple[int, int, frozenset[str]], Difference] = OrderedDict()

    def head(self, type_url: str) -> Snapshot:
        """The newest resources of a type."""
        return self._heads.get(type_url, EMPTY)

    def types(self) -> tuple[str, ...]:
        """Types that ever had a resource here."""
        return tuple(self._heads)

    def changed_since(self, revision: int) -> tuple[str, ...]:
        """The types with a newer snapshot than of this revision."""
        return tuple([kind for kind, head in self._heads.items() if head.revision > revision])

    def watched(self, sight: Sight) -> None:
        """Tell it from now on what changes here."""
        if self._sights is None:
            self._sights = WeakSet()
        self._sights.add(sight)

    def apply(self, update: ViewUpdate, revision: int) -> bool:
        """Make the next snapshot; False, and nothing made, when every resource is already as told."""
        old = self.head(update.type_url)
        upserts = [r for r in update.upserts if (k := old.resources.get(r.name)) is None or k.version != r.version]
        removed = [name for name in update.removed if name in old.resources]
        if not upserts and not removed:
            return False
        resources = dict(old.resources)
        for name in removed:
            del resources[name]
        for resource in upserts:
            resources[resource.name] = resource
        self._heads[update.type_url] = Snapshot(revision, resources)
        self.revision = revision
        # What led to a snapshot that is no longer the newest is not asked again, and would keep its resources alive.
        self._diffs.clear()
        self._wanted.clear()
        for sight in self._sights or ():
            sight.changed(revision)
        log = self._logs.setdefault(update.type_url, deque(maxlen=_LOG))
        log.append((revision, (*(r.name for r in upserts), *removed)))
        return True

    def difference(self, type_url: str, base: Snapshot) -> Difference:
        """What a proxy that has `base` lacks."""
        head = self.head(type_url)
        if base is head:
            return Difference()
        key = (base.revision, head.revision)
        found = self._diffs.get(key)
        if found is None:
            found = _difference(base, head, self._touched(type_url, base))
            self._diffs[key] = found
            if len(self._diffs) > _DIFFS:
                self._diffs.popitem(last=False)
        return found

    def wanted(self, type_url: str, base: Snapshot, names: frozenset[str]) -> Difference:
        """What a proxy that has `base` lacks of `names`: the same for all that subscribe to the same."""
        key = (base.revision, self.head(type_url).revision, names)
        found = self._wanted.get(key)
        if found is None:
            whole = self.difference(type_url, base)
            upserts = tuple(r for r in whole.upserts if r.name in names)
            # A name is new where the base has not got it, whoever asked for it.
            found = Difference(upserts, tuple(pair for pair in whole.removed if pair[0] in names), whole.adds)
            self._wanted[key] = found
            if len(self._wanted) > _DIFFS:
                self._wanted.popitem(last=False)
        return found

    def _touched(self, type_url: str, base: Snapshot) -> Iterable[str]:
        """Names that may differ, in the order of the newest snapshot."""
        log = self._logs[type_url]
        # The oldest entry kept tells what changed at its revision: a base before that needs the whole comparison.
        if base.revision and log[0][0] <= base.revision:
            later = takewhile(lambda entry: entry[0] > base.revision, reversed(log))
            return dict.fromkeys(chain.from_iterable([names for _, names in later][::-1]))
        return {**dict.fromkeys(self.head(type_url).resources), **dict.fromkeys(base.resources)}


def _difference(base: Snapshot, head: Snapshot, names: Iterable[str]) -> Difference:
    upserts: list[Resource] = []
    removed: list[tuple[str, str]] = []
    adds = False
    for name in names:
        old, new = base.resources.get(name), head.resources.get(name)
        if new is None:
            if old is not None:
                removed.append((name, old.version))
        elif old is None or old.version != new.version:
            adds = adds or old is None
            upserts.append(new)
    return Difference(tuple(upserts), tuple(removed), adds)


class Sight:
    """What proxies with the same views see. What each of them asks for at every ACK is known here for all of them.

    `revision` is the store's when one of the views changed last.
    """

    __slots__ = ("__weakref__", "_since", "revision", "views")

    def __init__(self, views: tuple[View, ...]) -> None:
        self.views = views
        self.revision = max([view.revision for view in views], default=0)
        self._since: dict[int, frozenset[str]] = {}
        for view in views:
            view.watched(self)

    def changed(self, revision: int) -> None:
        """One of the views has changed."""
        self.revision = revision
        self._since.clear()

    def changed_since(self, revision: int) -> Collection[str]:
        """The types of which a view has a newer snapshot than of this revision."""
        found = self._since.get(revision)
        if found is None:
            found = self._since[revision] = frozenset(
                chain.from_iterable([view.changed_since(revision) for view in self.views])
            )
        return found


class ViewStore:
    """All views of a process, and the pushes made of them.

    `run` makes nonces of different processes different: a proxy that acknowledges to a new process what the one
    before sent is not misunderstood.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._views: dict[str, View] = {}
        self._sights: WeakValueDictionary[tuple[View, ...], Sight] = WeakValueDictionary()
        self._revision = 0
        self._nonces = 0
        self._pushes: OrderedDict[object, Push] = OrderedDict()
        self._bytes = 0
        self._names: OrderedDict[frozenset[str], frozenset[str]] = OrderedDict()
        self._subscribed: OrderedDict[tuple[frozenset[str], tuple[str, ...]], frozenset[str]] = OrderedDict()
        self._since: float | None = None
        #: Rises when pushes made before are not to be sent any more.
        self._made = 0
        # One value for all views that have it: each view's update brings its own.
        self._resources: WeakValueDictionary[tuple[str, str, str], Resource] = WeakValueDictionary()
        #: Where a resource in parts was told last, by type and name.
        self._in_parts: dict[tuple[str, str], str] = {}
        #: The publication that is in here as a whole.
        self.batch = 0

    @property
    def revision(self) -> int:
        """Rises with every change."""
        return self._revision

    @property
    def work(self) -> int:
        """Rises with every change and every push."""
        return self._revision + self._nonces

    def views(self) -> tuple[View, ...]:
        """All views."""
        return tuple(self._views.values())

    def view(self, name: str) -> View:
        """A view by name; one nobody described yet is empty."""
        found = self._views.get(name)
        if found is None:
            found = self._views[name] = View(name)
        return found

    def sight(self, names: Iterable[str]) -> Sight:
        """What who has these views sees: one value for all of them."""
        views = tuple([self.view(name) for name in names])
        found = self._sights.get(views)
        if found is None:
            found = self._sights[views] = Sight(views)
        return found

    def apply(self, updates: Iterable[ViewUpdate], *, since: float | None = None) -> frozenset[str]:
        """Take in changes; the names of the views that are different now."""
        changed = set()
        for update in updates:
            upserts = tuple([self._resources.setdefault((r.type_url, r.name, r.version), r) for r in update.upserts])
            for resource in upserts:
                if isinstance(resource.content, tuple):
                    self._in_parts[resource.type_url, resource.name] = update.view
            shared = ViewUpdate(update.view, update.type_url, upserts, update.removed)
            if self.view(update.view).apply(shared, self._revision + 1):
                self._revision += 1
                changed.add(update.view)
        if changed and (since is None or since != self._since):
            # What earlier pieces of the same publication led to still holds.
            self._since = since
            self._pushes.clear()
            self._bytes = 0
            self._made += 1
        return frozenset(changed)

    def relative(self, type_url: str, name: str) -> tuple[str, Resource] | None:
        """The view that was told a resource in parts of this name last, and the resource: others are much like it."""
        view = self._views.get(self._in_parts.get((type_url, name), ""))
        found = view.head(type_url).resources.get(name) if view is not None else None
        return (view.name, found) if view is not None and found is not None else None

    def amend(self, view: View, updates: Iterable[ViewUpdate]) -> None:
        """Change a view that only one proxy has, and that is in no store: the pushes of all others stay as they are."""
        for update in updates:
            self._revision += view.apply(update, self._revision + 1)

    def drop(self, names: Iterable[str]) -> None:
        """Forget views that no proxy has any more."""
        for name in names:
            self._views.pop(name, None)

    def push(self, type_url: str, upserts: Sequence[Resource], removed: Sequence[str], *, caused: bool) -> Push:
        """The response with these resources, made once between two publications.

        `caused` says that the store's last change caused it, rather than a proxy's question.
        """
        key = (type_url, tuple((r.name, r.version) for r in upserts), tuple(removed), caused)
        found = self._pushes.get(key)
        if found is not None:
            self._pushes.move_to_end(key)
            return found
        self._nonces += 1
        nonce = f"{self._run}-{self._nonces}"
        push = Push(
            type_url=type_url,
            nonce=nonce,
            message=Message(response_parts(type_url, nonce, chain.from_iterable([r.parts for r in upserts]), removed)),
            versions={r.name: r.version for r in upserts},
            removed=tuple(removed),
            mark=Mark(
                nonce,
                self._revision,
                type_status(type_url, "SYNCED", nonce, self._revision, nonce, self._revision, "", ()),
            ),
            since=self._since if caused else None,
        )
        self._pushes[key] = push
        self._bytes += len(push.message)
        while self._bytes > _BODIES and len(self._pushes) > 1:
            _, dropped = self._pushes.popitem(last=False)
            self._bytes -= len(dropped.message)
        return push

    def push_of(self, type_url: str, lacking: Difference) -> Push:
        """The response that brings what a change made different, to those who lack nothing else and lose nothing."""
        made, kept = lacking.push
        found = kept() if made == self._made and kept is not None else None
        if found is None:
            found = self.push(type_url, lacking.upserts, (), caused=True)
            lacking.push = self._made, ref(found)
        return found

    def share(self, names: frozenset[str]) -> frozenset[str]:
        """An equal set that other streams hold too: proxies of a view subscribe to the same names."""
        found = self._names.setdefault(names, names)
        self._names.move_to_end(found)
        if len(self._names) > _NAME_SETS:
            self._names.popitem(last=False)
        return found

    def subscribed(self, names: frozenset[str], more: tuple[str, ...]) -> frozenset[str]:
        """`names` and `more`: found again for the others of a view, who add the same to the same."""
        key = names, more
        found = self._subscribed.get(key)
        if found is None:
            found = self._subscribed[key] = self.share(names.union(more))
            if len(self._subscribed) > _NAME_SETS:
                self._subscribed.popitem(last=False)
        return found
