"""A backend's answer passed on as it comes: status, headers and body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from sockshop.front_end.backend import failure

if TYPE_CHECKING:
    from sockshop.front_end.backend import Backends
    from sockshop.front_end.visit import Visit

_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_WHOLE = 128 * 1024
"""Bodies up to this size in bytes are read first and sent in one piece."""

_CHUNK = 64 * 1024


async def pipe(backends: Backends, visit: Visit, address: str) -> web.StreamResponse:
    """GETs `address` and hands the answer on. Raises ShopError before the first byte."""
    try:
        async with backends.stream("GET", address, headers=visit.trace) as answer:
            length = answer.content_length
            if length is not None and length <= _WHOLE:
                response: web.StreamResponse = web.Response(status=answer.status, body=await answer.read())
            else:
                response = web.StreamResponse(status=answer.status)
            _copy_head(answer, response)
            if isinstance(response, web.Response):
                return response
            return await _stream(visit.request, answer, response)
    except aiohttp.ClientError as error:
        raise failure(address, error) from error


def _copy_head(answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    for name, value in answer.headers.items():
        if name.lower() not in _HOP_BY_HOP:
            response.headers.add(name, value)


async def _stream(
    request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> web.StreamResponse:
    """After the first byte no other answer can be given: a backend that breaks off breaks off the answer too."""
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            await response.write(chunk)
    except aiohttp.ClientError:
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
