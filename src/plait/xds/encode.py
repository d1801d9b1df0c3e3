"""Envoy messages -> named, versioned bytes.

Concatenation is meaning on the wire: repeated fields append, so a list of encoded elements is their plain join. That is
how a route configuration of a thousand virtual hosts is made from kept parts without building messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from plait.kit.digest import content_hash, digest
from plait.kit.protowire import varint
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
    size = len(data)
    if size < 0x80 and field < 0x10:
        # Both numbers are one byte: nearly all that is encoded by hand is a name.
        return bytes((field << 3 | 2, size)) + data
    return _head(field, size) + data


def _head(field: int, size: int) -> bytes:
    """Tag and length of a field of wire type 2."""
    return varint(field << 3 | 2) + varint(size)


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
    return _resource(type_url, name, content_hash(value), (value,), len(value))


def resource_of_blocks(type_url: str, name: str, head: Part, blocks: Sequence[Part], tail: Part) -> Resource:
    """The same, whose parts stay what they are: other resources have most of `blocks` too."""
    data, digests = zip(head, *blocks, tail, strict=True)
    version = content_hash(b"".join(digests))
    before, after = _around(type_url, name, version, sum(map(len, data)))
    # Equal versions have equal parts: what is empty counts in neither.
    return Resource(type_url, name, version, (before + head.data, *filter(None, data[1:-1]), tail.data + after))


def resource_of_parts(type_url: str, name: str, parts: Sequence[Part]) -> Resource:
    """The resource `name` whose message is the join of `parts`. Its version is the hash of their hashes: a change of
    one of a thousand virtual hosts reads the others once, to copy them.
    """
    data, digests = zip(*parts, strict=True)
    return _resource(type_url, name, content_hash(b"".join(digests)), data, sum(map(len, data)))


def _resource(type_url: str, name: str, version: str, value: Iterable[bytes], size: int) -> Resource:
    """The value with what is around it: joined once."""
    before, after = _around(type_url, name, version, size)
    return Resource(type_url, name, version, b"".join((before, *value, after)))


def _around(type_url: str, name: str, version: str, size: int) -> tuple[bytes, bytes]:
    """What stands before a value of this size, and what follows it."""
    kind = length_delimited(_ANY_TYPE, type_url.encode()) + _head(_ANY_VALUE, size)
    within = length_delimited(_RESOURCE_VERSION, version.encode()) + _head(_RESOURCE_ANY, len(kind) + size)
    after = length_delimited(_RESOURCE_NAME, name.encode())
    before = _head(_RESOURCES, len(within) + len(kind) + size + len(after)) + within + kind
    return before, after


class Part(NamedTuple):
    """Encoded fields of a message, and their hash."""

    data: bytes
    digest: bytes


def part(data: bytes) -> Part:
    """With its hash."""
    return Part(data, digest(data))


NOTHING: Final = Part(b"", b"")
"""A part that is not there: what is joined from the others is as if it never was."""


def one_part(parts: Sequence[Part]) -> Part:
    """Parts as one."""
    data, digests = zip(*parts, strict=True) if parts else ((), ())
    return Part(b"".join(data), digest(b"".join(digests))) if any(data) else NOTHING


def joined(field: int, elements: Iterable[bytes]) -> bytes:
    """A repeated message field from encoded elements."""
    return b"".join(length_delimited(field, element) for element in elements)


def duration(seconds: float) -> Duration:
    """A protobuf Duration."""
    result = Duration()
    result.FromMicroseconds(round(seconds * 1_000_000))
    return result
