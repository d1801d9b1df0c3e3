"""Answers of the API, in the original's forms."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

_BARE: Final = web.ResponseKey("bare", bool)


def passed(status: int, body: bytes) -> web.Response:
    """A body from a backend, passed on without a Content-Type.

    The pages of the original do `JSON.parse(data)` themselves; with `application/json` their library would parse first
    and the text would be an object by then.
    """
    response = web.Response(status=status, body=body)
    response[_BARE] = True
    return response


def document(status: int, value: object) -> web.Response:
    """JSON of our own, likewise without a Content-Type."""
    return passed(status, compact(value))


def empty(status: int) -> web.Response:
    """A status and nothing else."""
    return passed(status, b"")


def labelled(status: int, value: object) -> web.Response:
    """JSON that says so: what Express sends for an object."""
    return web.Response(status=status, body=compact(value), headers={"Content-Type": "application/json; charset=utf-8"})


def html(status: int, text: str) -> web.Response:
    """Text that a browser shows as a page."""
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def compact(value: object) -> bytes:
    """JSON as JavaScript's JSON.stringify writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


async def finish(_request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: takes off the Content-Type that the server adds to every body."""
    if response.get(_BARE):
        response.headers.pop("Content-Type", None)
