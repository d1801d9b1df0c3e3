"""Documents to bytes and back (bsonspec.org, version 1.1). Pure.

A document is a dict, in order; see `values` for the types that Python lacks. What is decoded and encoded again is the
same bytes.
"""

from __future__ import annotations

import struct
from typing import Any

from sockshop.mongo.values import Binary, BsonError, DateTime, Extreme, Int64, ObjectId, Raw, Regex, Timestamp

DEPTH_LIMIT = 100
"""Documents nested deeper are refused, as MongoDB does."""

SIZE_LIMIT = 16 * 1024 * 1024
"""Most bytes of a document."""

Document = dict[str, Any]

_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_UINT64 = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")
_STRINGS = frozenset({0x0D, 0x0E})
"""Code and symbol: a length and a text, like a string."""


def decode(data: bytes) -> Document:
    """One whole document. Raises BsonError."""
    document, end = decode_at(data, 0)
    if end != len(data):
        raise BsonError(f"{len(data) - end} bytes after the document's end")
    return document


def decode_at(data: bytes, start: int) -> tuple[Document, int]:
    """The document at `start`, and where it ends. Raises BsonError."""
    try:
        return _document(data, start, 0)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise error if isinstance(error, BsonError) else BsonError(f"broken BSON: {error}") from error


def _document(data: bytes, start: int, depth: int) -> tuple[Document, int]:
    if depth > DEPTH_LIMIT:
        raise BsonError(f"documents are nested deeper than {DEPTH_LIMIT}")
    size: int = _INT32.unpack_from(data, start)[0]
    end = start + size
    if size < 5 or end > len(data) or data[end - 1]:
        raise BsonError("a document's length is wrong")
    found: Document = {}
    at = start + 4
    while (kind := data[at]) != 0:
        stop = data.index(0, at + 1, end)
        name = data[at + 1 : stop].decode()
        found[name], at = _value(data, kind, stop + 1, depth)
        if at >= end:
            raise BsonError(f"the value of {name!r} goes past its document")
    if at != end - 1:
        raise BsonError("a document ends before its length says so")
    return found, end


def _value(data: bytes, kind: int, at: int, depth: int) -> tuple[Any, int]:
    match kind:
        case 0x01:
            return _DOUBLE.unpack_from(data, at)[0], at + 8
        case 0x02:
            return _string(data, at)
        case 0x03:
            return _document(data, at, depth + 1)
        case 0x04:
            items, end = _document(data, at, depth + 1)
            return list(items.values()), end
        case 0x05:
            size = _INT32.unpack_from(data, at)[0]
            if size < 0:
                raise BsonError("a binary value's length is negative")
            return Binary(data[at + 4], data[at + 5 : at + 5 + size]), at + 5 + size
        case 0x07:
            return ObjectId(data[at : at + 12]), at + 12
        case 0x08:
            return data[at] != 0, at + 1
        case 0x09:
            return DateTime(_INT64.unpack_from(data, at)[0]), at + 8
        case 0x0A:
            return None, at
        case 0x0B:
            middle = data.index(0, at)
            end = data.index(0, middle + 1)
            return Regex(data[at:middle].decode(), data[middle + 1 : end].decode()), end + 1
        case 0x10:
            return _INT32.unpack_from(data, at)[0], at + 4
        case 0x11:
            return Timestamp(_UINT64.unpack_from(data, at)[0]), at + 8
        case 0x12:
            number = _INT64.unpack_from(data, at)[0]
            return Int64(number), at + 8
        case 0x7F | 0xFF:
            return Extreme(1 if kind == 0x7F else -1), at
    end = _raw_end(data, kind, at)
    return Raw(kind, data[at:end]), end


def _raw_end(data: bytes, kind: int, at: int) -> int:
    if kind == 0x06:  # undefined
        return at
    if kind in _STRINGS:
        return _string(data, at)[1]
    if kind == 0x0C:  # DBPointer
        return _string(data, at)[1] + 12
    if kind == 0x0F:  # code with scope
        size: int = _INT32.unpack_from(data, at)[0]
        if size < 14:
            raise BsonError("code with scope is too short")
        return at + size
    if kind == 0x13:  # decimal128
        return at + 16
    raise BsonError(f"no BSON type is numbered 0x{kind:02x}")


def _string(data: bytes, at: int) -> tuple[str, int]:
    size: int = _INT32.unpack_from(data, at)[0]
    end = at + 4 + size
    if size < 1 or end > len(data) or data[end - 1]:
        raise BsonError("a string's length is wrong")
    return data[at + 4 : end - 1].decode(), end


def encode(document: Document) -> bytes:
    """A document's bytes. Raises BsonError for what BSON has no form for."""
    parts: list[bytes] = []
    for name, value in document.items():
        _element(parts, name, value)
    body = b"".join(parts)
    return _INT32.pack(len(body) + 5) + body + b"\0"


def _element(parts: list[bytes], name: str, value: Any) -> None:
    kind, data = _encoded(value)
    raw = name.encode()
    if 0 in raw:
        raise BsonError(f"the name {name!r} contains a zero byte")
    parts += (bytes((kind,)), raw, b"\0", data)


def _encoded(value: Any) -> tuple[int, bytes]:
    match value:
        case str():
            raw = value.encode()
            return 0x02, _INT32.pack(len(raw) + 1) + raw + b"\0"
        case bool():
            return 0x08, b"\1" if value else b"\0"
        case int():
            return _whole(value)
        case float():
            return 0x01, _DOUBLE.pack(value)
        case None:
            return 0x0A, b""
        case dict():
            return 0x03, encode(value)
        case list() | tuple():
            return 0x04, encode({str(number): item for number, item in enumerate(value)})
        case ObjectId():
            return 0x07, value.raw
        case DateTime():
            return 0x09, _INT64.pack(value.ms)
        case Binary():
            return 0x05, _INT32.pack(len(value.data)) + bytes((value.subtype,)) + value.data
        case Regex():
            return 0x0B, value.pattern.encode() + b"\0" + value.options.encode() + b"\0"
        case Timestamp():
            return 0x11, _UINT64.pack(value.value)
        case Raw():
            return value.kind, value.data
        case Extreme():
            return (0x7F if value.sign > 0 else 0xFF), b""
        case _:
            raise BsonError(f"no BSON for {type(value).__name__}")


def _whole(value: int) -> tuple[int, bytes]:
    if not isinstance(value, Int64) and -(2**31) <= value < 2**31:
        return 0x10, _INT32.pack(value)
    if -(2**63) <= value < 2**63:
        return 0x12, _INT64.pack(value)
    raise BsonError(f"{value} has more than 64 bits")
