"""Takes every shipment, says so on stdout, and tells over HTTP how it is."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import TextIO

from aiohttp import web

from sockshop.amqp import shipments
from sockshop.amqp.link import Broker, Link, keep
from sockshop.service import spring

_PREFETCH = 50


class QueueMaster:
    """A consumer, and an application beside it. `out` is where each shipment is told."""

    def __init__(self, broker: Broker, *, out: TextIO, access_log: TextIO | None = None) -> None:
        self._broker = broker
        self._out = out
        self._access_log = access_log
        self._connected = False

    def app(self) -> web.Application:
        """The service as an aiohttp application; metrics are at `/prometheus`, as the Service's annotation says."""
        app = spring.application("queue-master", metrics="/prometheus", access_log=self._access_log)
        app.router.add_get("/health", self._health)
        app.cleanup_ctx.append(self._working)
        return app

    async def _working(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(keep(self._broker, self._work, complain=_complain))
        yield
        task.cancel()
        await asyncio.wait({task})

    async def _work(self, link: Link) -> None:
        """Consumes until the connection breaks. A shipment is acknowledged, whatever it says: nobody else wants it."""
        await shipments.declare(link)
        await link.ask("basic.qos", "basic.qos-ok", count=_PREFETCH)
        await link.ask("basic.consume", "basic.consume-ok", queue=shipments.QUEUE)
        self._connected = True
        try:
            while True:
                method, content = await link.next()
                if method.name == "basic.deliver":
                    self._out.write(f"Received shipment task: {_name(content.body)}\n")
                    self._out.flush()
                    await link.send("basic.ack", number=method["number"])
        finally:
            self._connected = False

    async def _health(self, _request: web.Request) -> web.Response:
        return spring.health({"queue-master": True, "queue-master-rabbitmq": self._connected})


def _name(body: bytes) -> str:
    """Whose shipment it is, on one line."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    name = value.get("name") if isinstance(value, dict) else body.decode("utf-8", "replace")
    return str(name).replace("\n", " ")


def _complain(text: str) -> None:
    sys.stderr.write(f"queue-master: {text}\n")
