"""The HTTP side of the carts."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TextIO

from aiohttp import web

from sockshop.carts.baskets import Baskets, NoItemError
from sockshop.mongo.client import MongoError
from sockshop.service import spring
from sockshop.service.gojson import Float32
from sockshop.service.spring import Float, SpringError

_INT_MAX = 2**31 - 1


class Carts:
    """Handlers over the baskets."""

    def __init__(self, baskets: Baskets, *, access_log: TextIO | None = None) -> None:
        self._baskets = baskets
        self._access_log = access_log

    def app(self) -> web.Application:
        """The service as an aiohttp application; it serves without its database too."""
        app = spring.application("carts", access_log=self._access_log)
        cart, items = "/carts/{customer}", "/carts/{customer}/items"
        for method, path, handler in (
            ("GET", cart, self._show),
            ("DELETE", cart, self._discard),
            ("GET", f"{cart}/merge", self._merge),
            ("GET", items, self._items),
            ("POST", items, self._add),
            ("PATCH", items, self._change),
            ("GET", f"{items}/{{item}}", self._item),
            ("DELETE", f"{items}/{{item}}", self._remove),
        ):
            app.router.add_route(method, path, _guarded(handler))
        app.router.add_get("/health", self._health)
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        yield
        await self._baskets.close()

    async def _show(self, request: web.Request) -> web.Response:
        cart = await self._baskets.cart(_customer(request))
        return spring.answer(200, {"customerId": cart["customerId"]})

    async def _discard(self, request: web.Request) -> web.Response:
        await self._baskets.discard(_customer(request))
        return spring.empty(202)

    async def _merge(self, request: web.Request) -> web.Response:
        session = request.query.get("sessionId")
        if session is None:
            exception = "org.springframework.web.bind.MissingServletRequestParameterException"
            raise SpringError(400, exception, "Required String parameter 'sessionId' is not present")
        await self._baskets.merge(_customer(request), session)
        return spring.empty(202)

    async def _items(self, request: web.Request) -> web.Response:
        return spring.answer(200, [_shown(item) for item in await self._baskets.items(_customer(request))])

    async def _add(self, request: web.Request) -> web.Response:
        item_id, quantity, price = _wanted(await spring.json_object(request))
        return spring.answer(201, _shown(await self._baskets.add(_customer(request), item_id, quantity, price)))

    async def _change(self, request: web.Request) -> web.Response:
        item_id, quantity, _ = _wanted(await spring.json_object(request))
        await self._baskets.change(_customer(request), item_id, quantity)
        return spring.empty(202)

    async def _item(self, request: web.Request) -> web.Response:
        return spring.answer(200, _shown(await self._baskets.item(_customer(request), request.match_info["item"])))

    async def _remove(self, request: web.Request) -> web.Response:
        await self._baskets.remove(_customer(request), request.match_info["item"])
        return spring.empty(202)

    async def _health(self, _request: web.Request) -> web.Response:
        return spring.health({"carts": True, "carts-db": await self._baskets.alive()})


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except NoItemError as error:
            raise SpringError(500, "java.lang.IllegalArgumentException", "Cannot find item in cart") from error
        except MongoError as error:
            exception = "org.springframework.dao.DataAccessResourceFailureException"
            raise SpringError(500, exception, str(error)) from error

    return handle


def _customer(request: web.Request) -> str:
    return request.match_info["customer"]


def _wanted(body: dict[str, Any]) -> tuple[str, int, float]:
    """Item id, quantity and price of a body; the front-end sends an empty one for a sock that nobody knows."""
    item_id, quantity, price = body.get("itemId"), body.get("quantity", 1), body.get("unitPrice")
    try:
        count = int(0 if quantity is None else quantity)
        amount = float(price or 0)
    except (TypeError, ValueError, OverflowError) as error:
        raise spring.unreadable(f"Could not read document: {error}") from error
    if not math.isfinite(Float32(amount).nearest()):
        raise spring.unreadable(f"Could not read document: unitPrice {amount} is out of range of float")
    if not -_INT_MAX - 1 <= count <= _INT_MAX:
        raise spring.unreadable(f"Could not read document: quantity {count} is out of range of int")
    return "" if item_id is None else str(item_id), count, amount


def _shown(item: dict[str, Any]) -> dict[str, object]:
    price = Float(item.get("unitPrice") or 0.0)
    return {
        "id": str(item["_id"]), "itemId": item.get("itemId"), "quantity": item.get("quantity"), "unitPrice": price
    }  # fmt: skip
