"""The HTTP side of shipping."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TextIO

from aiohttp import web

from sockshop.service import spring
from sockshop.shipping.desk import Desk


class Shipping:
    """Handlers over the desk."""

    def __init__(self, desk: Desk, *, access_log: TextIO | None = None) -> None:
        self._desk = desk
        self._access_log = access_log

    def app(self) -> web.Application:
        """The service as an aiohttp application; it serves without a broker too."""
        app = spring.application("shipping", access_log=self._access_log)
        app.router.add_get("/shipping", self._all)
        app.router.add_get("/shipping/{id}", self._one)
        app.router.add_post("/shipping", self._ship)
        app.router.add_get("/health", self._health)
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        self._desk.open()
        yield
        await self._desk.close()

    async def _all(self, _request: web.Request) -> web.Response:
        return spring.text("GET ALL Shipping Resource.")

    async def _one(self, request: web.Request) -> web.Response:
        return spring.text(f"GET Shipping Resource with id: {request.match_info['id']}")

    async def _ship(self, request: web.Request) -> web.Response:
        """201 even when the broker is away: the original hides that from the order."""
        body = await spring.json_object(request)
        shipment = {name: body.get(name) for name in ("id", "name")}
        await self._desk.ship(spring.encode(shipment))
        return spring.answer(201, shipment)

    async def _health(self, _request: web.Request) -> web.Response:
        return spring.health({"shipping-rabbitmq": self._desk.alive(), "shipping": True})
