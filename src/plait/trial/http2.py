"""HTTP/2 to a scratch Envoy (RFC 9113): requests without bodies, and of the answers the heads."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Final

from hpack import Decoder, Encoder

from plait.simulate.call import Call
from plait.trial.connection import Connection
from plait.trial.http1 import Answer

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 1, 3, 4, 6, 7, 8, 9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
#: Of the connection, so that bodies that nobody reads do not hold up the rest: 1 GiB.
_WINDOW: Final = 1 << 30


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return pack(">I", len(payload))[1:] + pack(">BBI", kind, flags, stream) + payload


def requests(calls: Sequence[Call]) -> bytes:
    """What opens a connection, and a stream for each call."""
    encoder = Encoder()
    out = [_PREFACE, _frame(_SETTINGS, 0, 0), _frame(_WINDOW_UPDATE, 0, 0, pack(">I", _WINDOW))]
    for number, call in enumerate(calls):
        block = encoder.encode(_fields(call))
        out.append(_frame(_HEADERS, _END_HEADERS | _END_STREAM, 2 * number + 1, block))
    return b"".join(out)


async def answers(connection: Connection, calls: Sequence[Call]) -> list[Answer | None]:
    """The answers in order, None for a stream that was reset or left unanswered."""
    decoder = Decoder()
    found: dict[int, Answer] = {}
    waiting = {2 * number + 1 for number in range(len(calls))}
    data, block, ends = b"", b"", False
    while waiting:
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
            more = await connection.receive()
            if not more:
                return [found.get(2 * number + 1) for number in range(len(calls))]
            data += more
        length, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
        stream, payload, data = int.from_bytes(data[5:9], "big"), data[9 : 9 + length], data[9 + length :]
        if kind == _SETTINGS and not flags & _ACK:
            connection.send(_frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            connection.send(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            waiting -= {each for each in waiting if each > int.from_bytes(payload[:4], "big")}
        elif kind in {_HEADERS, _CONTINUATION}:
            block = _bare(flags, payload) if kind == _HEADERS else block + payload
            ends = bool(flags & _END_STREAM) if kind == _HEADERS else ends
            if flags & _END_HEADERS:
                fields = {str(name): str(value) for name, value in decoder.decode(block)}
                if ":status" in fields:
                    found[stream] = Answer(int(fields[":status"]), fields)
                waiting -= {stream} if ends else set()
        elif kind == _RESET or (kind == 0 and flags & _END_STREAM):
            waiting.discard(stream)
    return [found.get(2 * number + 1) for number in range(len(calls))]


def _bare(flags: int, payload: bytes) -> bytes:
    """A HEADERS frame's block without padding and priority."""
    if flags & _PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & _PRIORITY else payload


def _fields(call: Call) -> list[tuple[str, str]]:
    scheme = "http" if call.tls == "plaintext" else "https"
    fields = [(":method", call.method), (":authority", call.host)]
    if call.method != "CONNECT":
        fields += [(":scheme", scheme), (":path", call.path)]
    return fields + [(name.lower(), value) for name, values in call.headers.items() for value in values]
