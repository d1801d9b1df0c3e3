"""The HTTP side of the orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TextIO

from aiohttp import web

from sockshop.mongo.client import MongoError
from sockshop.orders import shown
from sockshop.orders.book import Book
from sockshop.orders.placing import Placing, PlacingError
from sockshop.service import spring
from sockshop.service.handover import trace_headers
from sockshop.service.spring import SpringError

_PAGE_SIZE = 20
_LARGEST_PAGE = 1000


class Orders:
    """Handlers over the book of orders."""

    def __init__(self, book: Book, placing: Placing, *, access_log: TextIO | None = None) -> None:
        self._book = book
        self._placing = placing
        self._access_log = access_log

    def app(self) -> web.Application:
        """The service as an aiohttp application; it serves without its database too."""
        app = spring.application("orders", access_log=self._access_log)
        app.router.add_post("/orders", _guarded(self._place))
        app.router.add_get("/orders", _guarded(self._page))
        app.router.add_get("/orders/search/customerId", _guarded(self._search))
        app.router.add_get("/orders/{id}", _guarded(self._one))
        app.router.add_get("/health", self._health)
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        await self._placing.open()
        yield
        await self._placing.close()
        await self._book.close()

    async def _place(self, request: web.Request) -> web.Response:
        order = await self._placing.place(await spring.json_object(request), trace_headers(request.headers))
        await self._book.enter(order)
        return spring.answer(201, shown.plain(order))

    async def _search(self, request: web.Request) -> web.Response:
        orders = await self._book.of_customer(request.query.get("custId", ""))
        return spring.answer(200, shown.found(orders, request.host, request.raw_path), spring.HAL)

    async def _one(self, request: web.Request) -> web.Response:
        order = await self._book.one(request.match_info["id"])
        if order is None:
            return spring.empty(404)
        return spring.answer(200, shown.linked(order, request.host), spring.HAL)

    async def _page(self, request: web.Request) -> web.Response:
        number, size = _number(request, "page", 0), _number(request, "size", _PAGE_SIZE)
        size = min(size, _LARGEST_PAGE) or _PAGE_SIZE
        orders, total = await self._book.page(number, size)
        document = shown.page(orders, request.host, number=number, size=size, total=total)
        return spring.answer(200, document, spring.HAL)

    async def _health(self, _request: web.Request) -> web.Response:
        return spring.health({"orders": True, "orders-db": await self._book.alive()})


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except PlacingError as error:
            raise SpringError(error.status, error.exception, str(error)) from error
        except MongoError as error:
            exception = "org.springframework.dao.DataAccessResourceFailureException"
            raise SpringError(500, exception, str(error)) from error

    return handle


def _number(request: web.Request, name: str, default: int) -> int:
    """A query parameter as Spring Data reads it: what is no number counts as absent."""
    text = request.query.get(name, "")
    return min(int(text), 2**31 - 1) if text.isascii() and text.isdecimal() else default
