"""Hands shipments to the broker."""

from __future__ import annotations

import asyncio
import sys

from sockshop.amqp import shipments
from sockshop.amqp.link import Broker, Link, keep

PATIENCE_SECONDS = 4.0
"""How long a shipment waits for a broker that is not there. Then it is lost, and the caller is not told: as in the
original, but a second sooner, for orders waits 5 s, and an order is not to fail of this."""


class Desk:
    """A connection to the broker, made again whenever it is lost."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to connect."""
        self._task = asyncio.create_task(keep(self._broker, self._hold, complain=_complain))

    async def close(self) -> None:
        """Ends the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def alive(self) -> bool:
        """Whether the broker is there."""
        return self._connected.is_set()

    async def ship(self, body: bytes) -> bool:
        """Whether a shipment's JSON went to the broker."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    await self._connected.wait()
                    if self._link is not None and await _published(self._link, body):
                        return True
                    self._connected.clear()
        except TimeoutError:
            _complain("no broker: a shipment is lost")
            return False

    async def _hold(self, link: Link) -> None:
        """Keeps the connection for `ship` until it breaks."""
        await shipments.declare(link)
        self._link = link
        self._connected.set()
        try:
            while True:
                await link.next()
        finally:
            self._link = None
            self._connected.clear()


async def _published(link: Link, body: bytes) -> bool:
    try:
        await link.publish("", shipments.QUEUE, shipments.message(body))
    except OSError:
        return False
    return True


def _complain(text: str) -> None:
    sys.stderr.write(f"shipping: {text}\n")
