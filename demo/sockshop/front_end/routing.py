"""How API calls are found and wrapped."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sockshop.front_end import cookie, reply
from sockshop.front_end.shopfault import ShopError
from sockshop.front_end.visit import Visit, open_visit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockshop.front_end.session import Sessions

_NEW_SESSION: Final = web.RequestKey("new_session", str)

Call = Callable[[Visit], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Call]
"""Method, path pattern and the call that answers."""


def add_routes(
    app: web.Application, routes: Iterable[Route], sessions: Sessions, *, customer_override: bool = False
) -> None:
    """Adds the API: every call gets its visit, every answer (of unknown paths too) the cookie of a new session."""

    def wrapped(call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                visit, new = await open_visit(request, sessions, customer_override=customer_override)
                if new:
                    request[_NEW_SESSION] = visit.session_id
                return await call(visit)
            except ShopError as error:
                return reply.labelled(error.status, error.document())

        return handle

    for method, path, call in routes:
        if method == "GET":
            app.router.add_get(path, wrapped(call))
        else:
            app.router.add_route(method, path, wrapped(call))
    app.router.add_route("*", "/{rest:.*}", wrapped(_unknown))
    app.on_response_prepare.append(reply.finish)
    app.on_response_prepare.append(_start_session)


async def _start_session(request: web.Request, response: web.StreamResponse) -> None:
    session_id = request.get(_NEW_SESSION)
    if session_id is not None:
        response.headers.add("Set-Cookie", cookie.header(session_id))


async def _unknown(visit: Visit) -> web.StreamResponse:
    """Express's answer for what nobody serves."""
    response = reply.html(404, f"Cannot {visit.request.method} {html.escape(visit.target)}\n")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
