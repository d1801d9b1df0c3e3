"""The methods of AMQP 0-9-1 and of RabbitMQ's additions that are served here. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from sockshop.amqp.values import READ, WRITE, AmqpError, Reader

_DECLARED = """
10 10 connection.start major:octet minor:octet properties:table mechanisms:longstr locales:longstr
10 11 connection.start-ok properties:table mechanism:shortstr response:longstr locale:shortstr
10 30 connection.tune channels:short frame:long heartbeat:short
10 31 connection.tune-ok channels:short frame:long heartbeat:short
10 40 connection.open host:shortstr reserved1:shortstr reserved2:bit
10 41 connection.open-ok reserved1:shortstr
10 50 connection.close code:short text:shortstr class:short method:short
10 51 connection.close-ok
10 60 connection.blocked reason:shortstr
10 61 connection.unblocked
20 10 channel.open reserved1:shortstr
20 11 channel.open-ok reserved1:longstr
20 20 channel.flow active:bit
20 21 channel.flow-ok active:bit
20 40 channel.close code:short text:shortstr class:short method:short
20 41 channel.close-ok
40 10 exchange.declare reserved1:short exchange:shortstr type:shortstr passive:bit durable:bit auto_delete:bit
      internal:bit no_wait:bit arguments:table
40 11 exchange.declare-ok
40 20 exchange.delete reserved1:short exchange:shortstr if_unused:bit no_wait:bit
40 21 exchange.delete-ok
50 10 queue.declare reserved1:short queue:shortstr passive:bit durable:bit exclusive:bit
      auto_delete:bit no_wait:bit arguments:table
50 11 queue.declare-ok queue:shortstr messages:long consumers:long
50 20 queue.bind reserved1:short queue:shortstr exchange:shortstr key:shortstr no_wait:bit arguments:table
50 21 queue.bind-ok
50 30 queue.purge reserved1:short queue:shortstr no_wait:bit
50 31 queue.purge-ok messages:long
50 40 queue.delete reserved1:short queue:shortstr if_unused:bit if_empty:bit no_wait:bit
50 41 queue.delete-ok messages:long
50 50 queue.unbind reserved1:short queue:shortstr exchange:shortstr key:shortstr arguments:table
50 51 queue.unbind-ok
60 10 basic.qos size:long count:short global:bit
60 11 basic.qos-ok
60 20 basic.consume reserved1:short queue:shortstr tag:shortstr no_local:bit no_ack:bit exclusive:bit
      no_wait:bit arguments:table
60 21 basic.consume-ok tag:shortstr
60 30 basic.cancel tag:shortstr no_wait:bit
60 31 basic.cancel-ok tag:shortstr
60 40 basic.publish reserved1:short exchange:shortstr key:shortstr mandatory:bit immediate:bit
60 50 basic.return code:short text:shortstr exchange:shortstr key:shortstr
60 60 basic.deliver tag:shortstr number:longlong redelivered:bit exchange:shortstr key:shortstr
60 70 basic.get reserved1:short queue:shortstr no_ack:bit
60 71 basic.get-ok number:longlong redelivered:bit exchange:shortstr key:shortstr messages:long
60 72 basic.get-empty reserved1:shortstr
60 80 basic.ack number:longlong multiple:bit
60 90 basic.reject number:longlong requeue:bit
60 110 basic.recover requeue:bit
60 111 basic.recover-ok
60 120 basic.nack number:longlong multiple:bit requeue:bit
85 10 confirm.select no_wait:bit
85 11 confirm.select-ok
"""

_CONTENT = frozenset({"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"})
"""Methods that a header and a body follow."""


@dataclass(frozen=True, slots=True)
class _Shape:
    number: tuple[int, int]
    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A method and its arguments by name."""

    name: str
    fields: dict[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    @property
    def has_content(self) -> bool:
        """Whether a header and a body follow."""
        return self.name in _CONTENT


def _shapes() -> list[_Shape]:
    found = []
    for line in _DECLARED.replace("\n ", " ").split("\n"):
        if line:
            group, number, name, *fields = line.split()
            pairs = tuple((field.partition(":")[0], field.partition(":")[2]) for field in fields)
            found.append(_Shape((int(group), int(number)), name, pairs))
    return found


_BY_NUMBER = {shape.number: shape for shape in _shapes()}
_BY_NAME = {shape.name: shape for shape in _BY_NUMBER.values()}


class UnknownMethodError(AmqpError):
    """A method that is not served; `number` is its class and method."""

    def __init__(self, number: tuple[int, int]) -> None:
        super().__init__(f"method {number[0]}.{number[1]} is not implemented here")
        self.number = number


def number_of(name: str) -> tuple[int, int]:
    """A method's class and number."""
    return _BY_NAME[name].number


def table_of(data: bytes) -> dict[str, Any]:
    """A field table without its length in front: how AMQPLAIN sends name and password. Raises AmqpError."""
    return Reader(struct.pack(">I", len(data)) + data).table()


def decode(payload: bytes) -> Method:
    """A method frame's payload. Raises AmqpError."""
    reader = Reader(payload)
    number = reader.number(">H"), reader.number(">H")
    shape = _BY_NUMBER.get(number)
    if shape is None:
        raise UnknownMethodError(number)
    values: dict[str, Any] = {}
    bits = 0
    seen = 8
    for name, kind in shape.fields:
        if kind == "bit":
            if seen == 8:
                bits, seen = reader.number(">B"), 0
            values[name] = bool(bits >> seen & 1)
            seen += 1
        else:
            values[name], seen = READ[kind](reader), 8
    return Method(shape.name, values)


def encode(name: str, **values: Any) -> bytes:
    """A method frame's payload; an argument not given is empty, 0 or false."""
    shape = _BY_NAME[name]
    parts = [struct.pack(">HH", *shape.number)]
    bits: list[bool] = []
    for field, kind in shape.fields:
        if kind == "bit":
            bits.append(bool(values.get(field)))
            continue
        parts += [_packed(bits), WRITE[kind](values.get(field, _EMPTY.get(kind, 0)))]
        bits = []
    return b"".join([*parts, _packed(bits)])


_EMPTY: dict[str, Any] = {"shortstr": "", "longstr": b"", "table": {}}


def _packed(bits: list[bool]) -> bytes:
    return bytes([sum(bit << place for place, bit in enumerate(bits))]) if bits else b""
