"""The delivery process: serves proxies from what the builder tells it, and tells the builder how they fare."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from plait.delivery.frames import (
    Alike,
    Assign,
    Certify,
    Channel,
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
from plait.delivery.metrics import BUCKETS, bucket
from plait.delivery.pieces import updates_of
from plait.delivery.server import Delivery, Limits
from plait.delivery.store import ViewStore
from plait.delivery.wire import METHOD
from plait.kit.aio.calm import collect_in_calm

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.delivery.auth import Prover
    from plait.delivery.standing import TypeStatus
    from plait.delivery.store import Push
    from plait.delivery.stream import Reaction
    from plait.delivery.wire import Caller
    from plait.rpc.stream import Handler, Transport

log = logging.getLogger(__name__)

#: Statuses are gathered this long, in seconds: a push to a hundred proxies is one frame, not three hundred.
_GATHER = 0.02
#: And so long for those that are about to answer.
_PATIENCE = 0.2


class Reporter:
    """Observer that reports to the builder."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._dirty: dict[int, None] = {}
        self._signal = asyncio.Event()
        self._pushes: dict[str, int] = {}
        self._rejects: dict[str, int] = {}
        self._convergence = [0] * (len(BUCKETS) + 1)
        self._convergence_sum = 0.0

    def connected(self, connection: int, caller: Caller) -> None:
        """See Observer."""
        self._channel.post(Connected(connection, caller))

    def disconnected(self, connection: int) -> None:
        """See Observer."""
        self._dirty.pop(connection, None)
        self._channel.post(Disconnected(connection))

    def progressed(self, connection: int) -> None:
        """See Observer."""
        self._dirty[connection] = None
        self._signal.set()

    def pushed(self, push: Push) -> None:
        """See Observer."""
        self._pushes[push.type_url] = self._pushes.get(push.type_url, 0) + 1

    def reacted(self, connection: int, reaction: Reaction) -> None:
        """See Observer."""
        push = reaction.push
        if reaction.error is not None:
            self._rejects[push.type_url] = self._rejects.get(push.type_url, 0) + 1
            versions = tuple(push.versions.get(name, "") for name in reaction.refused)
            self._channel.post(Refused(connection, push.type_url, reaction.refused, reaction.error, versions))
        elif push.since is not None:
            seconds = time.monotonic() - push.since
            self._convergence[bucket(seconds)] += 1
            self._convergence_sum += seconds

    def reported(self, connection: int, fault: str) -> None:
        """See Observer."""
        self._channel.post(Reported(connection, fault))

    async def run(self, delivery: Delivery) -> None:
        """Send statuses as they change, until cancelled."""
        loop = asyncio.get_running_loop()
        #: Until when to wait for who is about to answer, and is looked at when it has; so is who has the beginning of a
        #: publication, with its end.
        waiting: dict[int, float] = {}
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next(iter(waiting.values()), None)):
                    await self._signal.wait()
            await asyncio.sleep(_GATHER)
            self._signal.clear()
            dirty, self._dirty = self._dirty, {}
            now = loop.time()
            for connection in (*dirty,):
                if not delivery.unsettled(connection):
                    waiting.pop(connection, None)
                elif waiting.setdefault(connection, now + _PATIENCE) > now:
                    del dirty[connection]
            for connection, until in (*waiting.items(),):
                if until > now:
                    break
                del waiting[connection]
                dirty[connection] = None
            if not dirty:
                continue
            alike: dict[tuple[int, ...], tuple[tuple[TypeStatus, ...], int, list[int]]] = {}
            for connection in dirty:
                status, level = delivery.standing(connection)
                if status:
                    # Equal parts are one value (see ProxyStream.status), so identity will do, and is quicker.
                    alike.setdefault((level, *map(id, status)), (status, level, []))[2].append(connection)
            streams = tuple(Alike(status, level, tuple(found)) for status, level, found in alike.values())
            counters = Counters(
                dict(self._pushes), dict(self._rejects), tuple(self._convergence), self._convergence_sum
            )
            self._channel.post(Progress(streams, counters))
            await self._channel.drain()


class SecurePort(Protocol):
    """The port with TLS, which has no certificate before it is told of the mesh's authority."""

    def take(self, frame: Certify) -> None:
        """The authority from now on."""
        ...

    async def serve(self, streams: Handler, *, started: Callable[[int], None]) -> None:
        """Serve ADS, and whatever else is asked there, from when there is an authority until cancelled."""
        ...


async def run_delivery(
    channel: Channel,
    transport: Transport,
    prover: Prover,
    *,
    secure: SecurePort | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve until the builder is gone; proxies are let in when it says Serve. Raises OSError when it cannot listen."""
    reporter = Reporter(channel)
    store = ViewStore(secrets.token_hex(3))
    delivery = Delivery(store, prover, reporter, limits=limits or Limits())
    async with asyncio.TaskGroup() as tasks:
        owned = [
            tasks.create_task(reporter.run(delivery), name="report"),
            tasks.create_task(collect_in_calm(lambda: store.work + delivery.connections), name="collect"),
        ]
        while (frame := await channel.receive()) is not None:
            match frame:
                case Fill():
                    # One step: nobody is at this batch before being told of its views.
                    delivery.apply(updates_of(frame, store), since=frame.since, batch=frame.batch)
                    for each in frame.assigns:
                        delivery.assign(each.connection, each.views)
                case Assign():
                    delivery.assign(frame.connection, frame.views, frame.own)
                case Own():
                    delivery.amend(frame.connection, frame.updates)
                case Drop():
                    delivery.drop(frame.views)
                case Certify():
                    if secure is not None:
                        secure.take(frame)
                case Serve():
                    # What was filled so far stays for good: the collector need not look at it again and again.
                    gc.collect()
                    gc.freeze()
                    serving = transport.serve(
                        {METHOD: delivery.handle}, started=lambda port: channel.post(Serving(port))
                    )
                    owned.append(tasks.create_task(serving, name="serve"))
                    if secure is not None:
                        serving = secure.serve(
                            delivery.handle, started=lambda port: channel.post(Serving(port, secure=True))
                        )
                        owned.append(tasks.create_task(serving, name="serve with TLS"))
        log.info("the builder is gone; closing %d streams", delivery.streams)
        for task in owned:
            task.cancel()
