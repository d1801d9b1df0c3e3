"""The bytes that are sent. A message is framed once, and the same bytes go to everybody who takes it the same way."""

from __future__ import annotations

from typing import Final

from plait.delivery.http2.frames import LARGEST_WINDOW, Code, Flag, Setting, Type

#: Bytes of framed messages that are remembered: those of a push to all, which may be another for each view.
_REMEMBERED: Final = 32 << 20


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


def refusal(stream: int, code: int) -> bytes:
    """A response of plain HTTP without a body, to what is no call of gRPC."""
    return frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, _literal(":status", str(code)))


def prefixed(message: bytes) -> bytes:
    """A message of gRPC as it stands in DATA: not compressed, and its length."""
    return b"\x00" + len(message).to_bytes(4) + message


class Framed:
    """A message as DATA frames. `size` counts against flow control: the message and its prefix."""

    __slots__ = ("data", "size")

    def __init__(self, message: bytes, stream: int, largest: int) -> None:
        body = prefixed(message)
        self.size = len(body)
        starts = range(0, len(body), largest)
        self.data = b"".join(frame(Type.DATA, 0, stream, body[start : start + largest]) for start in starts)


class Framer:
    """Frames messages, and remembers the last ones: a push goes to many proxies as one bytes object."""

    def __init__(self) -> None:
        self._recent: dict[tuple[int, int, int], tuple[bytes, Framed]] = {}
        self._bytes = 0

    def frame(self, message: bytes, stream: int, largest: int) -> Framed:
        """The message for a stream of that number, in frames of at most `largest` bytes."""
        # The message is held, so nothing else can have its identity meanwhile.
        key = (id(message), stream, largest)
        found = self._recent.get(key)
        if found is not None:
            return found[1]
        framed = Framed(message, stream, largest)
        self._recent[key] = message, framed
        self._bytes += framed.size
        while self._bytes > _REMEMBERED:
            _, dropped = self._recent.pop(next(iter(self._recent)))
            self._bytes -= dropped.size
        return framed

    def forget(self) -> None:
        """Let go of all messages: those of a push that is over take room."""
        self._recent.clear()
        self._bytes = 0
