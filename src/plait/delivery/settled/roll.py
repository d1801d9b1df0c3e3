"""Which proxies there are, the views of each, and how far it has come. Time is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from plait.api.meta import ObjectKey

Resource = tuple[str, str]
"""Type URL and name."""


@dataclass(slots=True)
class Proxy:
    """One connection. `level` is the batch that it has acknowledged, `probed` the one that a probe has proved.

    `warming` and `failure` are what the last probe found, of the batch `tried`. Levels below `floor` were about other
    views. `refused` are resources, each with the objects that it comes from.
    """

    name: str
    views: tuple[str, ...] = ()
    level: int = -1
    floor: int = -1
    probed: int = -1
    tried: int = -1
    warming: bool = False
    failure: str = ""
    refused: dict[Resource, tuple[ObjectKey, ...]] = field(default_factory=dict)


class Roll:
    """See the module. `away` is how many seconds a proxy that lost its stream is waited for."""

    def __init__(self, *, away: float) -> None:
        self._away_for = away
        self._proxies: dict[int, Proxy] = {}
        self._views: dict[str, dict[int, None]] = {}
        self._away: dict[str, tuple[tuple[str, ...], float]] = {}

    def get(self, connection: int) -> Proxy | None:
        """The proxy of a connection, if it is open."""
        return self._proxies.get(connection)

    def connected(self, connection: int, name: str, views: tuple[str, ...]) -> None:
        """A proxy came; it is not known yet what it has."""
        self._away.pop(name, None)
        self._proxies[connection] = Proxy(name)
        self.placed(connection, views)

    def placed(self, connection: int, views: tuple[str, ...], batch: int = -1) -> None:
        """A proxy has these views from `batch` on."""
        proxy = self._proxies.get(connection)
        if proxy is None:
            return
        self._leave(connection, proxy)
        proxy.views = views
        for view in views:
            self._views.setdefault(view, {})[connection] = None
        proxy.level, proxy.floor = -1, batch

    def disconnected(self, connection: int, now: float) -> Proxy | None:
        """A stream is over; the proxy counts for a while, since it may come back with what it had."""
        proxy = self._proxies.pop(connection, None)
        if proxy is None:
            return None
        self._leave(connection, proxy)
        if not any(other.name == proxy.name for view in proxy.views for other in self._of(view)):
            self._away[proxy.name] = (proxy.views, now + self._away_for)
        return proxy

    def _leave(self, connection: int, proxy: Proxy) -> None:
        for view in proxy.views:
            here = self._views.get(view, {})
            here.pop(connection, None)
            if not here:
                self._views.pop(view, None)

    def _of(self, view: str) -> Iterable[Proxy]:
        return (self._proxies[connection] for connection in self._views.get(view, ()))

    def acknowledged(self, levels: Mapping[int, int]) -> None:
        """Up to which batch proxies have acknowledged everything."""
        for connection, level in levels.items():
            if (proxy := self._proxies.get(connection)) is not None:
                proxy.level = level if level >= proxy.floor else -1

    def probed(self, connection: int, batch: int) -> None:
        """A probe of everything up to `batch` was answered by the new configuration, and nothing is warming."""
        if (proxy := self._proxies.get(connection)) is not None:
            proxy.probed = max(proxy.probed, batch)
            proxy.tried, proxy.warming, proxy.failure = batch, False, ""

    def unproved(self, connection: int, batch: int, *, warming: bool = False, failure: str = "") -> None:
        """A probe found something `warming`, or got no answer."""
        if (proxy := self._proxies.get(connection)) is not None:
            proxy.tried, proxy.warming, proxy.failure = batch, warming, failure

    def give_up(self, now: float) -> None:
        """Proxies that have been away for too long count no more."""
        for name, (_, until) in tuple(self._away.items()):
            if now >= until:
                del self._away[name]

    def away(self, wants: Mapping[str, int]) -> list[str]:
        """Who of some views is away and may come back."""
        return [name for name, (views, _) in self._away.items() if not wants.keys().isdisjoint(views)]

    def needs(self, wants: Mapping[str, int]) -> Iterator[tuple[int, Proxy, int]]:
        """The proxies of some views, each with its connection and the batch it needs."""
        found: dict[int, int] = {}
        for view, batch in wants.items():
            for connection in self._views.get(view, ()):
                found[connection] = max(batch, found.get(connection, -1))
        return ((connection, self._proxies[connection], batch) for connection, batch in found.items())
