"""Frames: methods, content headers, bodies and heartbeats on channels. Pure but for the reading."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import Any

from sockshop.amqp import method
from sockshop.amqp.method import Method
from sockshop.amqp.values import READ, WRITE, AmqpError, Reader

GREETING = b"AMQP\0\0\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE
OVERHEAD = 8
"""Bytes of a frame that are not its payload."""

_HEAD = struct.Struct(">BHI")
_CONTENT_HEAD = struct.Struct(">HHQ")
_BASIC = 60
_PROPERTIES = (
    ("content_type", "shortstr"),
    ("content_encoding", "shortstr"),
    ("headers", "table"),
    ("delivery_mode", "octet"),
    ("priority", "octet"),
    ("correlation_id", "shortstr"),
    ("reply_to", "shortstr"),
    ("expiration", "shortstr"),
    ("message_id", "shortstr"),
    ("timestamp", "timestamp"),
    ("type", "shortstr"),
    ("user_id", "shortstr"),
    ("app_id", "shortstr"),
    ("cluster_id", "shortstr"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came."""

    kind: int
    channel: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message's body, and its properties as the bytes of their flags and values."""

    body: bytes = b""
    properties: bytes = b"\0\0"

    def read_properties(self) -> dict[str, Any]:
        """The properties by name. Raises AmqpError."""
        reader = Reader(self.properties)
        flags = reader.number(">H")
        present = [pair for place, pair in enumerate(_PROPERTIES) if flags >> (15 - place) & 1]
        return {name: READ[kind](reader) for name, kind in present}


def properties(**values: Any) -> bytes:
    """Properties as they stand in a content header."""
    flags, parts = 0, []
    for place, (name, kind) in enumerate(_PROPERTIES):
        if name in values:
            flags |= 1 << (15 - place)
            parts.append(WRITE[kind](values[name]))
    return struct.pack(">H", flags) + b"".join(parts)


async def read(reader: asyncio.StreamReader, *, limit: int) -> Frame:
    """The next frame. Raises AmqpError, asyncio.IncompleteReadError and OSError."""
    kind, channel, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if limit and size + OVERHEAD > limit:
        raise AmqpError(f"a frame of {size + OVERHEAD} bytes where {limit} were agreed")
    rest = await reader.readexactly(size + 1)
    if rest[-1] != END:
        raise AmqpError("a frame without its end")
    return Frame(kind, channel, rest[:-1])


def heartbeat() -> bytes:
    """A frame that says: still here."""
    return _frame(HEARTBEAT, 0, b"")


def send(channel: int, name: str, **values: Any) -> bytes:
    """A method without content."""
    return _frame(METHOD, channel, method.encode(name, **values))


def send_content(channel: int, name: str, content: Content, *, limit: int, **values: Any) -> bytes:
    """A method with its content, the body cut into frames of up to `limit` bytes (0: no limit)."""
    head = _CONTENT_HEAD.pack(_BASIC, 0, len(content.body)) + content.properties
    parts = [send(channel, name, **values), _frame(HEADER, channel, head)]
    step = limit - OVERHEAD if limit else max(1, len(content.body))
    parts += [_frame(BODY, channel, content.body[at : at + step]) for at in range(0, len(content.body), step)]
    return b"".join(parts)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, channel, len(payload)) + payload + bytes((END,))


@dataclass(slots=True)
class Assembly:
    """Puts one channel's frames together to methods with their content; `body_limit` is the longest body taken."""

    body_limit: int = 2**63
    _method: Method | None = None
    _properties: bytes = b""
    _missing: int = 0
    _parts: list[bytes] = field(default_factory=list)

    def add(self, frame: Frame) -> tuple[Method, Content] | None:
        """The method that a frame completes, if it does. Raises AmqpError for frames out of order."""
        if frame.kind == METHOD:
            if self._method is not None:
                raise AmqpError("a method came before the content of the one before was whole")
            found = method.decode(frame.payload)
            if not found.has_content:
                return found, Content()
            self._method = found
            self._missing = -1
            return None
        if self._method is None or (frame.kind == HEADER) != (self._missing == -1):
            raise AmqpError(f"a frame of kind {frame.kind} is out of order")
        if frame.kind == HEADER:
            if len(frame.payload) < _CONTENT_HEAD.size + 2:
                raise AmqpError("a content header is too short")
            _, _, self._missing = _CONTENT_HEAD.unpack_from(frame.payload)
            self._properties = frame.payload[_CONTENT_HEAD.size :]
            if self._missing > self.body_limit:
                raise AmqpError(f"a body of {self._missing} bytes where {self.body_limit} are taken")
        elif frame.kind == BODY:
            self._parts.append(frame.payload)
            self._missing -= len(frame.payload)
        else:
            raise AmqpError(f"a frame of kind {frame.kind} is unknown")
        if self._missing < 0:
            raise AmqpError("a body is longer than its header says")
        if self._missing:
            return None
        whole = self._method, Content(body=b"".join(self._parts), properties=self._properties)
        self._method, self._parts = None, []
        return whole
