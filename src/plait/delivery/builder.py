"""The builder: objects to views, views to delivery, and back what proxies say.

It keeps every view it sent (by reference to the core's bytes), so that a delivery process that died is replaced by one
that knows as much. Everything here runs on one event loop and nothing in it waits, but for `publishing`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from plait.delivery.debounce import Debounce
from plait.delivery.follower import Follower, Refusal, Registers
from plait.delivery.frames import (
    Assign,
    Certified,
    Certify,
    Connected,
    Counters,
    Disconnected,
    Drop,
    Fill,
    Own,
    Progress,
    Refused,
    Reported,
    Serve,
    Serving,
)
from plait.delivery.pieces import pieces
from plait.delivery.proxies import Proxies, Proxy
from plait.delivery.store import ViewStore
from plait.delivery.totals import Totals
from plait.delivery.tracing import Tracer
from plait.xds.resource import ViewUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from plait.delivery.engine import Engine
    from plait.mesh.node import ProxyNode

__all__ = ["Builder", "Outlet", "Refusal"]

log = logging.getLogger(__name__)


def _noted(updates: Iterable[ViewUpdate], into: list[ViewUpdate]) -> Iterator[ViewUpdate]:
    """The updates as they come, which are kept too."""
    for update in updates:
        into.append(update)
        yield update


class Outlet(Protocol):
    """The way to the delivery process of the moment (a Channel)."""

    def post(self, frame: object) -> None:
        """Send without waiting."""
        ...

    async def drain(self) -> None:
        """Wait until it has read enough."""
        ...

    def close(self) -> None:
        """Give it up; the process ends."""
        ...


class Builder:
    """See the module. `keep` is how long views outlive their last proxy, in seconds: a proxy that reconnects, or all
    of them after a restart of delivery, find them ready. A delivery process that reads nothing for `stuck` seconds is
    given up.
    `patience` is how long a change waits for its other half: a route for its subset, a subset's end for the route's.
    `secure`: proxies are served by TLS too, as soon as there is an authority (`certify`).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        refused: Callable[[Refusal], None],
        published: Callable[[], None] | None = None,
        follower: Follower | None = None,
        registers: Registers | None = None,
        debounce: Debounce | None = None,
        keep: float = 30.0,
        stuck: float = 30.0,
        patience: float = 2.0,
        secure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.proxies = Proxies()
        self.totals = Totals()
        self.mirror = ViewStore("builder")
        self.port: int | None = None
        self.secure_port: int | None = None
        self._secure = secure
        self._certify: Certify | None = None
        self._certified = Certified()
        self._engine = engine
        self._refused = refused
        self._published = published
        self._follower = follower
        self._registers = registers
        if follower is not None:
            follower.bind(lambda connection, updates: self._post(Own(connection, updates)))
        self._tracer = Tracer(engine)
        self._batch = 0
        self._debounce = debounce or Debounce()
        self._keep = keep
        self._stuck = stuck
        self._patience = patience
        self._waiting: dict[Any, float] = {}
        self._clock = clock
        self._outlet: Outlet | None = None
        self._synced = False
        self._wake = asyncio.Event()
        self._attached: Counter[ProxyNode] = Counter()
        self._views: dict[ProxyNode, tuple[str, ...]] = {}
        self._users: Counter[str] = Counter()
        self._counted = Counters()

    def work(self) -> int:
        """A number that rises with what is done: with changes, publications and proxies that come."""
        return self.totals.changes + self.mirror.revision + sum(self._attached.values())

    @property
    def ready(self) -> bool:
        """The first full state is in, and proxies are being served."""
        served = self.port is not None and (self.secure_port is not None or not self._secure)
        return self._synced and served

    # from the source

    def apply(self, changes: Iterable[Any], *, endpoints_only: bool) -> None:
        """Take in changes; they reach proxies by way of `publishing`."""
        began = time.perf_counter()
        changes = tuple(changes)
        self._engine.apply(changes, patient=self._synced)
        self._wait_for_halves()
        self.totals.changes += len(changes)
        self.totals.build_seconds += time.perf_counter() - began
        if self._synced:
            self._debounce.note(self._clock(), endpoints_only=endpoints_only)
            self._wake.set()

    def keys_came(self, source: Any, keys: str | None) -> None:
        """Keys for tokens were fetched; None: in vain, where there are none yet."""
        self._engine.keys_came(source, keys)
        self._changed_besides()

    def keys_forgotten(self, source: Any) -> None:
        """Nobody wants the keys of a source any more."""
        self._engine.keys_forgotten(source)
        self._changed_besides()

    def _changed_besides(self) -> None:
        self._wait_for_halves()
        if self._synced:
            self._debounce.note(self._clock(), endpoints_only=False)
            self._wake.set()

    def synced(self) -> None:
        """Every kind has been read once: proxies may be served."""
        if not self._synced:
            self._synced = True
            self._publish(None)
            self._post(Serve())

    def certify(self, authority: Certify) -> None:
        """The mesh's authority from now on."""
        self._certify = authority
        self._post(authority)

    async def publishing(self) -> None:
        """Publish changes when they are due, until cancelled."""
        while True:
            due = min(self._waiting.values(), default=None)
            if (other := self._debounce.due()) is not None and (due is None or other <= due):
                due = other
            wait = None if due is None else due - self._clock()
            if wait is None or wait > 0:
                self._wake.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue  # it is due
            else:
                self._wait_no_longer()
                self._publish(self._debounce.published(self._clock()))
                await self._drain()

    def _wait_for_halves(self) -> None:
        """Note until when what the engine holds may wait; a newer state of an object has what time is left."""
        held, until = self._engine.held, self._clock() + self._patience
        self._waiting = {key: self._waiting.get(key, until) for key in held}

    def _wait_no_longer(self) -> None:
        now = self._clock()
        if over := [key for key, until in self._waiting.items() if until <= now]:
            log.info("taken as they are: %s", ", ".join(sorted(map(str, over))))
            self._engine.release(over)
            self._wait_for_halves()

    async def _drain(self) -> None:
        outlet = self._outlet
        if outlet is None:
            return
        try:
            async with asyncio.timeout(self._stuck):
                await outlet.drain()
        except TimeoutError:
            log.error("delivery has not read for %g s; replacing it", self._stuck)  # noqa: TRY400  (no fault of this code)
            outlet.close()

    def _publish(self, since: float | None) -> None:
        began = time.perf_counter()
        moved = self._engine.moved()
        revision = self.mirror.revision
        updates: list[ViewUpdate] = []
        last: Fill | None = None
        for piece in pieces(_noted(self._engine.taking(), updates), self.mirror, since):
            if last is not None:
                # Delivery has the first views while the engine is at the next.
                self._post(last)
            last = piece
        self.totals.build_seconds += time.perf_counter() - began
        changed = self.mirror.revision != revision
        if changed or moved:
            self._batch += 1
        unused: list[str] = []
        assigns: list[Assign] = []
        for node, views in moved:
            unused += self._use(node, views)
            for proxy in self.proxies.of(node):
                proxy.views = views
                assigns.append(Assign(proxy.connection, views))
                if self._follower is not None:
                    self._follower.placed(proxy, self._batch)
        if last is not None and (changed or assigns):
            self.totals.publications += changed
            self._post(msgspec.structs.replace(last, batch=self._batch, assigns=tuple(assigns)))
        carried = self._engine.carried()
        if self._follower is not None:
            self._follower.published(self._batch, updates, carried)
        if self._published is not None:
            self._published()
        self._drop(unused)

    # to and from delivery

    def connect(self, outlet: Outlet) -> None:
        """A delivery process has started: tell it everything."""
        self.totals.deliveries += 1
        self._counted, self._certified = Counters(), Certified()
        self._outlet = outlet
        if self._certify is not None:
            self._post(self._certify)
        told = (
            ViewUpdate(view.name, type_url, tuple(view.head(type_url).resources.values()))
            for view in self.mirror.views()
            for type_url in view.types()
        )
        for piece in pieces(told, ViewStore("delivery"), None):
            if piece.updates or piece.woven:
                self._post(msgspec.structs.replace(piece, batch=self._batch))
        if self._synced:
            self._post(Serve())

    def disconnect(self) -> None:
        """The delivery process is gone, its streams with it."""
        self._outlet = None
        self.port = self.secure_port = None
        for proxy in self.proxies.clear():
            if self._follower is not None:
                self._follower.disconnected(proxy.connection)
            if self._registers is not None:
                self._registers.disconnected(proxy.connection)
            self._release(proxy)

    def receive(self, frame: object) -> None:
        """Act on what delivery says."""
        match frame:
            case Serving(secure=True):
                self.secure_port = frame.port
                log.info("serving proxies by TLS on port %d", frame.port)
            case Certified():
                self.totals.certified(self._certified, frame)
                self._certified = frame
            case Serving():
                self.port = frame.port
                log.info("serving proxies on port %d", frame.port)
                if self._follower is not None:
                    self._follower.serving()
                if self._registers is not None:
                    self._registers.serving()
            case Connected():
                self._connected(frame)
            case Disconnected():
                if (proxy := self.proxies.remove(frame.connection)) is not None:
                    log.info("proxy %s disconnected (connection %d)", proxy.id, frame.connection)
                    if self._follower is not None:
                        self._follower.disconnected(frame.connection)
                    if self._registers is not None:
                        self._registers.disconnected(frame.connection)
                    self._release(proxy)
            case Progress():
                self.proxies.update(frame.streams)
                if self._follower is not None:
                    self._follower.progressed(frame.streams)
                self.totals.add(self._counted, frame.counters)
                self._counted = frame.counters
            case Refused():
                self._on_refused(frame)
            case Reported():
                if self._registers is not None:
                    self._registers.reported(frame.connection, frame.fault)

    def _connected(self, frame: Connected) -> None:
        views = self._engine.attach(frame.caller.node)
        self._attached[frame.caller.node] += 1
        proxy = Proxy(connection=frame.connection, caller=frame.caller, views=views)
        self.proxies.add(proxy)
        log.info("proxy %s connected (connection %d)", proxy.id, frame.connection)
        self._use(frame.caller.node, views)
        if self._registers is not None:
            self._registers.connected(proxy)
        # Views come before who sees them. Changes that wait to be published go along.
        self._publish(self._debounce.published(self._clock()) if self._debounce.due() is not None else None)
        own = self._follower.connected(proxy) if self._follower is not None else ()
        self._post(Assign(frame.connection, views, own))

    def _on_refused(self, frame: Refused) -> None:
        proxy = self.proxies.get(frame.connection)
        who = proxy.id if proxy else f"connection {frame.connection}"
        refusal = self._tracer.refusal(frame, who, self._follower.culprits if self._follower is not None else None)
        if refusal.withdrawn:
            self._debounce.note(self._clock(), endpoints_only=False)
            self._wake.set()
        if self._follower is not None:
            self._follower.refused(frame.connection, refusal)
        self._refused(self._tracer.as_first_told(refusal, frame))

    def _release(self, proxy: Proxy) -> None:
        """Let the views of a proxy go, after a while."""
        asyncio.get_running_loop().call_later(self._keep, self._detach, proxy.caller.node)

    def _detach(self, node: ProxyNode) -> None:
        self._engine.detach(node)
        self._attached[node] -= 1
        if not self._attached[node]:
            del self._attached[node]
            self._drop(self._use(node, ()))

    def _use(self, node: ProxyNode, views: tuple[str, ...]) -> list[str]:
        """Note which views a node has; those nobody has any more."""
        before = self._views.pop(node, ())
        if views:
            self._views[node] = views
        self._users.update(views)
        self._users.subtract(before)
        return [view for view in before if not self._users[view]]

    def _drop(self, unused: Iterable[str]) -> None:
        dead = tuple(view for view in unused if not self._users[view])
        for view in dead:
            del self._users[view]
        if dead:
            self.mirror.drop(dead)
            self._post(Drop(dead))

    def _post(self, frame: object) -> None:
        if self._outlet is not None:
            self._outlet.post(frame)
