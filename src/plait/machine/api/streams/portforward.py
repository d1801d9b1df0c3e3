"""`pods/portforward` in the three flavours clients speak: WebSocket channels, SPDY in WebSocket, plain SPDY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from plait.machine.api.errors import StatusError, bad_request
from plait.machine.api.objects import at_path, metadata
from plait.machine.api.streams import channels
from plait.machine.api.streams.spdyforward import SpdyForward
from plait.machine.api.streams.upgrade import RawConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.machine.api.streams.node import NodeSocket

Json = dict[str, Any]

_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_SPDY = "SPDY/3.1"
_STREAMS = "portforward.k8s.io"
#: WebSocket messages are cut to this, so that no single one holds up the others.
_PIECE = 64 * 1024


class PortForward:
    """Chooses the flavour by the upgrade the client asks for."""

    def __init__(self, node: NodeSocket) -> None:
        self._node = node

    async def serve(self, request: web.Request, pod: Json) -> web.StreamResponse:
        """Forward until the client goes away; raises 400 or 403."""
        meta = metadata(pod)
        phase = at_path(pod, "status", "phase", default="Unknown")
        if phase != "Running":
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")
        upgrade = request.headers.get("Upgrade", "").lower()
        if upgrade == "websocket":
            offered = {item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}
            if _TUNNEL in offered:
                return await self._tunnel(request, meta)
            socket = web.WebSocketResponse(protocols=channels.PROTOCOLS, max_msg_size=0, compress=False)
            return await channels.serve_channels(request, socket, self._node, meta["namespace"], meta["name"])
        if upgrade == _SPDY.lower():
            return await self._raw(request, meta)
        raise bad_request("Upgrade request required")

    async def _tunnel(self, request: web.Request, meta: Json) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(_TUNNEL,), max_msg_size=0, compress=False)
        await socket.prepare(request)

        async def write(data: bytes) -> None:
            for at in range(0, len(data), _PIECE):
                await socket.send_bytes(data[at : at + _PIECE])

        forward = SpdyForward(node=self._node, namespace=meta["namespace"], pod=meta["name"], write=write)
        await forward.serve(_messages(socket))
        await socket.close()
        return socket

    async def _raw(self, request: web.Request, meta: Json) -> web.StreamResponse:
        offered = [
            item.strip() for line in request.headers.getall("X-Stream-Protocol-Version", []) for item in line.split(",")
        ]
        if offered and _STREAMS not in offered:
            raise StatusError(
                403,
                "Forbidden",
                f"unable to upgrade: client supports {offered}, server accepts [{_STREAMS}]",
            )
        connection = RawConnection(request)
        response = await connection.accept(_SPDY, {"X-Stream-Protocol-Version": _STREAMS})
        forward = SpdyForward(node=self._node, namespace=meta["namespace"], pod=meta["name"], write=connection.write)
        try:
            await forward.serve(connection.pieces())
        finally:
            connection.close()
        return response


async def _messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield message.data
