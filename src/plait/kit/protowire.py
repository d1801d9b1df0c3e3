"""Protobuf's wire format, for messages so small that classes for them would cost more than they save (4 MB).

https://protobuf.dev/programming-guides/encoding. Groups, which nobody sends any more, are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST: Final = 10


class WireError(ValueError):
    """Bytes that are no message."""


def varint(number: int) -> bytes:
    """A number from 0 to 2⁶⁴ - 1."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes | str | int) -> bytes:
    """One field: a string, bytes or message, or a number that is not negative. An empty one is left out."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value) if value else b""
    return element(number, value) if value else b""


def element(number: int, value: bytes | str) -> bytes:
    """One of a repeated field, or of a oneof, which is there also where it is empty."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field in order: a number as it stands on the wire, or bytes. Raises WireError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise WireError("a field without number")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif (known := _SIZES.get(kind)) is not None:
            size = known
        else:
            raise WireError(f"field {number} has wire type {kind}")
        if at + size > len(message):
            raise WireError(f"field {number} has {size} bytes, of which {len(message) - at} are there")
        yield number, message[at : at + size]
        at += size


def texts(message: bytes, number: int) -> tuple[str, ...]:
    """All strings of a field. Raises WireError."""
    found = [value for key, value in fields(message) if key == number]
    try:
        return tuple(value.decode() for value in found if isinstance(value, bytes))
    except UnicodeDecodeError as error:
        raise WireError(f"field {number} is no text: {error}") from error


def text(message: bytes, number: int) -> str:
    """A string field: of several the last, without one empty. Raises WireError."""
    return (texts(message, number) or ("",))[-1]


def number(message: bytes, number: int) -> int:
    """A field of type int64: of several the last, without one 0. Raises WireError."""
    found = 0
    for key, value in fields(message):
        if key == number and isinstance(value, int):
            found = value
    return found - (1 << 64) if found >> 63 else found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    for byte in message[at : at + _LONGEST]:
        found |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return found & (1 << 64) - 1, at
    raise WireError("a number without end")
