"""A connection to a port inside a pod, through the API server.

WebSocket with Kubernetes' channel protocol v4: every message starts with a channel number, 0 for data and 1 for
errors; the first message on each names the port, little-endian. It works on every Kubernetes since 1.7.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from plait.kube.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.kube.client import Client

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PIECE = 1 << 15


@asynccontextmanager
async def port_forward(
    client: Client, namespace: str, pod: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect; what the pod's side says about a failed connection is raised as Unreachable on leaving.

    The caller reads and writes one end of a socket pair, so that asyncio's own flow control reaches to the pod.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
    async with client.websocket(path, params={"ports": str(port)}, protocols=[_PROTOCOL]) as stream:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        trouble: list[str] = []
        pumps: list[asyncio.Task[None]] = []
        try:
            pumps.append(asyncio.create_task(_outward(ours, stream), name=f"forward to {pod}:{port}"))
            pumps.append(asyncio.create_task(_inward(ours, stream, trouble), name=f"forward from {pod}:{port}"))
            reader, writer = await asyncio.open_connection(sock=theirs)
            try:
                yield reader, writer
            except (EOFError, ConnectionError) as error:
                if trouble:
                    raise Unreachable.because(
                        f"pod {namespace}/{pod} port {port}", _Said(trouble), sent=True
                    ) from error
                raise
            finally:
                writer.close()
            if trouble:
                raise Unreachable.because(f"pod {namespace}/{pod} port {port}", _Said(trouble), sent=True)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            ours.close()
            theirs.close()


async def _outward(ours: socket.socket, stream: aiohttp.ClientWebSocketResponse) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(ours, _PIECE):
        await stream.send_bytes(bytes((_DATA,)) + data)


async def _inward(ours: socket.socket, stream: aiohttp.ClientWebSocketResponse, trouble: list[str]) -> None:
    loop = asyncio.get_running_loop()
    named: set[int] = set()
    try:
        async for message in stream:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel not in named:
                named.add(channel)
                data = data[2:]
            if channel == _DATA and data:
                await loop.sock_sendall(ours, data)
            elif channel == _ERROR and data:
                trouble.append(data.decode("utf-8", "replace").strip())
                break
    finally:
        # End of file for the reader; what it wrote last may still be on its way.
        ours.shutdown(socket.SHUT_WR)


class _Said(Exception):  # noqa: N818
    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
