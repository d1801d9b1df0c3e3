"""The front-end put together: what happens to a request, in the original's order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from sockshop.front_end.backend import Backends
from sockshop.front_end.cart_calls import CartCalls
from sockshop.front_end.catalogue_calls import CatalogueCalls
from sockshop.front_end.order_calls import OrderCalls
from sockshop.front_end.routing import add_routes
from sockshop.front_end.session import Sessions
from sockshop.front_end.settings import Endpoints
from sockshop.front_end.static import Pages
from sockshop.front_end.user_calls import UserCalls
from sockshop.service.histogram import CONTENT_TYPE, Histogram
from sockshop.service.journal import Journal, access_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sockshop.front_end.settings import Settings

_HERE = Path(__file__).parent


def build(settings: Settings, endpoints: Endpoints | None = None) -> web.Application:
    """The front-end as an application; `endpoints` stand in for the services' own names."""
    endpoints = endpoints or Endpoints.within(settings.domain)
    folders = [_HERE / "public"] + ([] if settings.version == "v1" else [_HERE / f"public_{settings.version}"])
    pages = Pages(folders)
    durations = Histogram(
        name="request_duration_seconds",
        help="Time (in seconds) spent serving HTTP requests.",
        labels=("method", "route", "status_code"),
        fixed={"service": "front-end"},
    )
    journal = Journal(durations, labels=_labels, access_log=access_log(settings.access_log))
    app = web.Application(middlewares=[_slashes(durations), journal.middleware, _static(pages)])
    backends, sessions = Backends(), Sessions()
    routes = (
        *CartCalls(backends, endpoints).routes(),
        *CatalogueCalls(backends, endpoints).routes(),
        *OrderCalls(backends, endpoints).routes(),
        *UserCalls(backends, endpoints, sessions).routes(),
    )
    add_routes(app, routes, sessions, customer_override=settings.customer_override)

    async def connected(_app: web.Application) -> AsyncIterator[None]:
        await backends.open()
        yield
        await backends.close()

    app.cleanup_ctx.append(connected)
    return app


def _slashes(durations: Histogram) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Sends `/x/` to `/x` and answers `/metrics`, neither of which is measured.

        A target with `//` is refused: redirected, `//host/` would lead the browser to another host.
        """
        target = request.rel_url.raw_path_qs
        if target.endswith("/") and len(target) > 1:
            if "//" in target:
                return web.Response(status=400)
            return web.Response(
                status=301, text=f"Moved Permanently. Redirecting to {target[:-1]}", headers={"Location": target[:-1]}
            )
        if request.path == "/metrics":
            return web.Response(body=durations.text().encode(), headers={"Content-Type": CONTENT_TYPE})
        return await handler(request)

    return middleware


def _static(pages: Pages) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return pages.answer(request) or await handler(request)

    return middleware


def _labels(request: web.Request, status: int) -> tuple[str, ...]:
    return request.method, request.rel_url.raw_path, str(status)
