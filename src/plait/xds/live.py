"""Live views: which fragments each holds, and what of them was told last. Asked for what is different now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from plait.kit.alike import alike
from plait.kit.memo import Key, Memo
from plait.xds.fragments import VIEW_TYPES, list_key
from plait.xds.moves import Picture
from plait.xds.resource import SDS, Resource, ViewUpdate
from plait.xds.views import ViewKey


@dataclass(slots=True)
class _Part:
    """One type of one view. `listed` is the list as last read, `members` maps names to fragments, `sent` to what was
    last told.
    """

    view: ViewKey
    name: str
    type_url: str
    listed: tuple[tuple[str, Key], ...] = ()
    members: dict[str, Key] = field(default_factory=dict)
    sent: dict[str, Resource] = field(default_factory=dict)
    told: bool = False


class LiveViews:
    """The views that somebody has. They pin their fragments, so that what no view needs is dropped."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._uses: dict[ViewKey, int] = {}
        self._parts: dict[Key, _Part] = {}
        self._users: dict[Key, dict[tuple[Key, str], None]] = {}
        self._untold: dict[Key, None] = {}
        #: The lists of secrets that have any: of proxies that ask for credentials.
        self._asking: set[Key] = set()

    def use(self, view: ViewKey) -> None:
        """One more has the view; wants its `release`."""
        if view not in self._uses:
            self._uses[view] = 0
            name = view.name
            for type_url in VIEW_TYPES:
                key = list_key(view, type_url)
                self._parts[key] = _Part(view, name, type_url)
                self._untold[key] = None
        self._uses[view] += 1

    def release(self, view: ViewKey) -> None:
        """One less. A view that nobody has any more is forgotten."""
        self._uses[view] -= 1
        if self._uses[view]:
            return
        del self._uses[view]
        for type_url in VIEW_TYPES:
            key = list_key(view, type_url)
            part = self._parts.pop(key)
            self._asking.discard(key)
            for name in list(part.members):
                self._drop_member(key, part, name)
            if part.told:
                self._memo.unpin(key)

    def updates(self, touched: set[Key]) -> Iterator[ViewUpdate]:
        """What is different since the last call, view by view and made as it is asked for; `touched` are the fragments
        that may be different. In the order of delivery for each view. The first update of a view is complete: one for
        each type, even an empty one.
        """
        # A view's lists that may be others, and what may be other in its parts.
        due: dict[str, dict[Key, dict[str, None]]] = {}
        untold, self._untold = self._untold, {}
        lists = {key for key in (*untold, *touched) if key in self._parts}
        for key in lists:
            due.setdefault(self._parts[key].name, {})[key] = {}
        for fragment in touched:
            for key, name in self._users.get(fragment, ()):
                due.setdefault(self._parts[key].name, {}).setdefault(key, {})[name] = None
        for _, found in sorted(due.items()):
            for key in sorted(found, key=self._place):
                waiting = found[key]
                if key in lists:
                    self._relist(key, self._parts[key], waiting)
                update = self._update(key, waiting)
                if update is not None:
                    yield update

    def _place(self, key: Key) -> int:
        """Where a part stands in the order of delivery."""
        return _ORDER[self._parts[key].type_url]

    def _relist(self, key: Key, part: _Part, waiting: dict[str, None]) -> None:
        """Bring the list of a part up to date; what joined or left it is waiting."""
        if not part.told:
            self._memo.pin(key)
        listed, now = part.listed, self._memo.get(key)
        part.listed = now
        start, end = alike(listed, now)
        members: dict[str, Key] = dict(now[start : len(now) - end])
        known = part.members
        gone = [name for name, _ in listed[start : len(listed) - end] if name not in members]
        if part.told and not members and not gone:
            return
        for name, fragment in members.items():
            before = known.get(name)
            if before == fragment:
                continue
            waiting[name] = None
            self._memo.pin(fragment)
            if before is not None:
                self._drop_member(key, part, name)
            known[name] = fragment
            self._users.setdefault(fragment, {})[key, name] = None
        for name in gone:
            waiting[name] = None
            self._drop_member(key, part, name)
        if part.type_url == SDS:
            (self._asking.add if part.members else self._asking.discard)(key)

    def _drop_member(self, key: Key, part: _Part, name: str) -> None:
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
        return ViewUpdate(part.name, part.type_url, tuple(upserts), tuple(removed))

    # --- questions -----------------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """The names of the views."""
        return tuple(sorted(view.name for view in self._uses))

    def asking(self) -> list[ViewKey]:
        """The views that have secrets, in a fixed order."""
        return [self._parts[key].view for key in sorted(self._asking, key=str)]

    def holding(self, fragment: Key) -> Iterator[str]:
        """The names of the views that a fragment is in, or whose list it is."""
        part = self._parts.get(fragment)
        if part is not None:
            yield part.name
        for key, _ in self._users.get(fragment, ()):
            yield self._parts[key].name

    def having(self, wanted: Callable[[Key], bool]) -> frozenset[str]:
        """The names of the views that have such a fragment."""
        return frozenset(part.view.name for part in self._parts.values() if any(map(wanted, part.members.values())))

    def picture(self, view: ViewKey) -> Picture:
        """What a view was told so far."""
        parts = (self._parts.get(list_key(view, type_url)) for type_url in VIEW_TYPES)
        return {
            part.type_url: {name: resource.version for name, resource in part.sent.items()}
            for part in parts
            if part is not None and part.told
        }

    def makers(self, type_url: str, name: str, version: str = "") -> Iterator[Key]:
        """The fragments that make a resource of this name; with a `version`, of the views that were told it."""
        for part in self._parts.values():
            fragment = part.members.get(name) if part.type_url == type_url else None
            sent = part.sent.get(name)
            if fragment is not None and (not version or (sent is not None and sent.version == version)):
                yield fragment

    def told(self, view: str, type_url: str) -> tuple[Resource, ...]:
        """What a view was told of a type so far, sorted by name; empty for an unknown view."""
        for part in self._parts.values():
            if part.name == view and part.type_url == type_url:
                return tuple(part.sent[name] for name in sorted(part.sent))
        return ()


_ORDER = {type_url: place for place, type_url in enumerate(VIEW_TYPES)}
