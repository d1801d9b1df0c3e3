"""The HTTP side of the catalogue: routes, and how results and failures look on the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TextIO

from aiohttp import web

from sockshop.catalogue import page
from sockshop.catalogue.breaker import Breaker, RefusedError
from sockshop.catalogue.pictures import Pictures
from sockshop.catalogue.shelf import DatabaseError, NotFoundError
from sockshop.service import gohttp
from sockshop.service.histogram import CONTENT_TYPE, Histogram
from sockshop.service.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from sockshop.catalogue.sock import Sock

_ROUTES = {
    "/catalogue": "catalogue",
    "/catalogue/size": "catalogue_size",
    "/catalogue/{id}": "catalogue_id",
    "/tags": "tags",
    "/metrics": "metrics",
}
"""Route label of each route: its template with everything that is no letter or digit turned into `_`."""


class Socks(Protocol):
    """What the API asks of whoever keeps the socks."""

    async def open(self) -> None:
        """Gets ready; does not need the database yet."""

    async def close(self) -> None:
        """Lets go of everything."""

    async def socks(self, tags: Sequence[str]) -> list[Sock]:
        """All socks, or those with any of the tags."""

    async def size(self, tags: Sequence[str]) -> int:
        """How many that are."""

    async def sock(self, sock_id: str) -> Sock:
        """One sock."""

    async def tags(self) -> list[str]:
        """All tags."""

    async def alive(self) -> bool:
        """Whether there is anything to ask."""


class Catalogue:
    """Handlers over a shelf of socks.

    `images` is the folder of pictures. `breakers` turns on the original's circuit breakers; they are off unless asked
    for, because they count a 404 as a failure: six wrong links would take the detail pages away for half a minute, and
    in a mesh the breaker to be watched is the mesh's.
    """

    def __init__(self, shelf: Socks, *, images: Path, breakers: bool = False, access_log: TextIO | None = None) -> None:
        self._shelf = shelf
        self._pictures = Pictures(images)
        self._breakers = {name: Breaker() for name in ("list", "size", "get", "tags")} if breakers else {}
        self._durations = Histogram(
            name="request_duration_seconds",
            help="Time (in seconds) spent serving HTTP requests.",
            labels=("method", "route", "status_code", "isWS"),
        )
        self._journal = Journal(self._durations, labels=_labels, access_log=access_log)

    def app(self) -> web.Application:
        """The service as an aiohttp application; it opens and closes the shelf."""
        app = web.Application(middlewares=[self._journal.middleware, gohttp.plain_refusals])
        get = (("/catalogue", self._list), ("/catalogue/size", self._size), ("/catalogue/{id}", self._get))
        for path, handler in (*get, ("/tags", self._tags), ("/catalogue/images/{file:.*}", self._image)):
            app.router.add_get(path, handler, allow_head=False)
        app.router.add_get("/health{rest:.*}", self._health, allow_head=False)
        app.router.add_route("*", "/metrics", self._metrics)
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        await self._shelf.open()
        yield
        await self._shelf.close()

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        number, size = page.number(query.get("page"), 1), page.number(query.get("size"), 10)

        async def work() -> object:
            socks = page.cut(await self._shelf.socks(_wanted(request)), number, size)
            return None if socks is None else [sock.document() for sock in socks]

        try:
            return await self._answer("list", work)
        except page.OutOfRangeError:
            return _hang_up(request)

    async def _size(self, request: web.Request) -> web.Response:
        async def work() -> object:
            return {"size": await self._shelf.size(_wanted(request)), "err": None}

        return await self._answer("size", work)

    async def _get(self, request: web.Request) -> web.Response:
        async def work() -> object:
            try:
                return (await self._shelf.sock(request.match_info["id"])).document()
            except DatabaseError as error:
                # The original cannot tell a missing sock from a missing database here.
                raise NotFoundError from error

        return await self._answer("get", work)

    async def _tags(self, _request: web.Request) -> web.Response:
        async def work() -> object:
            return {"tags": await self._shelf.tags(), "err": None}

        return await self._answer("tags", work)

    async def _health(self, _request: web.Request) -> web.Response:
        parts = {"catalogue": True, "catalogue-db": await self._shelf.alive()}
        return gohttp.document(gohttp.health(parts, now_ns=time.time_ns()))

    async def _metrics(self, _request: web.Request) -> web.Response:
        return gohttp.response(200, self._durations.text().encode(), CONTENT_TYPE)

    async def _image(self, request: web.Request) -> web.Response:
        return self._pictures.answer(request, request.match_info["file"]) or gohttp.not_found()

    async def _answer(self, endpoint: str, work: Callable[[], Awaitable[object]]) -> web.Response:
        """Runs an endpoint behind its breaker, if it has one, and puts the result or the failure into words."""
        breaker = self._breakers.get(endpoint)
        try:
            admission = breaker.admit(time.monotonic()) if breaker else 0
        except RefusedError as error:
            return gohttp.failure(500, str(error))
        succeeded = False
        try:
            result = await work()
            succeeded = True
        except NotFoundError:
            return gohttp.failure(404, "not found")
        except DatabaseError:
            return gohttp.failure(500, "database connection error")
        finally:
            if breaker:
                breaker.settle(admission, succeeded=succeeded, now=time.monotonic())
        return gohttp.document(result)


def _wanted(request: web.Request) -> list[str]:
    tags = request.query.get("tags", "")
    return tags.split(",") if tags else []


def _labels(request: web.Request, status: int) -> tuple[str, ...]:
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    route = _ROUTES.get(path) or (path.strip("/").split("{")[0].strip("/").replace("/", "_") if path else "other")
    return request.method, route, str(status), "false"


def _hang_up(request: web.Request) -> web.Response:
    """Closes the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
