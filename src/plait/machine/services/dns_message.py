"""DNS on the wire (RFC 1035, EDNS of RFC 6891): one question in, one answer out. Pure.

Only what a resolver of a pod sends and understands; whatever else arrives is a FORMERR or nothing, never an error of
ours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Final


class Type(IntEnum):
    """Record types that we answer with or must tell apart."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    AAAA = 28
    SRV = 33
    OPT = 41
    ANY = 255


class Code(IntEnum):
    """Response codes; BADVERS needs EDNS to be said."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


#: Without EDNS; and what is sent at most with it, so that no answer is fragmented.
PLAIN_LIMIT: Final = 512
EDNS_LIMIT: Final = 1232
TCP_LIMIT: Final = 65535

_IN: Final = 1
_ANY_CLASS: Final = 255
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _DESIRED, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE: Final = 0x7800
_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_POINTER_TO_QUESTION: Final = b"\xc0\x0c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query. `labels` keep the case they came in: clients that vary it (0x20) check that it comes back."""

    id: int
    labels: tuple[bytes, ...]
    type: int
    class_: int = _IN
    recursion_desired: bool = False
    payload: int | None = None
    """Largest UDP answer the client takes; None without EDNS."""

    @property
    def name(self) -> tuple[str, ...]:
        """The labels in lower case, for looking up."""
        return tuple(label.decode("latin-1").lower() for label in self.labels)

    @property
    def udp_limit(self) -> int:
        """How many bytes an answer over UDP may have."""
        return PLAIN_LIMIT if self.payload is None else max(PLAIN_LIMIT, min(self.payload, EDNS_LIMIT))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A query that can only be answered with a code; `question` is there where it could be read."""

    id: int
    code: Code
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Data of an SRV record; priority and weight carry no meaning here."""

    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Data of an SOA record: the zone's name server, and how many seconds a "no" may be remembered."""

    server: str
    minimum: int


@dataclass(frozen=True, slots=True)
class Record:
    """`name` None stands for the question's own name. A str is the data of CNAME, PTR and NS."""

    name: str | None
    type: Type
    ttl: int
    data: IPv4Address | Service | Authority | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to say to a question."""

    code: Code = Code.NOERROR
    records: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True


def decode(message: bytes) -> Question | Malformed | None:
    """Read a query. None where silence is the only safe answer: too short, or itself an answer."""
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return Malformed(number, Code.NOTIMP)
    if questions != 1:
        return Malformed(number, Code.FORMERR)
    try:
        labels, at = _name(message, _HEADER.size)
        type_, class_ = struct.unpack_from("!HH", message, at)
        payload, version = _options(message, at + 4, answers + authorities + additionals)
    except (ValueError, struct.error, IndexError):
        return Malformed(number, Code.FORMERR)
    question = Question(
        id=number,
        labels=labels,
        type=type_,
        class_=class_,
        recursion_desired=bool(flags & _DESIRED),
        payload=payload,
    )
    if version:
        return Malformed(number, Code.BADVERS, question)
    if class_ not in {_IN, _ANY_CLASS}:
        return Malformed(number, Code.REFUSED, question)
    return question


def encode(question: Question | Malformed, answer: Answer, *, limit: int, recursion: bool = False) -> bytes:
    """Write an answer of at most `limit` bytes; records that do not fit are left out and TC is set.

    `recursion` says that the server forwards what it does not know.
    """
    asked = question.question if isinstance(question, Malformed) else question
    flags = _RESPONSE | (answer.code & 0xF)
    flags |= _AUTHORITATIVE if answer.authoritative else 0
    flags |= _DESIRED if asked is not None and asked.recursion_desired else 0
    flags |= _AVAILABLE if recursion else 0
    head = b"" if asked is None else _question(asked)
    options = b""
    if asked is not None and asked.payload is not None:
        options = b"\0" + _FIXED.pack(Type.OPT, EDNS_LIMIT, (answer.code >> 4) << 24, 0)
    room = limit - _HEADER.size - len(head) - len(options)
    body, counts, truncated = b"", [], False
    for index, section in enumerate((answer.records, answer.authority, answer.additional)):
        count = 0
        for record in section:
            encoded = _record(record)
            if len(body) + len(encoded) > room:
                # Additional records are a courtesy; only the others are missed.
                truncated = truncated or index < 2
                break
            body += encoded
            count += 1
        counts.append(count)
    flags |= _TRUNCATED if truncated else 0
    counts[2] += 1 if options else 0
    return _HEADER.pack(question.id, flags, 0 if asked is None else 1, *counts) + head + body + options


def encode_query(question: Question) -> bytes:
    """Write a query without EDNS."""
    flags = _DESIRED if question.recursion_desired else 0
    return _HEADER.pack(question.id, flags, 1, 0, 0, 0) + _question(question)


def refusal(malformed: Malformed) -> bytes:
    """The answer to a query that could not be read or is not for us."""
    return encode(malformed, Answer(code=malformed.code, authoritative=False), limit=PLAIN_LIMIT)


def _question(question: Question) -> bytes:
    return _labels(question.labels) + struct.pack("!HH", question.type, question.class_)


def _record(record: Record) -> bytes:
    match record.data:
        case IPv4Address():
            data = record.data.packed
        case Service():
            data = struct.pack("!HHH", 0, 100, record.data.port) + _text(record.data.target)
        case Authority():
            times = struct.pack("!IIIII", 1, 7200, 1800, 86400, record.data.minimum)
            data = _text(record.data.server) + _text("hostmaster." + record.data.server) + times
        case str():
            data = _text(record.data)
    name = _POINTER_TO_QUESTION if record.name is None else _text(record.name)
    return name + _FIXED.pack(record.type, _IN, record.ttl, len(data)) + data


def _text(name: str) -> bytes:
    return _labels(tuple(label.encode("latin-1", "replace") for label in name.rstrip(".").split(".") if label))


def _labels(labels: tuple[bytes, ...]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _name(message: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of an uncompressed name and where it ends; in a query there is nothing to point back to."""
    labels, size = [], 1
    while length := message[at]:
        if length > 63:
            raise ValueError("compressed or unknown label")
        label = message[at + 1 : at + 1 + length]
        size += length + 1
        if len(label) < length or size > 255:
            raise ValueError("name too long")
        labels.append(label)
        at += 1 + length
    return tuple(labels), at + 1


def _options(message: bytes, at: int, records: int) -> tuple[int | None, int]:
    """Payload size and version of the EDNS record among those that follow the question."""
    payload, version = None, 0
    for _ in range(records):
        labels, at = _name(message, at)
        type_, class_, ttl, length = _FIXED.unpack_from(message, at)
        at += _FIXED.size + length
        if at > len(message):
            raise ValueError("record too long")
        if type_ == Type.OPT:
            if labels or payload is not None:
                raise ValueError("EDNS twice or not at the root")
            payload, version = class_, ttl >> 16 & 0xFF
    return payload, version
