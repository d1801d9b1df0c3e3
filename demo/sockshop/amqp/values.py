"""Field tables and the plain types of method arguments. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from sockshop.mongo.values import DateTime

Table = dict[str, Any]


class AmqpError(Exception):
    """Bytes that break the protocol."""


_FIXED = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "f": ">f", "d": ">d",
}  # fmt: skip
"""Types of a fixed size, by RabbitMQ's letters."""


class Reader:
    """Takes values off a buffer. Raises AmqpError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def raw(self, size: int) -> bytes:
        """That many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise AmqpError("a value goes past its frame")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, form: str) -> Any:
        """A number in one of struct's forms."""
        return struct.unpack(form, self.raw(struct.calcsize(form)))[0]

    def short(self) -> str:
        """A string of up to 255 bytes."""
        return _text(self.raw(self.number(">B")))

    def long(self) -> bytes:
        """A string of any bytes."""
        return self.raw(self.number(">I"))

    def table(self) -> Table:
        """A field table."""
        inner = Reader(self.long())
        found: Table = {}
        while inner.left:
            name = inner.short()
            found[name] = inner.field()
        return found

    def field(self) -> Any:
        """A value behind the letter of its type."""
        letter = self.raw(1).decode("latin-1")
        if letter in _FIXED:
            return self.number(_FIXED[letter])
        match letter:
            case "t":
                return self.number(">B") != 0
            case "S":
                return _text(self.long())
            case "x":
                return self.long()
            case "A":
                inner = Reader(self.long())
                items = []
                while inner.left:
                    items.append(inner.field())
                return items
            case "F":
                return self.table()
            case "T":
                return DateTime(self.number(">Q") * 1000)
            case "D":
                scale = self.number(">B")
                return self.number(">i") / 10**scale
            case "V":
                return None
            case _:
                raise AmqpError(f"no field type has the letter {letter!r}")

    @property
    def left(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise AmqpError(f"a string is not UTF-8: {error}") from error


def short(text: str) -> bytes:
    """A string of up to 255 bytes. Raises AmqpError for a longer one."""
    raw = text.encode()
    if len(raw) > 255:
        raise AmqpError(f"a string of {len(raw)} bytes where 255 fit")
    return bytes((len(raw),)) + raw


def long(data: bytes) -> bytes:
    """A string of any bytes."""
    return struct.pack(">I", len(data)) + data


def table(values: Table) -> bytes:
    """A field table."""
    return long(b"".join(short(name) + field(value) for name, value in values.items()))


def field(value: Any) -> bytes:
    """A value with the letter of its type. Raises AmqpError for what has none."""
    match value:
        case bool():
            return b"t\1" if value else b"t\0"
        case int():
            return b"I" + struct.pack(">i", value) if -(2**31) <= value < 2**31 else b"l" + struct.pack(">q", value)
        case float():
            return b"d" + struct.pack(">d", value)
        case str():
            return b"S" + long(value.encode())
        case bytes():
            return b"x" + long(value)
        case list():
            return b"A" + long(b"".join(map(field, value)))
        case dict():
            return b"F" + table(value)
        case DateTime():
            return b"T" + struct.pack(">Q", value.ms // 1000)
        case None:
            return b"V"
        case _:
            raise AmqpError(f"no field type for {type(value).__name__}")


READ: dict[str, Callable[[Reader], Any]] = {
    "octet": lambda reader: reader.number(">B"),
    "short": lambda reader: reader.number(">H"),
    "long": lambda reader: reader.number(">I"),
    "longlong": lambda reader: reader.number(">Q"),
    "shortstr": Reader.short,
    "longstr": Reader.long,
    "table": Reader.table,
    "timestamp": lambda reader: reader.number(">Q"),
}
WRITE: dict[str, Callable[[Any], bytes]] = {
    "octet": lambda value: struct.pack(">B", value),
    "short": lambda value: struct.pack(">H", value),
    "long": lambda value: struct.pack(">I", value),
    "longlong": lambda value: struct.pack(">Q", value),
    "shortstr": short,
    "longstr": long,
    "table": table,
    "timestamp": lambda value: struct.pack(">Q", value),
}
