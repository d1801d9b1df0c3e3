"""A client of gRPC's unary calls: one connection to one server, made when it is needed and closed when it is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from hpack import Decoder, HPACKError

from plait.rpc import framing
from plait.rpc.frames import (
    DEFAULT_WINDOW,
    LARGEST_WINDOW,
    PREFACE,
    Code,
    ConnectionFault,
    Cutter,
    Flag,
    Frame,
    Setting,
    StreamFault,
    Type,
    check,
    settings,
    unpadded,
)
from plait.rpc.outgoing import Outgoing

if TYPE_CHECKING:
    import ssl

#: Calls at a time; servers allow a hundred or more.
_CALLS: Final = 50
_LARGEST_ANSWER: Final = 4 << 20
_FIELDS: Final = 64 << 10
_WINDOW: Final = 1 << 20
#: gRPC's status for an answer without one.
_UNKNOWN: Final = 2


class CallError(Exception):
    """A call that the server answered with a status that is not OK: gRPC's `code`, and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message or f"gRPC status {code}")
        self.code = code


class Channel:
    """Unary calls to HOST:PORT or `unix:/path`. With `tls` (which must offer `h2` by ALPN) the server must show a
    certificate for `server_name`. A connection without calls is closed after `idle` seconds.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        idle: float = 5.0,
    ) -> None:
        self._address = address
        self._tls = tls
        self._server_name = server_name
        self._idle = idle
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._calls = asyncio.Semaphore(_CALLS)
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0

    async def unary(self, method: str, message: bytes, *, metadata: Mapping[str, str] | None = None) -> bytes:
        """The answer's message. Raises CallError, and OSError where no connection is had or it is lost."""
        async with self._calls:
            self._under_way += 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            try:
                connection = await self._connected()
                return await connection.call(self._fields(method, metadata or {}), message)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._timer = asyncio.get_running_loop().call_later(self._idle, self.close)

    def close(self) -> None:
        """End the connection; the next call makes another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.usable:
                loop = asyncio.get_running_loop()
                made: asyncio.BaseProtocol
                if self._address.startswith("unix:"):
                    path = self._address.removeprefix("unix:")
                    _, made = await loop.create_unix_connection(
                        _Connection, path, ssl=self._tls, server_hostname=self._server_name if self._tls else None
                    )
                else:
                    host, _, port = self._address.rpartition(":")
                    _, made = await loop.create_connection(
                        _Connection, host, int(port), ssl=self._tls, server_hostname=self._server_name
                    )
                self._connection = cast("_Connection", made)
            return self._connection

    def _fields(self, method: str, metadata: Mapping[str, str]) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", "https" if self._tls else "http"),
            (":path", method),
            (":authority", self._server_name or "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *metadata.items(),
        ]


class _Call:
    """One call; see outgoing.Sending."""

    def __init__(self, number: int, window: int, written: Callable[[], None]) -> None:
        self.number = number
        self.window = window
        self.begun = True
        self.outgoing: memoryview | None = None
        self.written = written
        self.data = bytearray()
        self.fields: dict[str, str] = {}
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        """It ends without an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def finish(self) -> None:
        """The server has said all."""
        status = self.fields.get("grpc-status", "")
        code = int(status) if status.isascii() and status.isdigit() else _UNKNOWN
        if code or not status:
            told = unquote(self.fields.get("grpc-message", ""))
            self.fail(CallError(code, told or f"HTTP status {self.fields.get(':status', 'unknown')}"))
        elif len(self.data) < framing.PREFIX or self.data[0] or int.from_bytes(self.data[1:5]) + 5 != len(self.data):
            self.fail(CallError(_UNKNOWN, "the answer is not one message"))
        elif not self.answer.done():
            self.answer.set_result(bytes(self.data[framing.PREFIX :]))


