"""Lets an Envoy finish what it has begun before it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

from plait.machine.node.actions import http_status
from plait.machine.node.netns import connect_in
from plait.machine.node.proxy import ADMIN_PORT

log = logging.getLogger(__name__)

#: A gateway's clients learn from draining connections that they have to go elsewhere; a sidecar's application is gone.
_GATEWAY_SECONDS = 5.0
_SIDECAR_SECONDS = 1.0
_POLL = 0.1
_CONNECTIONS = re.compile(rb"^server\.total_connections: (\d+)", re.MULTILINE)


async def drain(pause: int, most: float, *, gateway: bool) -> None:
    """Close a proxy's doors and wait until its connections are gone, at most `most` seconds. An Envoy that does not
    answer has nothing to drain.
    """
    limit = min(most, _GATEWAY_SECONDS if gateway else _SIDECAR_SECONDS)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit):
            for path in ("/healthcheck/fail", "/drain_listeners?graceful&skip_exit"):
                await http_status(pause, "127.0.0.1", ADMIN_PORT, path, method="POST", headers=_HEADERS)
            while await _connections(pause):  # noqa: ASYNC110  (Envoy has to be asked)
                await asyncio.sleep(_POLL)


_HEADERS = {"Host": "localhost", "Content-Length": "0", "Connection": "close"}


async def _connections(pause: int) -> int:
    """Connections to Envoy's listeners."""
    sock = await connect_in(pause, "127.0.0.1", ADMIN_PORT)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(b"GET /stats?filter=^server.total_connections$ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        found = _CONNECTIONS.search(await reader.read())
    finally:
        writer.transport.abort()
    return int(found[1]) if found else 0
