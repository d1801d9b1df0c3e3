"""The incremental core as one object: changes of objects in, changes of views out. Synchronous and without I/O.

`apply` takes what happened; nothing is computed for views nobody has. `take` brings every live view up to date and
tells what is different from the last `take`. The cost of one change is what depends on it, not the size of the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from plait.api.decode import decode, decoded_kinds
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.kit.memo import Key, Memo
from plait.mesh.config import MeshConfig
from plait.mesh.node import ProxyNode
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance
from plait.xds.fragments import VIEW_TYPES, Fragments, list_key
from plait.xds.resource import Resource, ViewUpdate
from plait.xds.views import ViewKey, views_of

_GROUPS: Final = frozenset(decoded_kinds())
_RULE_KINDS: Final = frozenset({"VirtualService", "DestinationRule", "Gateway"})


@dataclass(frozen=True, slots=True)
class Upsert:
    """An object was made or changed; `obj` is the JSON object as the API gives it."""

    obj: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """An object is gone."""

    group: str
    kind: str
    namespace: str
    name: str


Change: TypeAlias = Upsert | Remove


@dataclass(slots=True)
class _ViewPart:
    """One type of one view as delivery knows it. `members` maps names to fragments, `sent` to what was last told."""

    view: ViewKey
    type_url: str
    members: dict[str, Key] = field(default_factory=dict)
    sent: dict[str, Resource] = field(default_factory=dict)
    told: bool = False


class Engine:
    """The mesh's configuration, kept up to date.

    Fragments are pinned by the lists of live views, so that what no view needs is dropped.
    """

    def __init__(self, mesh: MeshConfig | None = None) -> None:
        self.mesh = mesh or MeshConfig()
        self.snapshot = Snapshot(self.mesh.domain)
        self._memo = Memo(Fragments(self.mesh).compute, self._read)
        self._problems: dict[ObjectKey, tuple[Problem, ...]] = {}
        #: Rules to check; True once the check is kept.
        self._checked: dict[ObjectKey, bool] = {}
        self._nodes: dict[ProxyNode, int] = {}
        self._views: dict[ProxyNode, tuple[ViewKey, ...]] = {}
        self._uses: dict[ViewKey, int] = {}
        self._parts: dict[Key, _ViewPart] = {}
        self._users: dict[Key, dict[tuple[Key, str], None]] = {}
        self._moved: dict[ProxyNode, None] = {}

    def _read(self, key: Key) -> Any:
        return self.snapshot.get(key)

    # --- in ------------------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> None:
        """Take over changes, in order. An object that cannot be used becomes a Problem; its last good version stays."""
        objects: list[ObjectChange] = []
        for change in changes:
            if isinstance(change, Remove):
                if (change.group, change.kind) in _GROUPS:
                    key = ObjectKey(change.kind, change.namespace, change.name)
                    self._problems.pop(key, None)
                    objects.append(ObjectChange(key, None))
                continue
            decoded = decode(change.obj)
            if decoded.key is None:
                continue
            self._problems.pop(decoded.key, None)
            if decoded.problems:
                self._problems[decoded.key] = decoded.problems
            if decoded.value is not None:
                objects.append(ObjectChange(decoded.key, decoded.value))
        self.snapshot, changed = advance(self.snapshot, objects)
        if changed:
            self._memo.invalidate(changed)
        self._check_rules(objects)
        if any(key[0] == "source-labels" for key in changed):
            self._place_again()

    def _check_rules(self, objects: list[ObjectChange]) -> None:
        """Keep a check for each rule; it is made when somebody asks for problems."""
        for key in {change.key for change in objects if change.key.kind in _RULE_KINDS}:
            exists = self.snapshot.object(key) is not None
            if exists:
                self._checked.setdefault(key, False)
            elif self._checked.pop(key, False):
                self._memo.unpin(("check", key))

    def attach(self, node: ProxyNode) -> tuple[str, ...]:
        """A proxy came; the names of its views. Every `attach` wants its `detach`."""
        self._nodes[node] = self._nodes.get(node, 0) + 1
        if node not in self._views:
            self._views[node] = ()
            self._place(node)
        return tuple(view.name for view in self._views[node])

    def detach(self, node: ProxyNode) -> None:
        """A proxy went. Views that nobody has any more are forgotten."""
        count = self._nodes.get(node, 0)
        if count > 1:
            self._nodes[node] = count - 1
        elif count == 1:
            del self._nodes[node]
            self._moved.pop(node, None)
            for view in self._views.pop(node):
                self._release(view)
            self._memo.sweep()

    def _place(self, node: ProxyNode) -> bool:
        """Give `node` the views it belongs to; True when they are others than before."""
        before = self._views[node]
        views = views_of(Reader(self.snapshot.get, self.mesh.domain), node)
        if views == before:
            return False
        self._views[node] = views
        for view in views:
            if view not in self._uses:
                self._uses[view] = 0
                for type_url in VIEW_TYPES:
                    self._parts[list_key(view, type_url)] = _ViewPart(view, type_url)
            self._uses[view] += 1
        for view in before:
            self._release(view)
        return True

    def _place_again(self) -> None:
        for node in self._nodes:
            if self._place(node):
                self._moved[node] = None

    def _release(self, view: ViewKey) -> None:
        self._uses[view] -= 1
        if self._uses[view]:
            return
        del self._uses[view]
        for type_url in VIEW_TYPES:
            key = list_key(view, type_url)
            part = self._parts.pop(key)
            for name in list(part.members):
                self._drop_member(key, part, name)
            if part.told:
                self._memo.unpin(key)

    # --- out -----------------------------------------------------------------------------------------------------

    def moved(self) -> tuple[tuple[ProxyNode, tuple[str, ...]], ...]:
        """Attached proxies whose views are others since the last call (a rule began to look at their labels).

        Call it before `take`, whose updates are of the new views.
        """
        nodes, self._moved = self._moved, {}
        return tuple((node, tuple(view.name for view in self._views[node])) for node in nodes)

    def take(self) -> tuple[ViewUpdate, ...]:
        """What is different in live views since the last call, in the order of delivery for each view.

        The first update of a view is complete: one for each type, even an empty one.
        """
        touched = self._memo.take_touched()
        pending: dict[Key, dict[str, None]] = {}
        for key, part in self._parts.items():
            if not part.told or key in touched:
                self._relist(key, part, pending)
        for fragment in touched:
            for key, name in self._users.get(fragment, ()):
                pending.setdefault(key, {})[name] = None
        updates = [update for key, names in pending.items() if (update := self._update(key, names)) is not None]
        self._memo.sweep()
        order = {type_url: place for place, type_url in enumerate(VIEW_TYPES)}
        return tuple(sorted(updates, key=lambda update: (update.view, order[update.type_url])))

    def _relist(self, key: Key, part: _ViewPart, pending: dict[Key, dict[str, None]]) -> None:
        """Bring the list of a part up to date; what joined or left it is pending."""
        if not part.told:
            self._memo.pin(key)
        members: dict[str, Key] = dict(self._memo.get(key))
        if part.told and members == part.members:
            return
        waiting = pending.setdefault(key, {})
        for name, fragment in members.items():
            before = part.members.get(name)
            if before == fragment:
                continue
            waiting[name] = None
            self._memo.pin(fragment)
            if before is not None:
                self._drop_member(key, part, name)
            part.members[name] = fragment
            self._users.setdefault(fragment, {})[key, name] = None
        for name in part.members.keys() - members.keys():
            waiting[name] = None
            self._drop_member(key, part, name)

    def _drop_member(self, key: Key, part: _ViewPart, name: str) -> None:
        fragment = part.members.pop(name)
        users = self._users[fragment]
        del users[key, name]
        if not users:
            del self._users[fragment]
        self._memo.unpin(fragment)

    def _update(self, key: Key, waiting: Iterable[str]) -> ViewUpdate | None:
        part = self._parts[key]
        upserts: list[Resource] = []
        removed: list[str] = []
        for name in sorted(waiting):
            fragment = part.members.get(name)
            resource: Resource | None = self._memo.get(fragment) if fragment is not None else None
            before = part.sent.get(name)
            if resource is None:
                if before is not None:
                    del part.sent[name]
                    removed.append(name)
            elif before is None or before.version != resource.version:
                part.sent[name] = resource
                upserts.append(resource)
        first, part.told = not part.told, True
        if not first and not upserts and not removed:
            return None
        return ViewUpdate(part.view.name, part.type_url, tuple(upserts), tuple(removed))

    # --- questions -----------------------------------------------------------------------------------------------

    def views(self) -> tuple[str, ...]:
        """The names of the live views."""
        return tuple(sorted(view.name for view in self._uses))

    def resources(self, view: str, type_url: str) -> tuple[Resource, ...]:
        """What a live view has as of the last `take`, sorted by name; empty for an unknown view."""
        for part in self._parts.values():
            if part.view.name == view and part.type_url == type_url:
                return tuple(part.sent[name] for name in sorted(part.sent))
        return ()

    def problems(self) -> Mapping[ObjectKey, tuple[Problem, ...]]:
        """What is wrong with the objects applied so far, in themselves and with each other.

        Like everything else, what has not changed is not looked at again.
        """
        result = dict(self._problems)
        for key, kept in self._checked.items():
            if not kept:
                self._memo.pin(("check", key))
                self._checked[key] = True
            found: tuple[Problem, ...] = self._memo.get(("check", key))
            if found:
                result[key] = (*result.get(key, ()), *found)
        return result

    def origin_of(self, type_url: str, name: str) -> tuple[str, ...]:
        """The objects (`KIND/NAMESPACE/NAME`) that a resource of any live view was made from, users' rules first."""
        found = {key for key in self._origin_keys(type_url, name) if self.snapshot.object(key) is not None}
        return tuple(str(key) for key in sorted(found, key=lambda key: (key.kind in _PLATFORM_KINDS, key)))

    def _origin_keys(self, type_url: str, name: str) -> Iterator[ObjectKey]:
        for part in self._parts.values():
            fragment = part.members.get(name) if part.type_url == type_url else None
            if fragment is not None:
                yield from (key[-1] for key in self._memo.sources(fragment) if isinstance(key[-1], ObjectKey))

    @property
    def computed(self) -> Mapping[str, int]:
        """How often fragments of each kind have been computed: cost without a clock."""
        return self._memo.computed


_PLATFORM_KINDS: Final = frozenset({"Service", "EndpointSlice", "Pod", "Namespace"})
