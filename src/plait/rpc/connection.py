"""One HTTP/2 connection of a client as a protocol of asyncio: frames in, calls out. `outgoing` is what it sends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container
from struct import Struct
from typing import Final, cast

from hpack import Decoder, HPACKError

from plait.rpc import framing
from plait.rpc.call import STATUS, WINDOW, Call
from plait.rpc.fields import MalformedFieldsError, request, trailers
from plait.rpc.frames import (
    DEFAULT_WINDOW,
    HEADER,
    LARGEST_FRAME,
    LARGEST_WINDOW,
    Code,
    ConnectionFault,
    Cutter,
    Flag,
    Frame,
    Setting,
    StreamFault,
    Type,
    check,
    depends_on_itself,
    settings,
    unpadded,
)
from plait.rpc.framing import PREFIX
from plait.rpc.outgoing import Outgoing
from plait.rpc.stream import Message

#: Bytes a peer may send ahead on all its streams together.
_CONNECTION_WINDOW: Final = 16 << 20
#: Of these so many are left when it is time to give leave for more.
_LOW: Final = _CONNECTION_WINDOW // 4 * 3
_STREAMS: Final = 100
_FIELDS: Final = 64 << 10
#: Frames that cost the peer nothing: empty ones and resets.
_NUISANCES: Final = 1000
#: Numbers of closed streams that are remembered, to tell late frames from wrong ones.
_CLOSED: Final = 100

_HELLO: Final = framing.settings(streams=_STREAMS, window=WINDOW, fields=_FIELDS) + framing.window_update(
    0, _CONNECTION_WINDOW - DEFAULT_WINDOW
)

#: Bytes received at once.
RECEIVED: Final = 64 << 10
#: Type and flags of a DATA frame that is neither padded nor the last.
_PLAIN: Final = Type.DATA << 8
#: What a frame with a whole message begins with: length (16 and 8 bits), type and flags, stream; then gRPC's prefix:
#: whether it is compressed, and its length.
_WHOLE: Final = Struct(">HBHLBL")

Start = Callable[[Call], None]
"""Starts the handler of a call."""


class Connection(asyncio.BufferedProtocol):
    """Serves calls of some methods (`/service/Name`) and refuses others. `start` is told of each call.

    `into` is where bytes are received, which may be one place for all connections of a loop: they are taken at once.
    (asyncio's other way allocates 256 KiB for each ACK.)
    """

    def __init__(
        self,
        methods: Container[str],
        start: Start,
        closed: Callable[[Connection], None],
        into: memoryview | None = None,
    ) -> None:
        self.greeted = False
        self.heard = True
        self._into = into if into is not None else memoryview(bytearray(RECEIVED))
        self._methods = methods
        self._start = start
        self._closed = closed
        self._out = Outgoing()
        self._cutter = Cutter()
        self._decoder = Decoder(max_header_list_size=_FIELDS)
        self._calls: dict[int, Call] = {}
        self._ended: deque[int] = deque(maxlen=_CLOSED)
        self._last = 0
        self._block: tuple[int, int, bytearray] | None = None
        self._initial = DEFAULT_WINDOW
        self._left = _CONNECTION_WINDOW
        self._nuisances = 0
        self._take: dict[int, Callable[[Frame], None]] = {
            Type.DATA: self._data,
            Type.HEADERS: self._headers,
            Type.PRIORITY: lambda frame: depends_on_itself(frame.stream, frame.payload),
            Type.RST_STREAM: self._reset_by_peer,
            Type.SETTINGS: self._settings,
            Type.PUSH_PROMISE: self._push_promise,
            Type.PING: self._ping,
            Type.WINDOW_UPDATE: self._window_update,
            Type.CONTINUATION: self._continuation,
        }

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._out.begin(cast("asyncio.Transport", transport))
        self._out.write(_HELLO)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- it is large enough for most
        """Where to receive."""
        return self._into

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self.data_received(bytes(self._into[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Frames, whole or in part."""
        self.heard = True
        if self._out.ended:
            return
        self._out.hold()
        try:
            if self._cutter.between and (taken := self._messages(data)):
                if taken == len(data):
                    return
                data = data[taken:]
            for frame in self._cutter.feed(data):
                try:
                    self._frame(frame)
                except StreamFault as fault:
                    self._reset(fault.stream, fault.code)
        except ConnectionFault as fault:
            self.close(fault.code, str(fault))
        finally:
            self._out.let_go()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- why it ended makes no difference
        """End every call."""
        self._out.lost()
        for call in (*self._calls.values(),):
            self._forget(call)
        # They hold the connection: without a circle it goes at once.
        self._take.clear()
        self._closed(self)

    def pause_writing(self) -> None:
        """The network has to catch up."""
        self._out.pause()

    def resume_writing(self) -> None:
        """It has."""
        self._nuisances = 0
        self._out.resume()

    # for calls

    def try_send(self, call: Call, message: bytes | Message) -> bool:
        """See Carrier."""
        return self._out.try_send(call, message)

    def send_later(self, call: Call) -> None:
        """See Carrier."""
        self._out.send_later(call)

    def finish(self, call: Call, code: int, message: str) -> None:
        """See Carrier."""
        if call.gone:
            return
        self._out.write(framing.status(call.number, code, message, alone=not call.begun))
        if not call.ended:
            self._out.write(framing.reset(call.number, Code.NO_ERROR))
        self._forget(call)

    def grant(self, stream: int, size: int) -> None:
        """See Carrier."""
        self._out.write(framing.window_update(stream, size))

    @property
    def peer_certificate(self) -> bytes | None:
        """See Carrier."""
        return self._out.peer_certificate

    # for the transport

    @property
    def busy(self) -> bool:
        """Whether it carries a call."""
        return bool(self._calls)

    def ping(self) -> None:
        """Ask whether the peer is there."""
        self._out.write(framing.frame(Type.PING, 0, 0, bytes(8)))

    def close(self, code: Code = Code.NO_ERROR, reason: str = "") -> None:
        """Say goodbye; what is written still goes out."""
        self._out.end(self._last, code, reason)

    def abort(self) -> None:
        """The peer is not there."""
        self._out.abort()

    # frames

    def _messages(self, data: bytes) -> int:
        """Take what `data` begins with of whole messages in plain DATA frames for calls that listen; how many bytes
        that were. It is what nearly all ACKs are, and the long way costs as much as the ACK itself.
        """
        at, there = 0, len(data)
        while at + _WHOLE.size <= there and self._block is None:
            high, low, kind, number, plain, length = _WHOLE.unpack_from(data, at)
            size = high << 8 | low
            start, end = at + _WHOLE.size, at + HEADER + size
            if kind != _PLAIN or plain or size != length + PREFIX or end > there:
                break
            call = self._calls.get(number)
            if call is None or size > LARGEST_FRAME or self._left - size < _LOW or not call.take_whole(data[start:end]):
                break
            self._left -= size
            at = end
        return at

    def _frame(self, frame: Frame) -> None:
        if not self.greeted:
            if frame.type != Type.SETTINGS or frame.flags & Flag.ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.greeted = True
        if self._block is not None and (frame.type != Type.CONTINUATION or frame.stream != self._block[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is not continued")
        check(frame)
        take = self._take.get(frame.type)
        if take is not None:
            take(frame)

    def _data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self._left -= size
        if self._left < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more data than was allowed")
        # The connection's window is only against one frame too many: what waits is bounded stream by stream.
        if self._left <= _LOW:
            self._out.write(framing.window_update(0, _CONNECTION_WINDOW - self._left))
            self._left = _CONNECTION_WINDOW
        payload = unpadded(frame)
        call = self._calls.get(frame.stream)
        if call is None or call.ended:
            self._not_idle(frame.stream)
            raise StreamFault(frame.stream, Code.STREAM_CLOSED, "data on a closed stream")
        ends = bool(frame.flags & Flag.END_STREAM)
        if not payload and not ends:
            self._nuisance()
        call.feed(payload, size)
        if ends and not call.gone:
            self._end(call)

    def _headers(self, frame: Frame) -> None:
        if frame.stream % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a stream of a client has an even number")
        if frame.stream <= self._last and frame.stream not in self._calls and frame.stream not in self._ended:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a stream's number is not larger than those before")
        fault: StreamFault | None = None
        try:
            fragment = unpadded(frame)
        except StreamFault as late:
            # The block must be decoded all the same, or the next one is not understood.
            fault, fragment = late, frame.payload[5:] if not frame.flags & Flag.PADDED else frame.payload[6:]
        self._block = (frame.stream, frame.flags & Flag.END_STREAM, bytearray(fragment))
        self._last = max(self._last, frame.stream)
        if frame.flags & Flag.END_HEADERS:
            self._fields(fault)
        elif fault is not None:
            raise ConnectionFault(fault.code, str(fault))

    def _continuation(self, frame: Frame) -> None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        if not frame.payload:
            self._nuisance()
        self._block[2].extend(frame.payload)
        if len(self._block[2]) > _FIELDS:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"more than {_FIELDS} bytes of header fields")
        if frame.flags & Flag.END_HEADERS:
            self._fields(None)

    def _fields(self, fault: StreamFault | None) -> None:
        """A header block is complete."""
        assert self._block is not None  # noqa: S101 -- the callers have just seen it
        number, ends, block = self._block
        self._block = None
        try:
            fields = [(str(name), str(value)) for name, value in self._decoder.decode(bytes(block))]
        except (HPACKError, UnicodeDecodeError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"header fields: {error}") from error
        if fault is not None:
            raise fault
        call = self._calls.get(number)
        try:
            if call is not None:
                self._trailers(call, fields, ends=bool(ends))
            elif number in self._ended:
                raise ConnectionFault(Code.STREAM_CLOSED, "header fields on a closed stream")
            else:
                self._open(number, fields, ends=bool(ends))
        except MalformedFieldsError as error:
            raise StreamFault(number, Code.PROTOCOL_ERROR, str(error)) from error

    def _trailers(self, call: Call, fields: list[tuple[str, str]], *, ends: bool) -> None:
        if call.ended:
            raise StreamFault(call.number, Code.STREAM_CLOSED, "header fields after the end")
        if not ends:
            raise StreamFault(call.number, Code.PROTOCOL_ERROR, "trailers that do not end the stream")
        trailers(fields)
        self._end(call)

    def _open(self, number: int, fields: list[tuple[str, str]], *, ends: bool) -> None:
        if len(self._calls) >= _STREAMS:
            raise StreamFault(number, Code.REFUSED_STREAM, f"more than {_STREAMS} streams")
        asked = request(fields)
        if ends and asked.length:
            raise StreamFault(number, Code.PROTOCOL_ERROR, "content-length without content")
        call = Call(self, number, asked, window=self._initial)
        self._calls[number] = call
        if not asked.is_grpc:
            # Plain HTTP is heard to its end first, as its clients expect.
            call.unserved = framing.refusal(number, 415 if asked.method == "POST" else 405)
            if ends:
                self._end(call)
            return
        if asked.path not in self._methods:
            call.ended = ends
            self.finish(call, STATUS["UNIMPLEMENTED"], "no such method")
            return
        if ends:
            call.end()
        self._start(call)

    def _end(self, call: Call) -> None:
        """The peer has said all."""
        call.end()
        if call.unserved:
            self._out.write(call.unserved)
            self._forget(call)

    def _reset_by_peer(self, frame: Frame) -> None:
        self._not_idle(frame.stream)
        self._nuisance()
        if (call := self._calls.get(frame.stream)) is not None:
            self._forget(call)

    def _settings(self, frame: Frame) -> None:
        if frame.flags & Flag.ACK:
            return
        for key, value in settings(frame.payload):
            if key == Setting.INITIAL_WINDOW_SIZE:
                difference, self._initial = value - self._initial, value
                for call in self._calls.values():
                    call.window += difference
                    if call.window > LARGEST_WINDOW:
                        raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window became too large")
        self._out.reply(framing.SETTINGS_ACK)
        self._out.pump()

    def _push_promise(self, _frame: Frame) -> None:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a client does not push")

    def _ping(self, frame: Frame) -> None:
        if not frame.flags & Flag.ACK:
            self._out.reply(framing.frame(Type.PING, Flag.ACK, 0, frame.payload))

    def _window_update(self, frame: Frame) -> None:
        size = int.from_bytes(frame.payload) & LARGEST_WINDOW
        if frame.stream == 0:
            self._out.window += size
            if not size or self._out.window > LARGEST_WINDOW:
                code = Code.FLOW_CONTROL_ERROR if size else Code.PROTOCOL_ERROR
                raise ConnectionFault(code, "WINDOW_UPDATE by nothing or too much")
        else:
            self._not_idle(frame.stream)
            call = self._calls.get(frame.stream)
            if not size:
                raise StreamFault(frame.stream, Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            if call is not None:
                call.window += size
                if call.window > LARGEST_WINDOW:
                    raise StreamFault(frame.stream, Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE by too much")
        self._out.pump()

    # ends

    def _reset(self, number: int, code: Code) -> None:
        self._out.reply(framing.reset(number, code))
        if (call := self._calls.get(number)) is not None:
            self._forget(call)
        elif number not in self._ended:
            self._ended.append(number)

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.number, None)
        self._ended.append(call.number)
        call.over()

    def _not_idle(self, number: int) -> None:
        if number > self._last or number % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} was never opened")

    def _nuisance(self) -> None:
        self._nuisances += 1
        if self._nuisances > _NUISANCES:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that do nothing")
