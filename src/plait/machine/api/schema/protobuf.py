"""Kubernetes protobuf bodies as JSON objects. Typed Go clients (kubectl create, helm) send nothing else.

A body is four magic bytes and a message `Unknown` {1: TypeMeta {1: apiVersion, 2: kind}, 2: the object}. Field names of
the messages are the JSON names; the table says which messages are inlined in JSON and which zeros Go leaves out.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAGIC = b"k8s\x00"

_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_DEPTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProtobufError(ValueError):
    """A body that is not a Kubernetes protobuf message, or of a kind the table does not have."""


class ProtobufDecoder:
    """Decodes by a table: message -> field number -> [JSON name, type, label].

    Labels: `one`, `many`, `map`, `inline` (the message's fields belong to the parent), `nonzero` (a zero is unset).
    A message {"list": field} is a list in JSON.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table

    def decode(self, body: bytes) -> dict[str, Any]:
        """The object, with apiVersion and kind. Raises ProtobufError."""
        if not body.startswith(MAGIC):
            raise ProtobufError("the body does not start with the Kubernetes protobuf prefix (bytes 6b 38 73 00)")
        api_version = kind = ""
        raw = b""
        for number, wire, value in _fields(body[len(MAGIC) :]):
            if number == 1 and wire == 2:
                for inner, inner_wire, text in _fields(_as_bytes(value)):
                    if inner_wire == 2 and inner == 1:
                        api_version = _text(text)
                    elif inner_wire == 2 and inner == 2:
                        kind = _text(text)
            elif number == 2 and wire == 2:
                raw = _as_bytes(value)
        made = self._message(self._name(api_version, kind), raw, 0)
        return {"apiVersion": api_version, "kind": kind, **made}

    def _name(self, api_version: str, kind: str) -> str:
        group, _, version = api_version.rpartition("/")
        name = f"k8s.io.api.{group.split('.', 1)[0] or 'core'}.{version}.{kind}"
        if name in self._table:
            return name
        if _META + kind in self._table:
            return _META + kind
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"; send it as JSON')

    def _message(self, name: str, raw: bytes, depth: int) -> dict[str, Any]:
        if depth > _DEPTH:
            raise ProtobufError(f"messages are nested more than {_DEPTH} deep")
        rows = self._table[name]
        made: dict[str, Any] = {}
        for number, wire, value in _fields(raw):
            row = rows.get(str(number))
            if row is None:
                continue
            field, kind, label = row
            if label == "map":
                entry = self._entry(kind, _as_bytes(value), depth)
                made.setdefault(field, {})[entry[0]] = entry[1]
                continue
            decoded = self._value(kind, wire, value, depth)
            if label == "inline":
                made.update(decoded)
            elif label == "many":
                made.setdefault(field, []).append(decoded)
            elif decoded is not None and not (label == "nonzero" and not decoded):
                made[field] = decoded
        return made

    def _entry(self, kind: str, raw: bytes, depth: int) -> tuple[str, Any]:
        """One entry of a map: key and value, each the zero of its type when missing."""
        name = ""
        result: Any = _ZEROS.get(kind)
        if kind not in _ZEROS:
            result = self._value(kind, 2, b"", depth)
        for number, wire, value in _fields(raw):
            if number == 1:
                name = _text(value)
            elif number == 2:
                result = self._value(kind, wire, value, depth)
        return name, result

    def _value(self, kind: str, wire: int, value: int | bytes, depth: int) -> Any:
        if kind in _ZEROS:
            return _scalar(kind, wire, value)
        raw = _as_bytes(value)
        if (special := _SPECIAL.get(kind.rsplit(".", 1)[-1])) is not None:
            return special(raw)
        rows = self._table.get(kind)
        if rows is None:
            raise ProtobufError(f"no message {kind} is known")
        if "list" in rows:
            _, inner, _ = rows["list"]
            return [self._value(inner, at, item, depth + 1) for number, at, item in _fields(raw) if number == 1]
        return self._message(kind, raw, depth + 1)


_ZEROS: dict[str, Any] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0}


def _scalar(kind: str, wire: int, value: int | bytes) -> Any:
    wanted = 2 if kind in {"string", "bytes"} else 0
    if wire != wanted:
        raise ProtobufError(f"a {kind} has wire type {wire}, not {wanted}")
    if kind == "string":
        return _text(value)
    if kind == "bytes":
        return base64.b64encode(_as_bytes(value)).decode()
    number = int(value) if isinstance(value, int) else 0
    return bool(number) if kind == "bool" else _signed(number)


def _signed(number: int) -> int:
    """Negative numbers come as 64-bit two's complement, for int32 too."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _text(value: int | bytes) -> str:
    try:
        return _as_bytes(value).decode()
    except UnicodeDecodeError as fault:
        raise ProtobufError(f"a string is not UTF-8: {fault.reason} at byte {fault.start}") from None


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("a number stands where bytes were expected")
    return value


def _fields(raw: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message in order: number, wire type, value."""
    at, end = 0, len(raw)
    while at < end:
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(raw, at)
        elif wire == 1:
            value, at = raw[at : at + 8], at + 8
        elif wire == 5:
            value, at = raw[at : at + 4], at + 4
        elif wire == 2:
            length, at = _varint(raw, at)
            value, at = raw[at : at + length], at + length
        else:
            raise ProtobufError(f"wire type {wire} is not used by Kubernetes")
        if at > end or number == 0:
            raise ProtobufError("the message ends in the middle of a field")
        yield number, wire, value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise ProtobufError("a number is cut off or too long")
        byte = raw[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (1 << 64) - 1, at
        shift += 7


def _by_number(raw: bytes) -> dict[int, int | bytes]:
    return {number: value for number, _, value in _fields(raw)}


def _integer(value: int | bytes | None) -> int:
    return _signed(value) if isinstance(value, int) else 0


def _moment(raw: bytes, *, micro: bool) -> str | None:
    """RFC 3339, to the second or to the microsecond; an empty message is unset."""
    found = _by_number(raw)
    if not found:
        return None
    seconds, nanos = _integer(found.get(1)), _integer(found.get(2))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError(f"a time is out of range: {seconds} seconds") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _quantity(raw: bytes) -> str:
    return _text(_by_number(raw).get(1, b"")) or "0"


def _int_or_string(raw: bytes) -> int | str:
    found = _by_number(raw)
    return _text(found.get(3, b"")) if _integer(found.get(1)) else _integer(found.get(2))


def _raw_json(raw: bytes) -> Any:
    text = _as_bytes(_by_number(raw).get(1, b""))
    try:
        return json.loads(text) if text else None
    except ValueError as fault:
        raise ProtobufError(f"embedded JSON cannot be read: {fault}") from None


def _duration(raw: bytes) -> str:
    """A Go duration: `1m30s`. Kubernetes keeps whole nanoseconds."""
    nanos = _integer(_by_number(raw).get(1))
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    if nanos < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanos >= size:
                return f"{sign}{_fraction(nanos, size)}{unit}"
        return "0s"
    minutes, rest = divmod(nanos, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_fraction(rest, 1_000_000_000)}s"


def _fraction(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if size > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    "Time": lambda raw: _moment(raw, micro=False),
    "MicroTime": lambda raw: _moment(raw, micro=True),
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Duration": _duration,
    "FieldsV1": _raw_json,
    "RawExtension": _raw_json,
}
