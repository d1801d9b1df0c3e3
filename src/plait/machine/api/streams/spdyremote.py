"""exec and attach over SPDY, as clients before 2024 speak it: one stream each for error, stdin, stdout, stderr, resize.

The client opens them; when those it asked for are there, output flows. The last word, a Status, goes on `error`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.machine import frames, hangup
from plait.machine.api.streams import spdy
from plait.machine.api.streams.conversation import converse
from plait.machine.api.streams.node import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from plait.machine.api.streams.conversation import converse
from plait.machine.api.streams.node import Pipe

#: The version of the streams' protocol that is spoken: with a Status as last word, and sizes of terminals.
STREAMS = "v4.channel.k8s.io"
_REFUSED = 3
#: Pings of servers have even numbers; the answer is not waited for.
_OUR_PING = (2).to_bytes(4, "big")
_OUTPUTS = {frames.STDOUT: "stdout", frames.STDERR: "stderr", frames.STATUS: "error"}


class SpdyRemote:
    """One client's program. `wanted` are the names of the streams it asked for, and `tty`."""

    def __init__(
        self,
        *,
        pipe: Pipe,
        wanted: set[str],
        write: Callable[[bytes], Awaitable[None]],
        transport: asyncio.BaseTransport | None,
    ) -> None:
        self._pipe = pipe
        self._expected = {"error", *(wanted - {"tty"})} | ({"resize"} if "tty" in wanted else set())
        self._write = write
        self._transport = transport
        self._decoder = spdy.Decoder()
        self._encoder = spdy.Encoder()
        self._names: dict[int, str] = {}
        self._streams: dict[str, int] = {}
        self._complete = asyncio.Event()

    async def serve(self, pieces: AsyncIterator[bytes]) -> None:
        """Until the program ends or the client goes."""
        await converse(self._outward(), self._inward(pieces), usual=(spdy.SpdyError,))

    async def _inward(self, pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            for frame in self._decoder.feed(piece):
                match frame.type:
                    case spdy.GOAWAY:
                        return
                    case spdy.SYN_STREAM:
                        await self._open(frame)
                    case spdy.PING if frame.data != _OUR_PING:
                        await self._write(spdy.ping_frame(frame.data))
                    case 0:
                        await self._data(frame)

    async def _open(self, frame: spdy.Frame) -> None:
        name = frame.headers.get("streamtype", "")
        if name not in self._expected or name in self._streams:
            await self._write(spdy.reset_frame(frame.stream, _REFUSED))
            return
        self._names[frame.stream], self._streams[name] = name, frame.stream
        await self._write(self._encoder.syn_reply(frame.stream))
        if len(self._streams) == len(self._expected):
            self._complete.set()

    async def _data(self, frame: spdy.Frame) -> None:
        name, writer = self._names.get(frame.stream), self._pipe.writer
        if name == "stdin":
            if frame.data:
                writer.write(frames.encode(frames.STDIN, frame.data))
            if frame.fin:
                writer.write(frames.encode(frames.STDIN_END))
        elif name == "resize" and frame.data:
            writer.write(frames.encode(frames.RESIZE, frame.data))
        await hangup.drain(writer, sender=self._transport, nudge=self._ping)

    async def _ping(self) -> None:
        await self._write(spdy.ping_frame(_OUR_PING))

    async def _outward(self) -> None:
        await self._complete.wait()
        decoder = frames.Decoder()
        async for piece in pieces_of(self._pipe):
            for frame in decoder.feed(piece):
                stream = self._streams.get(_OUTPUTS.get(frame.channel, ""))
                if stream is not None:
                    await self._write(spdy.data_frame(stream, frame.data))
        for name in ("stdout", "stderr", "error"):
            if name in self._streams:
                await self._write(spdy.data_frame(self._streams[name], b"", fin=True))
