"""Messages of MongoDB's wire protocol: OP_MSG, and OP_QUERY with its OP_REPLY for first words and old drivers. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sockshop.mongo import bson
from sockshop.mongo.values import BsonError

HEADER = struct.Struct("<iiii")
"""Length with this header, request id, the id it answers, operation."""

LENGTH_LIMIT = 48_000_000

OP_REPLY = 1
OP_QUERY = 2004
OP_MSG = 2013

CHECKSUM = 1
MORE_TO_COME = 2
_KNOWN_REQUIRED = CHECKSUM | MORE_TO_COME
_AWAIT_CAPABLE = 8

_INT32 = struct.Struct("<i")
_FLAGS = struct.Struct("<I")
_QUERY_NUMBERS = struct.Struct("<ii")
_REPLY = struct.Struct("<iqii")


class MessageError(BsonError):
    """A message that breaks the protocol: the connection it came on is of no more use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command as it came. `old` asks for an OP_REPLY, `silent` for no answer at all."""

    number: int
    body: bson.Document
    old: bool = False
    silent: bool = False


def length_of(header: bytes) -> int:
    """How long the message is, with its header. Raises MessageError for lengths that no message has."""
    length: int = HEADER.unpack(header)[0]
    if not HEADER.size < length <= LENGTH_LIMIT:
        raise MessageError(f"a message of {length} bytes")
    return length


def read_request(message: bytes) -> Request:
    """A whole message with its header. Raises MessageError or BsonError."""
    _, number, _, operation = HEADER.unpack_from(message)
    if operation == OP_MSG:
        body, flags = _sections(message)
        return Request(number=number, body=body, silent=bool(flags & MORE_TO_COME))
    if operation == OP_QUERY:
        return Request(number=number, body=_query(message), old=True)
    raise MessageError(f"operation {operation} was retired in MongoDB 5.1")


def _sections(message: bytes) -> tuple[bson.Document, int]:
    try:
        flags: int = _FLAGS.unpack_from(message, HEADER.size)[0]
        if flags & 0xFFFF & ~_KNOWN_REQUIRED:
            raise MessageError(f"unknown flags {flags:#x}")
        end = len(message) - (4 if flags & CHECKSUM else 0)
        at = HEADER.size + 4
        body: bson.Document | None = None
        sequences: dict[str, list[bson.Document]] = {}
        while at < end:
            kind = message[at]
            if kind == 0:
                body, at = bson.decode_at(message, at + 1)
            elif kind == 1:
                name, documents, at = _sequence(message, at + 1)
                sequences[name] = documents
            else:
                raise MessageError(f"unknown kind of section {kind}")
    except (struct.error, ValueError) as error:
        raise error if isinstance(error, BsonError) else MessageError(f"broken message: {error}") from error
    if body is None or at != end:
        raise MessageError("a message without a body")
    return {**body, **sequences}, flags


def _sequence(message: bytes, at: int) -> tuple[str, list[bson.Document], int]:
    """A named run of documents: how drivers send what is to be inserted."""
    end = at + _INT32.unpack_from(message, at)[0]
    if not at + 4 < end <= len(message):
        raise MessageError("a document sequence's length is wrong")
    stop = message.index(0, at + 4, end)
    name = message[at + 4 : stop].decode()
    at = stop + 1
    documents = []
    while at < end:
        document, at = bson.decode_at(message, at)
        documents.append(document)
    return name, documents, at


def _query(message: bytes) -> bson.Document:
    """A command in the old form: a query on `DATABASE.$cmd`."""
    try:
        stop = message.index(0, HEADER.size + 4)
        target = message[HEADER.size + 4 : stop].decode()
    except ValueError as error:
        raise MessageError(f"broken query: {error}") from error
    database, _, collection = target.partition(".")
    if collection != "$cmd":
        raise MessageError(f"a query on {target} in a form that was retired in MongoDB 5.1: use a newer driver")
    body, _ = bson.decode_at(message, stop + 1 + _QUERY_NUMBERS.size)
    query = body.get("$query") or body.get("query")
    command = query if isinstance(query, dict) else body
    return {**command, "$db": database}


def write_answer(request: Request, document: bson.Document) -> bytes:
    """The answer in the form that the request came in."""
    body = bson.encode(document)
    if request.old:
        reply = _REPLY.pack(_AWAIT_CAPABLE, 0, 0, 1) + body
        return HEADER.pack(HEADER.size + len(reply), 0, request.number, OP_REPLY) + reply
    return _message(0, request.number, body)


def write_command(number: int, document: bson.Document) -> bytes:
    """A command; `$db` names its database."""
    return _message(number, 0, bson.encode(document))


def read_answer(message: bytes) -> bson.Document:
    """What a server said. Raises MessageError or BsonError."""
    if HEADER.unpack_from(message)[3] != OP_MSG:
        raise MessageError("the server does not speak OP_MSG")
    return _sections(message)[0]


def _message(number: int, answers: int, body: bytes) -> bytes:
    length = HEADER.size + 5 + len(body)
    return HEADER.pack(length, number, answers, OP_MSG) + b"\0\0\0\0\0" + body
