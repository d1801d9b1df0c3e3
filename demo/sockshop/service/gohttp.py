"""How the shop's services that are Go programs in the original answer over HTTP."""

from __future__ import annotations

import http
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sockshop.service import gojson

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

_NANOSECONDS = 10**9


def response(status: int, body: bytes, kind: str) -> web.Response:
    """An answer whose Content-Type is exactly `kind`."""
    return web.Response(status=status, body=body, headers={"Content-Type": kind})


def document(value: object, kind: str = JSON) -> web.Response:
    """200 and JSON as Go writes it."""
    return response(200, gojson.encode(value), kind)


def failure(status: int, text: str) -> web.Response:
    """A failure: JSON that says it is plain text, for the originals set the header after the head has gone out."""
    value = {"error": text, "status_code": status, "status_text": http.HTTPStatus(status).phrase}
    return response(status, gojson.encode(value), TEXT)


def not_found() -> web.Response:
    """Go's words for a path that is not served."""
    answer = response(404, b"404 page not found\n", TEXT)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


@web.middleware
async def plain_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Go's words for a path or method that is not served: 404 for both, as the shipped images' router has it."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return not_found()


def health(parts: Mapping[str, bool], *, now_ns: int) -> dict[str, object]:
    """What `/health` says of the service's parts at `now_ns` (nanoseconds since 1970)."""
    stamp = go_time(now_ns)
    return {
        "health": [{"service": name, "status": "OK" if well else "err", "time": stamp} for name, well in parts.items()]
    }


def go_time(now_ns: int) -> str:
    """A time in UTC as Go's `Time.String` prints it: the fraction of a second ends at its last digit that is not 0."""
    seconds, rest = divmod(now_ns, _NANOSECONDS)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + fraction + " +0000 UTC"
