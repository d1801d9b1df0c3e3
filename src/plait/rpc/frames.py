"""HTTP/2 frames (RFC 9113, sections 4 to 6): what comes in, cut and checked as far as a frame alone can be checked."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER: Final = 9
#: What a peer may send in one frame: the smallest value of SETTINGS_MAX_FRAME_SIZE, which is never raised here.
LARGEST_FRAME: Final = 16_384
LARGEST_WINDOW: Final = (1 << 31) - 1
DEFAULT_WINDOW: Final = 65_535


class Type(IntEnum):
    """Frame types; others are ignored."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntEnum):
    """Frame flags; ACK and END_STREAM share a bit."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Code(IntEnum):
    """Error codes (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Setting(IntEnum):
    """The settings that mean something to a server that compresses no headers."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(Exception):  # noqa: N818 -- the RFC's word is "connection error"; this is what the peer did
    """The peer broke a rule that ends the connection with GOAWAY."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamFault(Exception):  # noqa: N818 -- see ConnectionFault
    """The peer broke a rule that ends one stream with RST_STREAM."""

    def __init__(self, stream: int, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.stream = stream
        self.code = code


class Frame:
    """One frame; `payload` still has its padding and priority. Not to be changed: a plain class, since one is made for
    every ACK, and a frozen dataclass takes three times as long.
    """

    __slots__ = ("flags", "payload", "stream", "type")

    def __init__(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.type = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload


#: Exact payload sizes, and whether another one is the stream's fault only.
_SIZES: Final = {Type.PRIORITY: 5, Type.RST_STREAM: 4, Type.PING: 8, Type.WINDOW_UPDATE: 4}
_ON_STREAMS: Final = {Type.DATA, Type.HEADERS, Type.PRIORITY, Type.RST_STREAM, Type.CONTINUATION, Type.PUSH_PROMISE}
_ON_CONNECTION: Final = {Type.SETTINGS, Type.PING, Type.GOAWAY}


class Cutter:
    """Cuts received bytes into frames. It holds at most one incomplete frame. Clients begin with a `preface`."""

    def __init__(self, *, preface: bool = True) -> None:
        self._rest = b""
        self._preface = preface

    @property
    def between(self) -> bool:
        """Whether what comes next begins a frame."""
        return not self._rest and not self._preface

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes, for `check`. Raises ConnectionFault."""
        buffer = self._rest + data if self._rest else data
        at = 0
        if self._preface:
            if len(buffer) < len(PREFACE):
                if not PREFACE.startswith(buffer):
                    raise ConnectionFault(Code.PROTOCOL_ERROR, "not HTTP/2")
                self._rest = buffer
                return
            if not buffer.startswith(PREFACE):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "not HTTP/2")
            at, self._preface = len(PREFACE), False
        try:
            while len(buffer) - at >= HEADER:
                length = int.from_bytes(buffer[at : at + 3])
                if length > LARGEST_FRAME:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
                end = at + HEADER + length
                if len(buffer) < end:
                    return
                start, at = at, end
                number = int.from_bytes(buffer[start + 5 : start + HEADER]) & LARGEST_WINDOW
                yield Frame(buffer[start + 3], buffer[start + 4], number, buffer[start + HEADER : end])
        finally:
            self._rest = buffer[at:]


def check(frame: Frame) -> None:
    """What can be checked of a frame alone. Raises ConnectionFault, StreamFault."""
    kind = frame.type
    if kind == 0 and frame.stream:
        # DATA, by far the most frequent, may have any size.
        return
    if (kind in _ON_STREAMS) and frame.stream == 0:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"a frame of type {kind} on stream 0")
    if kind in _ON_CONNECTION and frame.stream != 0:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"a frame of type {kind} on stream {frame.stream}")
    size = _SIZES.get(Type(kind)) if kind <= Type.CONTINUATION else None
    if size is not None and len(frame.payload) != size:
        if kind == Type.PRIORITY:
            raise StreamFault(frame.stream, Code.FRAME_SIZE_ERROR, "a PRIORITY frame of another size than 5")
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of type {kind} with {len(frame.payload)} bytes")
    if kind == Type.SETTINGS and (len(frame.payload) % 6 or (frame.flags & Flag.ACK and frame.payload)):
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a SETTINGS frame of {len(frame.payload)} bytes")


def unpadded(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and without priority. Raises ConnectionFault, StreamFault."""
    payload, padding = frame.payload, 0
    if frame.flags & Flag.PADDED:
        if not payload:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without a length of padding")
        padding, payload = payload[0], payload[1:]
    if frame.type == Type.HEADERS and frame.flags & Flag.PRIORITY:
        if len(payload) < 5:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a HEADERS frame too short for its priority")
        depends_on_itself(frame.stream, payload)
        payload = payload[5:]
    if padding > len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than payload")
    return payload[: len(payload) - padding] if padding else payload


def depends_on_itself(stream: int, priority: bytes) -> None:
    """Raises StreamFault where a stream's priority depends on the stream."""
    if int.from_bytes(priority[:4]) & LARGEST_WINDOW == stream:
        raise StreamFault(stream, Code.PROTOCOL_ERROR, "a stream that depends on itself")


def settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Identifier and value of each setting, in order. Raises ConnectionFault for a value that is out of range."""
    for at in range(0, len(payload), 6):
        key, value = int.from_bytes(payload[at : at + 2]), int.from_bytes(payload[at + 2 : at + 6])
        if key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value}")
        if key == Setting.INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE is {value}")
        if key == Setting.MAX_FRAME_SIZE and not LARGEST_FRAME <= value < 1 << 24:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE is {value}")
        yield key, value
