"""Which objects a publication carries, and to whom: what lets an object know when all proxies concerned have it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plait.api.meta import ObjectKey
from plait.kit.memo import Key, Memo
from plait.xds.resource import EDS, LDS, ViewUpdate
from plait.xds.views import PLACING

#: Kinds whose objects say of themselves whether they are in effect.
ACTING: Final = frozenset(
    {
        "VirtualService",
        "DestinationRule",
        "Gateway",
        "ServiceEntry",
        "WorkloadEntry",
        "Sidecar",
        "EnvoyFilter",
        "PeerAuthentication",
        "AuthorizationPolicy",
        "RequestAuthentication",
    }
)
#: Groups of these kinds; Gateway API's Gateway is another kind.
_GROUPS: Final = ("networking.istio.io/", "security.istio.io/")


@dataclass(frozen=True, slots=True)
class Carried:
    """One generation of an object, and the views that are different because of it.

    `endpoints_only`: nothing but addresses of endpoints changed, which a proxy uses as soon as it acknowledges them.
    """

    object: ObjectKey
    generation: int
    views: frozenset[str] = frozenset()
    endpoints_only: bool = False


class Carriage:
    """Notes between two publications which objects changed, and tells afterwards what became of it."""

    def __init__(self) -> None:
        self._generations: dict[ObjectKey, int] = {}
        self._causes: dict[ObjectKey, set[Key]] = {}
        self._newest: dict[ObjectKey, int] = {}
        self._others = False
        self._since = 0

    def note(self, obj: Mapping[str, Any], key: ObjectKey) -> None:
        """An object was made or changed, or read again."""
        if key.kind in ACTING and str(obj.get("apiVersion", "")).startswith(_GROUPS):
            self._generations[key] = self._newest[key] = int((obj.get("metadata") or {}).get("generation") or 0)

    def again(self, key: ObjectKey, entry: Key) -> None:
        """What an object asked for has come, under `entry`: the same generation has more to it than before."""
        if key in self._newest:
            self._generations[key] = self._newest[key]
            self._causes.setdefault(key, set()).add(entry)

    def gone(self, key: ObjectKey) -> None:
        """An object is deleted: it has nothing to know any more, but it is a cause."""
        self._generations.pop(key, None)
        self._newest.pop(key, None)
        self._others = True

    def caused(self, causes: Mapping[ObjectKey, Collection[Key]]) -> None:
        """Which keys of the world an object changed."""
        for key, keys in causes.items():
            if not keys:
                continue
            if key in self._generations:
                self._causes.setdefault(key, set()).update(keys)
            else:
                self._others = True

    def take(
        self,
        memo: Memo,
        updates: Sequence[ViewUpdate],
        users: Callable[[Key], Iterable[str]],
        *,
        held: Collection[ObjectKey] = (),
        moves: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()),
    ) -> tuple[Carried, ...]:
        """What the publication of `updates` carries; `users` says in which views a fragment is.
        Objects that are `held` are not in it yet. `moves` are views that proxies came to: those that hold what their
        proxies had before, and those that do not.

        With one cause it is everything. Of several, each answers for what stands on what it changed, a little more
        where they changed the same set.
        """
        generations = {key: number for key, number in self._generations.items() if key not in held}
        causes, others = self._causes, self._others
        self._generations = {key: number for key, number in self._generations.items() if key in held}
        self._causes, self._others = {}, False
        since, self._since = self._since, memo.epoch
        same, other = moves
        if not generations:
            return ()
        types: dict[str, set[str]] = {}
        for update in updates:
            types.setdefault(update.view, set()).add(update.type_url)
        alone = len(causes) == 1 and not others
        found = []
        for key, generation in generations.items():
            keys = causes.get(key, set())
            if not keys or not (types or other):
                views: frozenset[str] = frozenset()
            elif alone or any(each[0] in PLACING for each in keys):
                # Who moves proxies to other views answers for those views, which nothing led to before.
                views = other.union(types) - same
            else:
                changed = memo.changed_by(keys, since=since)
                views = frozenset(view for fragment in changed for view in users(fragment) if view in types)
            endpoints_only = bool(views) and all(types.get(view, {LDS}) <= {EDS} for view in views)
            found.append(Carried(key, generation, views, endpoints_only))
        return tuple(found)
