"""Where an answer ends with another name: ExternalNames of hosts that the cluster itself does not know. Pure.

A pod's resolver follows no names: it expects the addresses in the answer.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from plait.machine.services.dns_message import Answer, Question, Record, Type, encode_query

_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_POINTER: Final = 0xC0


def open_end(question: Question, answer: Answer) -> str | None:
    """The name whose addresses are missing, if the answer ends with one and addresses are asked for."""
    last = answer.records[-1] if answer.records else None
    if last is None or last.type is not Type.CNAME or question.type not in {Type.A, Type.ANY}:
        return None
    return last.data if isinstance(last.data, str) else None


def labels_of(name: str) -> tuple[str, ...]:
    """The labels of a name, in lower case."""
    return tuple(name.lower().rstrip(".").split("."))


def completed(answer: Answer, name: str, found: Answer) -> Answer:
    """`answer` with the records found for `name`."""
    return replace(answer, records=(*answer.records, *(replace(record, name=name) for record in found.records)))


def query(question: Question, name: str) -> bytes:
    """The question for the addresses of `name`, in the name of who asked."""
    labels = tuple(label.encode("latin-1", "replace") for label in labels_of(name))
    return encode_query(replace(question, labels=labels, type=Type.A, recursion_desired=True))


def addresses_of(reply: bytes) -> Answer:
    """The addresses that a server's answer has, whatever names lead to them; none where it cannot be read."""
    try:
        return Answer(records=tuple(_addresses(reply)))
    except (struct.error, IndexError):
        return Answer()


def _addresses(reply: bytes) -> list[Record]:
    _, _, questions, answers, _, _ = _HEADER.unpack_from(reply)
    at, found = _HEADER.size, []
    for _ in range(questions):
        at = _after_name(reply, at) + 4
    for _ in range(answers):
        at = _after_name(reply, at)
        type_, _, ttl, length = _FIXED.unpack_from(reply, at)
        at += _FIXED.size
        if type_ == Type.A and length == 4:
            found.append(Record(None, Type.A, ttl, IPv4Address(reply[at : at + 4])))
        at += length
    return found


def _after_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length & _POINTER == _POINTER:
            return at + 2
        at += 1 + length
    return at + 1
