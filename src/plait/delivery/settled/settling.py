"""Finds out, beside the builder, which objects are in effect, and has it written down.

The builder tells what it publishes and what proxies say. Proxies that have acknowledged what some object waits for are
given a token and asked for it; how far each object is then follows from the ledger. Nothing here is waited for by
the builder, and nothing is done for a publication that carries no object.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from plait.api.meta import ObjectKey
from plait.delivery.metrics import BUCKETS, bucket
from plait.delivery.settled.ledger import Ledger
from plait.delivery.settled.probe import new_token, no_resources, own_resources
from plait.delivery.settled.prober import Door, Finding, ProbeError, probe
from plait.delivery.settled.status import Told, current, generation_of
from plait.delivery.settled.verdict import Blame
from plait.xds.names import PROBE, PROBE_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from plait.delivery.builder import Refusal
    from plait.delivery.engine import Engine
    from plait.delivery.frames import Alike
    from plait.delivery.objects import Objects
    from plait.delivery.proxies import Proxy
    from plait.delivery.settled.verdict import Verdict
    from plait.xds.carriage import Carried
    from plait.xds.resource import ViewUpdate

log = logging.getLogger(__name__)

#: Versions of resources remembered with the objects that changed them: to blame the right one for a refusal.
_RECENT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. `grace`: after a start of delivery, for proxies to come back (Envoy tries again after at most 2 s, and
    looks the name up every second). `patience`: until a probe that finds no answer is called a failure; `warming`:
    until one that finds something warming rests. `rest`: between two such. `gather`: between two looks at the ledger.
    """

    grace: float = 5.0
    patience: float = 3.0
    warming: float = 20.0
    first: float = 0.005
    most: float = 0.25
    rest: float = 5.0
    gather: float = 0.01
    look: float = 0.25


class Words(Protocol):
    """Where what is known of objects goes (a StatusWriter)."""

    def put(self, key: ObjectKey, told: Told) -> None:
        """Note what is to be said."""
        ...

    def remove(self, key: ObjectKey) -> None:
        """An object is deleted."""
        ...


