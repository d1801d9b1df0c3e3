"""Envoy messages -> named, versioned bytes. The only place that knows protobuf's wire format.

Concatenation is meaning on the wire: repeated fields append, so a list of encoded elements is their plain join. That is
how a route configuration of a thousand virtual hosts is made from kept parts without building messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from plait.kit.digest import content_hash
from plait.xds.resource import Resource

_RESOURCES: Final = 2
_RESOURCE_VERSION, _RESOURCE_ANY, _RESOURCE_NAME = 1, 2, 3
_ANY_TYPE, _ANY_VALUE = 1, 2


def message_bytes(message: Any) -> bytes:
    """The message, encoded so that equal messages are equal bytes (maps have no order of their own)."""
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def length_delimited(field: int, data: bytes) -> bytes:
    """One field of wire type 2: text, bytes or a message."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def packed(message: Any) -> AnyMessage:
    """The message as Any, with equal bytes for equal messages."""
    result = AnyMessage()
    result.Pack(message, deterministic=True)
    return result


def resource(type_url: str, name: str, message: Any) -> Resource:
    """The resource `name` with the content `message`."""
    return resource_of_bytes(type_url, name, message_bytes(message))


def resource_of_bytes(type_url: str, name: str, value: bytes) -> Resource:
    """The resource `name` whose message is already encoded."""
    version = content_hash(value)
    body = length_delimited(_ANY_TYPE, type_url.encode()) + length_delimited(_ANY_VALUE, value)
    element = (
        length_delimited(_RESOURCE_VERSION, version.encode())
        + length_delimited(_RESOURCE_ANY, body)
        + length_delimited(_RESOURCE_NAME, name.encode())
    )
    return Resource(type_url, name, version, length_delimited(_RESOURCES, element))


def joined(field: int, elements: Iterable[bytes]) -> bytes:
    """A repeated message field from encoded elements."""
    return b"".join(length_delimited(field, element) for element in elements)


def duration(seconds: float) -> Duration:
    """A protobuf Duration."""
    result = Duration()
    result.FromMicroseconds(round(seconds * 1_000_000))
    return result
