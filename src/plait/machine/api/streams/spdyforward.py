"""Port-forward over SPDY: kubectl's way, on a raw connection or inside WebSocket messages.

Each forwarded connection is two streams with the same `requestid`: `error`, on which only we write, and `data`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plait.machine.api.errors import StatusError
from plait.machine.api.streams import spdy
from plait.machine.api.streams.node import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from plait.machine.api.streams.node import NodeSocket, Pipe

#: Pieces a connection may lag behind before the client is made to wait.
_WAITING_PIECES = 64
#: Connections forwarded at once; more are refused.
_MOST_CONNECTIONS = 1000
_REFUSED = 3


@dataclass(slots=True, kw_only=True)
class _Connection:
    port: str
    error: int = 0
    data: int = 0
    inbound: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_WAITING_PIECES))
    task: asyncio.Task[None] | None = None

    @property
    def complete(self) -> bool:
        return bool(self.error and self.data)


class SpdyForward:
    """One client's forwards to one pod. `write` sends bytes to the client and waits while it is slow."""

    def __init__(
        self, *, node: NodeSocket, namespace: str, pod: str, write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._node = node
        self._namespace = namespace
        self._pod = pod
        self._write = write
        self._decoder = spdy.Decoder()
        self._encoder = spdy.Encoder()
        self._connections: dict[str, _Connection] = {}
        self._streams: dict[int, _Connection] = {}

    async def serve(self, pieces: AsyncIterator[bytes]) -> None:
        """Forward until the client's bytes end."""
        async with asyncio.TaskGroup() as tasks:
            try:
                async for piece in pieces:
                    for frame in self._decoder.feed(piece):
                        if frame.type == spdy.GOAWAY:
                            return
                        await self._take(frame, tasks)
            except (spdy.SpdyError, ConnectionError):
                return  # a client that speaks something else, or that went away: nothing can be told it
            finally:
                for connection in list(self._connections.values()):
                    if connection.task is not None:
                        connection.task.cancel()

    async def _take(self, frame: spdy.Frame, tasks: asyncio.TaskGroup) -> None:
        match frame.type:
            case spdy.SYN_STREAM:
                await self._open(frame, tasks)
            case spdy.PING:
                await self._write(spdy.ping_frame(frame.data))
            case 0:
                await self._data(frame)
            case spdy.RST_STREAM:
                connection = self._streams.get(frame.stream)
                if connection is not None and connection.task is not None and frame.stream == connection.data:
                    connection.task.cancel()

    async def _open(self, frame: spdy.Frame, tasks: asyncio.TaskGroup) -> None:
        headers = frame.headers
        name, kind = headers.get("requestid", ""), headers.get("streamtype", "")
        port = headers.get("port", "")
        if kind not in {"error", "data"} or not port.isdigit() or len(self._connections) >= _MOST_CONNECTIONS:
            await self._write(spdy.reset_frame(frame.stream, _REFUSED))
            return
        connection = self._connections.setdefault(name, _Connection(port=port))
        self._streams[frame.stream] = connection
        if kind == "error":
            connection.error = frame.stream
        else:
            connection.data = frame.stream
        await self._write(self._encoder.syn_reply(frame.stream))
        if connection.complete and connection.task is None:
            connection.task = tasks.create_task(self._run(name, connection), name=f"forward {self._pod}:{port}")

    async def _data(self, frame: spdy.Frame) -> None:
        connection = self._streams.get(frame.stream)
        if connection is None or frame.stream != connection.data:
            return
        if frame.data:
            await connection.inbound.put(frame.data)
        if frame.fin:
            await connection.inbound.put(None)

    async def _run(self, name: str, connection: _Connection) -> None:
        try:
            await self._forward(connection)
        except ConnectionError:
            return  # the client went away; the reader of its bytes ends everything
        finally:
            self._connections.pop(name, None)
            for stream in (connection.error, connection.data):
                self._streams.pop(stream, None)
            _drain(connection.inbound)

    async def _forward(self, connection: _Connection) -> None:
        try:
            pipe = await self._node.connect(self._namespace, self._pod, int(connection.port))
        except StatusError as problem:
            text = f"error forwarding port {connection.port} to pod {self._pod}: {problem.message}"
            await self._write(spdy.data_frame(connection.error, text.encode(), fin=True))
            await self._write(spdy.data_frame(connection.data, b"", fin=True))
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                inward = tasks.create_task(self._inward(pipe, connection), name=f"into {self._pod}:{connection.port}")
                await self._outward(pipe, connection)
                inward.cancel()
        finally:
            pipe.writer.close()
        # Older clients wait for the end of the error stream before they close the local connection.
        await self._write(spdy.data_frame(connection.data, b"", fin=True))
        await self._write(spdy.data_frame(connection.error, b"", fin=True))

    async def _outward(self, pipe: Pipe, connection: _Connection) -> None:
        try:
            async for piece in pieces_of(pipe):
                await self._write(spdy.data_frame(connection.data, piece))
        except ConnectionResetError:
            return  # the program in the pod reset its connection

    async def _inward(self, pipe: Pipe, connection: _Connection) -> None:
        try:
            while (piece := await connection.inbound.get()) is not None:
                pipe.writer.write(piece)
                await pipe.writer.drain()
            if pipe.writer.can_write_eof():
                pipe.writer.write_eof()
        except ConnectionError:
            while await connection.inbound.get() is not None:
                pass  # the pod's side is closed for writing: the rest has nowhere to go


def _drain(queue: asyncio.Queue[bytes | None]) -> None:
    """Let whoever waits to put into the queue of an ended connection go on."""
    while not queue.empty():
        queue.get_nowait()
