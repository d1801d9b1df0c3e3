"""Lets an Envoy finish what it has begun before it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass

from plait.machine.node.actions import http_status
from plait.machine.node.netns import connect_in
from plait.machine.node.proxy import ADMIN_PORT

#: What idle connections are given: a gateway's clients learn from their next answer that they have to go elsewhere.
_IDLE_SECONDS = 5.0
#: A sidecar's application is gone, so nothing that goes through it can end well.
_SIDECAR_SECONDS = 1.0
_POLL = 0.1
_HEADERS = {"Host": "localhost", "Content-Length": "0", "Connection": "close"}
_GAUGE = re.compile(
    # Connections to the admin interface, to 15021 and to 15090 are nobody's traffic.
    r"^(?:(?P<http>http)\.(?!admin|agent|prometheus_stats)|listener\.(?!admin|.*_150(?:21|90)\.)).*?"
    r"\bdownstream_(?P<what>cx|rq)_active: (?P<count>\d+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes through a proxy: requests in progress and connections that are not HTTP, and HTTP connections."""

    busy: int
    connections: int


async def drain(pause: int, most: float, *, gateway: bool) -> None:
    """Close a proxy's doors and wait until its connections are gone, at most `most` seconds.

    What a gateway has begun has all that time, idle connections a part of it. An Envoy that does not answer has
    nothing to drain.
    """
    idle = _IDLE_SECONDS if gateway else _SIDECAR_SECONDS
    clock = asyncio.get_running_loop().time
    began = clock()
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(most if gateway else min(most, _SIDECAR_SECONDS)):
            for path in ("/healthcheck/fail", "/drain_listeners?graceful&skip_exit"):
                await http_status(pause, "127.0.0.1", ADMIN_PORT, path, method="POST", headers=_HEADERS)
            while (found := await _traffic(pause)).busy or (found.connections and clock() < began + idle):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)


async def _traffic(pause: int) -> Traffic:
    sock = await connect_in(pause, "127.0.0.1", ADMIN_PORT)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        # A name that is matched by part: `|` and `$` are no part of a path.
        writer.write(b"GET /stats?filter=downstream_.._active HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return traffic((await _body(reader)).decode())
    finally:
        writer.transport.abort()


async def _body(reader: asyncio.StreamReader) -> bytes:
    """What Envoy's admin interface answers, which it sends in chunks (and HTTP/1.0 it refuses)."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise OSError(head.decode("latin-1"))
    body = b""
    while size := int(await reader.readline() or b"0", 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return body


def traffic(stats: str) -> Traffic:
    """From Envoy's gauges. Its total of connections would be simpler, but is counted only every few seconds."""
    http = requests = sockets = 0
    for line in stats.splitlines():
        found = None if ".worker_" in line else _GAUGE.match(line.strip())
        if found is None:
            continue
        count = int(found["count"])
        if found["what"] == "rq":
            requests += count
        elif found["http"]:
            http += count
        else:
            sockets += count
    return Traffic(busy=requests + max(0, sockets - http), connections=http)
