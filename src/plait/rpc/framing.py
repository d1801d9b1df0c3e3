"""The bytes that are sent. A message is framed once, and the same bytes go to everybody who takes it the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from plait.rpc.frames import LARGEST_FRAME, LARGEST_WINDOW, Code, Flag, Setting, Type
from plait.rpc.stream import Message


def frame(kind: Type, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(*, streams: int, window: int, fields: int) -> bytes:
    """The server's settings."""
    values = (
        (Setting.MAX_CONCURRENT_STREAMS, streams),
        (Setting.INITIAL_WINDOW_SIZE, window),
        (Setting.MAX_HEADER_LIST_SIZE, fields),
    )
    payload = b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in values)
    return frame(Type.SETTINGS, 0, 0, payload)


SETTINGS_ACK: Final = frame(Type.SETTINGS, Flag.ACK, 0)


def window_update(stream: int, size: int) -> bytes:
    """Leave to send so many more bytes."""
    return frame(Type.WINDOW_UPDATE, 0, stream, (size & LARGEST_WINDOW).to_bytes(4))


def reset(stream: int, code: Code) -> bytes:
    """The end of a stream."""
    return frame(Type.RST_STREAM, 0, stream, int(code).to_bytes(4))


def goaway(last: int, code: Code, reason: str = "") -> bytes:
    """The end of a connection; `last` is the highest stream that was served."""
    return frame(Type.GOAWAY, 0, 0, last.to_bytes(4) + int(code).to_bytes(4) + reason.encode()[:256])


def _literal(name: str, value: str) -> bytes:
    """A header field that no table remembers (RFC 7541, 6.2.2), without Huffman coding."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    data = text.encode("ascii")
    length = len(data)
    if length < 0x7F:
        return bytes((length,)) + data
    prefix, rest = bytearray((0x7F,)), length - 0x7F
    while rest >= 0x80:
        prefix.append(rest & 0x7F | 0x80)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + data


_GRPC: Final = b"\x88" + _literal("content-type", "application/grpc")
"""`:status: 200` is entry 8 of HPACK's static table."""


def response(stream: int) -> bytes:
    """The headers of a response whose messages follow."""
    return frame(Type.HEADERS, Flag.END_HEADERS, stream, _GRPC)


def status(stream: int, code: int, message: str, *, alone: bool) -> bytes:
    """The end of a response with gRPC's status; `alone` where no headers went before. `message` is percent-encoded."""
    fields = _literal("grpc-status", str(code)) + (_literal("grpc-message", message) if message else b"")
    return frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, (_GRPC if alone else b"") + fields)


def call(stream: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """The headers of a request whose messages follow. Raises ValueError where they are more than fits into a frame."""
    block = b"".join(_literal(name, value) for name, value in fields)
    if len(block) > LARGEST_FRAME:
        raise ValueError(f"{len(block)} bytes of header fields")
    return frame(Type.HEADERS, Flag.END_HEADERS, stream, block)


def refusal(stream: int, code: int) -> bytes:
    """A response of plain HTTP without a body, to what is no call of gRPC."""
    return frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, _literal(":status", str(code)))


#: Bytes before a message of gRPC in DATA.
PREFIX: Final = 5


def prefix(size: int) -> bytes:
    """What stands before a message of this size: not compressed, and its length."""
    return b"\x00" + size.to_bytes(4)


def prefixed(message: bytes | Message) -> bytes:
    """A message of gRPC as it stands in DATA."""
    return b"".join((prefix(len(message)), *_parts(message)))


def _parts(message: bytes | Message) -> tuple[bytes, ...]:
    return message.parts if isinstance(message, Message) else (message,)


#: Type and flags of a DATA frame that is not the last.
_DATA: Final = bytes((Type.DATA, 0))


class Framed:
    """A message as DATA frames. `size` counts against flow control: the message and its prefix."""

    __slots__ = ("data", "size")

    def __init__(self, message: bytes | Message, stream: int, largest: int) -> None:
        self.size = len(message) + PREFIX
        head = _DATA + stream.to_bytes(4)
        if self.size <= largest:
            self.data = b"".join((self.size.to_bytes(3), head, prefix(len(message)), *_parts(message)))
            return
        # The prefix goes into the first frame.
        found: list[bytes | memoryview] = []
        left, room = self.size, 0
        for part in (prefix(len(message)), *_parts(message)):
            at, size = 0, len(part)
            whole = memoryview(part) if size > room else part
            while at < size:
                if not room:
                    room = min(largest, left)
                    found.append(room.to_bytes(3) + head)
                taken = min(room, size - at)
                found.append(whole if taken == size else whole[at : at + taken])
                at += taken
                room -= taken
                left -= taken
        self.data = b"".join(found)


def framed(message: bytes | Message, stream: int, largest: int) -> Framed:
    """The message for a stream of that number, in frames of at most `largest` bytes; once, for what goes to many."""
    if not isinstance(message, Message):
        return Framed(message, stream, largest)
    form = message.form
    if form is None or form[:2] != (stream, largest):
        form = message.form = stream, largest, Framed(message, stream, largest)
    found: Framed = form[2]
    return found