class _Connection(asyncio.Protocol):
    """A client's connection."""

    def __init__(self) -> None:
        self.usable = False
        self._out = Outgoing()
        self._cutter = Cutter(preface=False)
        self._decoder = Decoder(max_header_list_size=_FIELDS)
        self._calls: dict[int, _Call] = {}
        self._next = 1
        self._initial = DEFAULT_WINDOW
        self._block: tuple[int, int, bytearray] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._out.begin(cast("asyncio.Transport", transport))
        hello = framing.settings(streams=0, window=_WINDOW, fields=_FIELDS)
        self._out.write(PREFACE + hello + framing.window_update(0, _WINDOW))
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """No call will be answered any more."""
        self.usable = False
        self._out.lost()
        self._fail_all(str(exc) if exc else "the server has closed the connection")

    def pause_writing(self) -> None:
        """The network has to catch up."""
        self._out.pause()

    def resume_writing(self) -> None:
        """It has."""
        self._out.resume()

    async def call(self, fields: list[tuple[str, str]], message: bytes) -> bytes:
        """See Channel.unary."""
        number, self._next = self._next, self._next + 2
        end = framing.frame(Type.DATA, Flag.END_STREAM, number)
        call = _Call(number, self._initial, lambda: self._out.write(end))
        self._out.write(framing.call(number, fields))
        self._calls[number] = call
        try:
            call.outgoing = memoryview(framing.prefixed(message))
            self._out.send_later(call)
            return await call.answer
        finally:
            if self._calls.pop(number, None) is not None:
                call.outgoing = None
                self._out.write(framing.reset(number, Code.CANCEL))

    def close(self) -> None:
        """Say goodbye."""
        self.usable = False
        self._out.end(0, Code.NO_ERROR, "")

    def data_received(self, data: bytes) -> None:
        """Frames, whole or in part."""
        if self._out.ended:
            return
        try:
            for frame in self._cutter.feed(data):
                self._frame(frame)
        except (ConnectionFault, StreamFault, HPACKError, UnicodeDecodeError) as fault:
            self.usable = False
            self._fail_all(f"the server broke a rule of HTTP/2: {fault}")
            self._out.end(0, Code.PROTOCOL_ERROR, str(fault))

    def _fail_all(self, why: str) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.fail(ConnectionError(why))

    def _frame(self, frame: Frame) -> None:
        check(frame)
        if self._block is not None and (frame.type != Type.CONTINUATION or frame.stream != self._block[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is not continued")
        if frame.type == Type.DATA:
            self._data(frame)
        elif frame.type == Type.HEADERS:
            self._block = (frame.stream, frame.flags & Flag.END_STREAM, bytearray(unpadded(frame)))
            self._fields(frame)
        elif frame.type == Type.CONTINUATION:
            if self._block is None or len(self._block[2]) > _FIELDS:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS, or without end")
            self._block[2].extend(frame.payload)
            self._fields(frame)
        elif frame.type == Type.SETTINGS and not frame.flags & Flag.ACK:
            self._settings(frame)
        elif frame.type == Type.PING and not frame.flags & Flag.ACK:
            self._out.reply(framing.frame(Type.PING, Flag.ACK, 0, frame.payload))
        elif frame.type == Type.WINDOW_UPDATE:
            self._more(frame.stream, int.from_bytes(frame.payload) & LARGEST_WINDOW)
        elif frame.type == Type.RST_STREAM:
            if (call := self._calls.pop(frame.stream, None)) is not None:
                call.fail(ConnectionError(f"the server has reset the call: {_name(frame.payload)}"))
        elif frame.type == Type.GOAWAY:
            self.usable = False
            last = int.from_bytes(frame.payload[:4]) & LARGEST_WINDOW
            for number in [number for number in self._calls if number > last]:
                self._calls.pop(number).fail(ConnectionError(f"the server goes away: {_name(frame.payload[4:8])}"))

    def _data(self, frame: Frame) -> None:
        payload = unpadded(frame)
        call = self._calls.get(frame.stream)
        if frame.payload:
            self._out.write(framing.window_update(0, len(frame.payload)))
        if call is None:
            return
        call.data += payload
        if len(call.data) > _LARGEST_ANSWER:
            del self._calls[frame.stream]
            call.fail(CallError(_UNKNOWN, f"an answer of more than {_LARGEST_ANSWER} bytes"))
            self._out.write(framing.reset(frame.stream, Code.CANCEL))
        elif frame.flags & Flag.END_STREAM:
            self._calls.pop(frame.stream).finish()
        elif frame.payload:
            self._out.write(framing.window_update(frame.stream, len(frame.payload)))

    def _fields(self, frame: Frame) -> None:
        """More of a header block, and perhaps its end."""
        if not frame.flags & Flag.END_HEADERS or self._block is None:
            return
        number, ends, block = self._block
        self._block = None
        fields = {str(name): str(value) for name, value in self._decoder.decode(bytes(block))}
        if (call := self._calls.get(number)) is not None:
            call.fields |= fields
            if ends:
                self._calls.pop(number).finish()

    def _settings(self, frame: Frame) -> None:
        for key, value in settings(frame.payload):
            if key == Setting.INITIAL_WINDOW_SIZE:
                difference, self._initial = value - self._initial, value
                for call in self._calls.values():
                    call.window += difference
        self._out.reply(framing.SETTINGS_ACK)
        self._out.pump()

    def _more(self, stream: int, size: int) -> None:
        if stream == 0:
            self._out.window += size
        elif (call := self._calls.get(stream)) is not None:
            call.window += size
        self._out.pump()


def _name(code: bytes) -> str:
    number = int.from_bytes(code)
    with contextlib.suppress(ValueError):
        return Code(number).name
    return f"code {number}"
