"""`pods/exec` and `pods/attach`: over WebSocket channels, as clients speak today, or over SPDY, as older ones do.

The node runs the program; here its frames become WebSocket messages or SPDY streams. The node is asked before the
client is answered, so that what cannot be done is refused with a Status.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from plait.machine import frames, hangup
from plait.machine.api.errors import StatusError, bad_request
from plait.machine.api.objects import at_path, metadata
from plait.machine.api.query import flag
from plait.machine.api.streams.conversation import converse
from plait.machine.api.streams.logs import choose_container
from plait.machine.api.streams.node import pieces_of
from plait.machine.api.streams.spdyremote import STREAMS, SpdyRemote
from plait.machine.api.streams.upgrade import RawConnection

if TYPE_CHECKING:
    from plait.machine.api.streams.node import NodeSocket, Pipe

Json = dict[str, Any]

_BASE64 = "base64.channel.k8s.io"
#: What WebSocket clients may offer, the one we would have first.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", f"v4.{_BASE64}", "channel.k8s.io", _BASE64)
_SPDY = "SPDY/3.1"
_STREAMS = ("stdin", "stdout", "stderr")


class RemoteCommand:
    """Chooses the flavour by the upgrade the client asks for."""

    def __init__(self, node: NodeSocket) -> None:
        self._node = node

    async def serve(self, request: web.Request, pod: Json, verb: str) -> web.StreamResponse:
        """Run (`exec`) or join (`attach`) until the program ends or the client goes; raises StatusError."""
        query = remote_query(request, verb)
        meta = metadata(pod)
        phase = at_path(pod, "status", "phase", default="Unknown")
        if phase in {"Succeeded", "Failed"}:
            words = "exec into a container in" if verb == "exec" else "attach to a container in"
            raise bad_request(f"cannot {words} a completed pod; current phase is {phase}")
        container = choose_container(pod, request.query.get("container", ""))
        upgrade = request.headers.get("Upgrade", "").lower()
        if upgrade not in {"websocket", _SPDY.lower()}:
            raise bad_request("Upgrade request required")
        if upgrade != "websocket":
            _check_streams(request)
        pipe = await self._node.remote(verb, meta["namespace"], meta["name"], container, query)
        try:
            if upgrade == "websocket":
                return await _channels(request, pipe)
            return await self._spdy(request, pipe, {name for name, value in query if value == "true"})
        finally:
            # Not close: what the program has not read by now would be waited for.
            pipe.writer.transport.abort()

    @staticmethod
    async def _spdy(request: web.Request, pipe: Pipe, wanted: set[str]) -> web.StreamResponse:
        connection = RawConnection(request)
        response = await connection.accept(_SPDY, {"X-Stream-Protocol-Version": STREAMS})
        remote = SpdyRemote(pipe=pipe, wanted=wanted, write=connection.write, transport=request.transport)
        try:
            await remote.serve(connection.pieces())
        finally:
            connection.close()
        return response


def remote_query(request: web.Request, verb: str) -> list[tuple[str, str]]:
    """The parameters for the node; raises 400."""
    query = request.query
    wanted = {name: flag(query, name) for name in (*_STREAMS, "tty")}
    # A terminal has one output; clients that ask for stderr too get it folded in.
    wanted["stderr"] &= not wanted["tty"]
    if not any(wanted[name] for name in _STREAMS):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    command = query.getall("command", [])
    if verb == "exec" and not command:
        raise bad_request("you must specify at least one command for the container")
    return [(name, "true") for name, value in wanted.items() if value] + [("command", word) for word in command]


def _check_streams(request: web.Request) -> None:
    offered = [
        item.strip() for line in request.headers.getall("X-Stream-Protocol-Version", []) for item in line.split(",")
    ]
    if STREAMS not in offered:
        text = f"unable to upgrade: client supports {offered}, server accepts [{STREAMS}]"
        raise StatusError(403, "Forbidden", text)


async def _channels(request: web.Request, pipe: Pipe) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    text = (socket.ws_protocol or "").endswith(_BASE64)
    await converse(_outward(socket, pipe, text=text), _inward(socket, pipe, request, text=text))
    await socket.close()
    return socket


async def _outward(socket: web.WebSocketResponse, pipe: Pipe, *, text: bool) -> None:
    decoder = frames.Decoder()
    async for piece in pieces_of(pipe):
        for frame in decoder.feed(piece):
            if text:
                await socket.send_str(str(frame.channel) + base64.b64encode(frame.data).decode())
            else:
                await socket.send_bytes(bytes([frame.channel]) + frame.data)


async def _inward(socket: web.WebSocketResponse, pipe: Pipe, request: web.Request, *, text: bool) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT and text and message.data:
            channel, data = ord(message.data[0]) - ord("0"), base64.b64decode(message.data[1:])
        elif message.type is WSMsgType.BINARY and message.data:
            channel, data = message.data[0], message.data[1:]
        else:
            continue
        if channel == frames.STDIN_END:
            if data == bytes([frames.STDIN]):
                pipe.writer.write(frames.encode(frames.STDIN_END))
        elif channel in {frames.STDIN, frames.RESIZE} and data:
            pipe.writer.write(frames.encode(channel, data))
            await hangup.drain(pipe.writer, sender=request.transport, nudge=socket.ping)