class Settling:
    """See the module. At most `at_once` proxies are asked at one time; each has its listener on `port`."""

    def __init__(
        self,
        engine: Engine,
        objects: Objects,
        words: Words,
        *,
        port: int = PROBE_PORT,
        at_once: int = 16,
        pace: Pace = Pace(),
        clock: Callable[[], float] = time.monotonic,
        ask: Callable[..., Any] = probe,
    ) -> None:
        self.ledger = Ledger()
        self.verdicts: dict[ObjectKey, Verdict] = {}
        self.probes = 0
        self.seconds = [0] * (len(BUCKETS) + 1)
        self.seconds_sum = 0.0
        self._engine = engine
        self._objects = objects
        self._words = words
        self._port = port
        self._pace = pace
        self._clock = clock
        self._ask = ask
        self._slots = asyncio.Semaphore(at_once)
        self._send: Callable[[int, tuple[ViewUpdate, ...]], None] = lambda *_: None
        self._doors: dict[int, Door] = {}
        self._closed: dict[int, str] = {}
        self._workers: dict[int, int] = {}
        self._probing: set[int] = set()
        self._resting: dict[int, float] = {}
        self._recent: OrderedDict[tuple[str, str, str], tuple[ObjectKey, ...]] = OrderedDict()
        self._tokens = 0
        self._since: dict[ObjectKey, float] = {}
        self._held_until: float | None = None
        self._begun = False
        self._wake = asyncio.Event()

    # what the builder tells

    def bind(self, send: Callable[[int, tuple[ViewUpdate, ...]], None]) -> None:
        """How a proxy's own resources are changed."""
        self._send = send

    def serving(self) -> None:
        """A delivery process has begun to serve: proxies come back one by one."""
        self._held_until = self._clock() + self._pace.grace
        self._wake.set()

    def published(self, batch: int, updates: Sequence[ViewUpdate], carried: Sequence[Carried]) -> None:
        """A publication went out; with no updates it changed nothing for anybody."""
        if not carried:
            self.ledger.batch = batch
            return
        resources: frozenset[tuple[str, str]] = frozenset()
        if any(one.views for one in carried):
            by_view: dict[str, list[ObjectKey]] = {}
            for one in carried:
                for view in one.views:
                    by_view.setdefault(view, []).append(one.object)
            resources = self._remember(updates, {view: tuple(keys) for view, keys in by_view.items()})
        self.ledger.published(batch, carried, resources)
        now = self._clock()
        for one in carried:
            if one.views:
                self._since.setdefault(one.object, now)
        self._wake.set()

    def _remember(
        self, updates: Sequence[ViewUpdate], by_view: Mapping[str, tuple[ObjectKey, ...]]
    ) -> frozenset[tuple[str, str]]:
        names: set[tuple[str, str]] = set()
        for update in updates:
            keys = by_view.get(update.view)
            if keys is None:
                continue
            names.update((update.type_url, name) for name in update.removed)
            for resource in update.upserts:
                names.add((update.type_url, resource.name))
                self._recent[update.type_url, resource.name, resource.version] = keys
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return frozenset(names)

    def removed(self, key: ObjectKey) -> None:
        """An object is deleted."""
        self.ledger.removed(key)
        self.verdicts.pop(key, None)
        self._since.pop(key, None)
        self._words.remove(key)

    def refresh(self, key: ObjectKey) -> None:
        """What analysis says of an object is other than before. A verdict that is still on its way is not waited for:
        until it comes, the condition it is about stays what it was, of the generation it was of.
        """
        obj = self._objects.find(str(key))
        if obj is None:
            return
        verdict = self.verdicts.get(key)
        if verdict is not None and verdict.generation != generation_of(obj):
            verdict = None
        self._words.put(key, Told(verdict, self._engine.problems_of(key)))

    def connected(self, proxy: Proxy) -> tuple[ViewUpdate, ...]:
        """A proxy came; the resources that are its own.

        One that is in no pod is not waited for: what it listens on is its machine's affair, and nobody can ask it.
        """
        if proxy.caller.group:
            return ()
        self.ledger.roll.connected(proxy.connection, proxy.id, proxy.views)
        self._wake.set()
        address = proxy.caller.node.ip
        if not address:
            self._closed[proxy.connection] = "it says no address of its own"
            return ()
        door = Door(address=address, port=self._port, secret=secrets.token_urlsafe(24))
        self._doors[proxy.connection] = door
        return own_resources(address, self._port, door.secret)

    def placed(self, proxy: Proxy, batch: int) -> None:
        """A proxy has other views from `batch` on."""
        self.ledger.placed(proxy.connection, proxy.views, batch)

    def disconnected(self, connection: int) -> None:
        """A stream is over."""
        self.ledger.disconnected(connection, self._clock())
        for known in (self._doors, self._closed, self._workers, self._resting):
            known.pop(connection, None)
        self._wake.set()

    def progressed(self, streams: Iterable[Alike]) -> None:
        """Where streams stand."""
        for alike in streams:
            self.ledger.roll.acknowledged(dict.fromkeys(alike.connections, alike.level))
            rejected = {each.type_url: each.rejected for each in alike.status}
            for connection in alike.connections:
                self.ledger.still_refused(connection, rejected)
        if self.ledger.pending:
            self._wake.set()

    def culprits(self, type_url: str, found: Iterable[tuple[str, str]], origins: Sequence[str]) -> tuple[str, ...]:
        """Of the objects that refused resources (name and version) were made from, those that changed them last."""
        changed = {str(key) for name, version in found for key in self._recent.get((type_url, name, version), ())}
        return tuple(origin for origin in origins if origin in changed) or tuple(origins)

    def refused(self, connection: int, refusal: Refusal) -> None:
        """A proxy refused something."""
        if refusal.names == (PROBE,):
            self._no_door(connection, refusal.message)
            return
        blames = {
            ObjectKey.parse(origin): Blame(proxy=refusal.proxy, message=refusal.message, path=path)
            for origin, path in zip(refusal.origins, refusal.paths, strict=True)
        }
        for name in refusal.names:
            self.ledger.refused(connection, (refusal.type_url, name), blames, withdrawn=refusal.withdrawn)
        self._wake.set()

    def _no_door(self, connection: int, why: str) -> None:
        """Its listener cannot be had, mostly since the port is taken: the proxy goes without."""
        if self._doors.pop(connection, None) is not None:
            log.warning("connection %d cannot be probed: %s", connection, why)
            self._closed[connection] = f"its listener for probes, port {self._port}, was refused: {why}"
            self._send(connection, no_resources())

    # questions

    def data_plane(self, connection: int) -> dict[str, Any]:
        """What is known of a proxy beyond what it acknowledged."""
        return self.ledger.state_of(connection)

    def shown(self, *, everything: bool) -> list[dict[str, Any]]:
        """How far objects are: those that wait, or all that changed since this process began."""
        pending = frozenset(self.ledger.pending)
        return [
            {"object": str(key), **asdict(verdict)}
            for key, verdict in sorted(self.verdicts.items())
            if everything or key in pending or verdict.state != "Settled"
        ]

    # the loop

    async def run(self) -> None:
        """Probe and tell, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._something()
                self._wake.clear()
                now = self._clock()
                held = self._held_until is None or now < self._held_until
                if not held and not self._begun:
                    self._begun = True
                    self.ledger.begin(self._engine.concerned, self._is_current)
                for connection in self.ledger.due():
                    if connection not in self._probing and self._resting.get(connection, now) <= now:
                        self._probing.add(connection)
                        tasks.create_task(self._probe(connection), name=f"probe {connection}")
                # Until proxies have had the time to come back, what the process before has said stays.
                if self._begun:
                    for key, verdict in self.ledger.verdicts(now, held=held).items():
                        self._tell(key, verdict)
                # What comes in one go is looked at once.
                await asyncio.sleep(self._pace.gather)

    async def _something(self) -> None:
        """Until something happened or, while objects wait, for a moment: proxies that are away are given up."""
        try:
            async with asyncio.timeout(self._pace.look if self.ledger.pending else None):
                await self._wake.wait()
        except TimeoutError:
            return

    def _is_current(self, key: ObjectKey, generation: int) -> bool:
        obj = self._objects.find(str(key))
        return obj is not None and current(obj, generation)

    def _tell(self, key: ObjectKey, verdict: Verdict) -> None:
        if self.verdicts.get(key) != verdict or verdict.final:
            self.verdicts[key] = verdict
            if verdict.state == "Settled" and (since := self._since.pop(key, None)) is not None:
                self.seconds[bucket(self._clock() - since)] += 1
                self.seconds_sum += self._clock() - since
            self._words.put(key, Told(verdict, self._engine.problems_of(key)))

    async def _probe(self, connection: int) -> None:
        """Ask one proxy until it answers as it should, or patience is over."""
        try:
            batch = self.ledger.due_of(connection)
            if batch is not None:
                await self._ask_until(connection, batch)
        finally:
            self._probing.discard(connection)
            self._wake.set()

    async def _ask_until(self, connection: int, batch: int) -> None:
        pace, began, pause = self._pace, self._clock(), self._pace.first
        door = self._doors.get(connection)
        if door is None:
            self._resting[connection] = began + pace.rest
            self.ledger.roll.unproved(connection, batch, failure=self._closed.get(connection, "it is gone"))
            return
        self._tokens += 1
        token = f"{batch}.{self._tokens}"
        self._send(connection, new_token(door.secret, token))
        while self._doors.get(connection) is door:
            failure = "it still answers with the configuration before"
            finding = Finding(ready=False)
            try:
                async with self._slots:
                    self.probes += 1
                    finding = await self._ask(door, token, workers=self._workers.get(connection, 1))
                    self._workers[connection] = finding.workers
            except ProbeError as error:
                failure = str(error)
            if finding.ready:
                self.ledger.roll.probed(connection, batch)
                return
            waited = self._clock() - began
            if finding.warming:
                self.ledger.roll.unproved(connection, batch, warming=True)
                self._wake.set()
            if waited > (pace.warming if finding.warming else pace.patience):
                self._resting[connection] = self._clock() + pace.rest
                if not finding.warming:
                    self.ledger.roll.unproved(connection, batch, failure=failure)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, pace.most)
