"""Rules of HTTP/2 that peers break: what a connection answers, and that nothing a peer sends can break it."""

from __future__ import annotations

import asyncio

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.rpc.call import LARGEST_MESSAGE, WINDOW
from plait.rpc.connection import Connection
from plait.rpc.frames import PREFACE, Code, Cutter, Flag, Type
from plait.rpc.framing import frame, prefixed

METHOD = "/a.B/C"
REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", METHOD),
    (":authority", "istiod"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
HELLO = PREFACE + frame(Type.SETTINGS, 0, 0)


class Wire(asyncio.Transport):
    """Takes down what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def set_write_buffer_limits(self, high=None, low=None):
        """As it is."""

    def write(self, data):
        assert not self.closed
        self.written += data

    def close(self):
        self.closed = True

    abort = close

    def frames(self):
        cutter = Cutter()
        found = list(cutter.feed(PREFACE + bytes(self.written)))
        return [(Type(f.type), f.flags, f.stream, f.payload) for f in found]

    def errors(self):
        resets = [(n, Code(int.from_bytes(p))) for t, _, n, p in self.frames() if t is Type.RST_STREAM]
        away = [(0, Code(int.from_bytes(p[4:8]))) for t, _, _, p in self.frames() if t is Type.GOAWAY]
        return resets + away


def connect(*, hello: bytes = HELLO):
    calls = []
    connection = Connection({METHOD}, calls.append, lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    connection.data_received(hello)
    wire.written.clear()
    return connection, wire, calls


def headers(number=1, fields=REQUEST, *, flags=Flag.END_HEADERS, ends=False):
    return frame(Type.HEADERS, flags | (Flag.END_STREAM if ends else 0), number, Encoder().encode(fields))


def without(name):
    return tuple(field for field in REQUEST if field[0] != name)


def window(number, size):
    return frame(Type.WINDOW_UPDATE, 0, number, size.to_bytes(4))


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (frame(Type.DATA, 0, 0, b"x"), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.DATA, 0, 1, b"x"), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.DATA, Flag.PADDED, 1, b"\x05abc"), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.HEADERS, Flag.END_HEADERS, 2, b""), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.HEADERS, Flag.END_HEADERS, 1, b"\xff\xff\xff"), (0, Code.COMPRESSION_ERROR)),
        (frame(Type.HEADERS, Flag.END_HEADERS | Flag.PRIORITY, 1, b"\0\0"), (0, Code.FRAME_SIZE_ERROR)),
        (frame(Type.CONTINUATION, 0, 1, b""), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.PRIORITY, 0, 1, b"\0\0\0\x01\0"), (1, Code.PROTOCOL_ERROR)),
        (frame(Type.PRIORITY, 0, 1, b"\0"), (1, Code.FRAME_SIZE_ERROR)),
        (frame(Type.RST_STREAM, 0, 1, bytes(4)), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.RST_STREAM, 0, 1, bytes(3)), (0, Code.FRAME_SIZE_ERROR)),
        (frame(Type.SETTINGS, 0, 1), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.SETTINGS, Flag.ACK, 0, bytes(6)), (0, Code.FRAME_SIZE_ERROR)),
        (frame(Type.SETTINGS, 0, 0, b"\0\x02\0\0\0\x02"), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.SETTINGS, 0, 0, b"\0\x04\x80\0\0\0"), (0, Code.FLOW_CONTROL_ERROR)),
        (frame(Type.SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.PUSH_PROMISE, 0, 1, bytes(8)), (0, Code.PROTOCOL_ERROR)),
        (frame(Type.PING, 0, 0, bytes(7)), (0, Code.FRAME_SIZE_ERROR)),
        (frame(Type.GOAWAY, 0, 1, bytes(8)), (0, Code.PROTOCOL_ERROR)),
        (window(0, 0), (0, Code.PROTOCOL_ERROR)),
        (window(0, (1 << 31) - 1), (0, Code.FLOW_CONTROL_ERROR)),
        (window(1, 1), (0, Code.PROTOCOL_ERROR)),
        (headers() + window(1, 0), (1, Code.PROTOCOL_ERROR)),
        (headers() + window(1, (1 << 31) - 1), (1, Code.FLOW_CONTROL_ERROR)),
        (headers(3) + headers(1), (0, Code.PROTOCOL_ERROR)),
        (headers() + headers(), (1, Code.PROTOCOL_ERROR)),
        (headers(ends=True) + frame(Type.DATA, 0, 1, b"x"), (1, Code.STREAM_CLOSED)),
        (headers(flags=0) + frame(Type.PING, 0, 0, bytes(8)), (0, Code.PROTOCOL_ERROR)),
        (headers(flags=0) + frame(Type.CONTINUATION, 0, 3, b""), (0, Code.PROTOCOL_ERROR)),
        ((20_000).to_bytes(3) + bytes(6), (0, Code.FRAME_SIZE_ERROR)),
        *[(headers(fields=without(name)), (1, Code.PROTOCOL_ERROR)) for name in (":method", ":scheme", ":path")],
        (headers(fields=(*REQUEST, (":path", "/late"))), (1, Code.PROTOCOL_ERROR)),
        (headers(fields=(*REQUEST, ("connection", "close"))), (1, Code.PROTOCOL_ERROR)),
        (headers(fields=(*REQUEST, ("content-length", "7")), ends=True), (1, Code.PROTOCOL_ERROR)),
    ],
)
async def test_a_broken_rule_gets_the_error_that_the_rfc_names(sent, error) -> None:
    connection, wire, _ = connect()
    connection.data_received(sent)
    assert wire.errors() == [error]
    assert wire.closed is (error[0] == 0)


@pytest.mark.parametrize(
    "hello", [b"GET / HTTP/1.1\r\n\r\n", PREFACE + frame(Type.PING, 0, 0, bytes(8)), PREFACE[:-1] + b"x"]
)
async def test_what_is_not_http2_is_turned_away(hello) -> None:
    _, wire, calls = connect(hello=hello)
    assert wire.closed
    assert not calls


async def test_bytes_may_come_one_by_one() -> None:
    connection, wire, calls = connect(hello=b"")
    for byte in HELLO + headers() + frame(Type.DATA, Flag.PADDED, 1, b"\x03" + prefixed(b"hello") + bytes(3)):
        connection.data_received(bytes((byte,)))
    assert await calls[0].receive() == b"hello"
    assert not wire.errors()


async def test_plain_http_is_told_so() -> None:
    for fields, status in ((without("content-type"), "415"), ((*(("x", "y"),),), None)):
        connection, wire, calls = connect()
        connection.data_received(headers(fields=fields, ends=True))
        assert not calls
        if status:
            (answer,) = [payload for kind, _, _, payload in wire.frames() if kind is Type.HEADERS]
            assert Decoder().decode(answer) == [(":status", status)]


async def test_a_message_waits_for_the_peers_window_and_fills_it() -> None:
    connection, wire, calls = connect(hello=PREFACE + frame(Type.SETTINGS, 0, 0, b"\0\x04\0\0\0\x0a"))
    connection.data_received(headers())
    sending = asyncio.ensure_future(calls[0].send(bytes(20)))
    await asyncio.sleep(0)
    data = lambda: b"".join(p for t, _, _, p in wire.frames() if t is Type.DATA)  # noqa: E731
    assert len(data()) == 10
    connection.data_received(window(1, 5))
    assert len(data()) == 15
    assert not sending.done()
    connection.data_received(frame(Type.SETTINGS, 0, 0, b"\0\x04\0\0\0\x64"))
    await sending
    assert data() == prefixed(bytes(20))


async def test_a_peer_gets_no_leave_for_messages_that_nobody_reads() -> None:
    connection, wire, _ = connect()
    connection.data_received(headers())
    message = frame(Type.DATA, 0, 1, prefixed(bytes(16_379)))
    for _ in range(WINDOW // 16_384):
        connection.data_received(message)
    assert not [n for t, _, n, _ in wire.frames() if t is Type.WINDOW_UPDATE and n == 1]
    connection.data_received(message)
    assert wire.errors() == [(1, Code.FLOW_CONTROL_ERROR)]


async def test_leave_comes_with_reading() -> None:
    connection, wire, calls = connect()
    connection.data_received(headers())
    message = frame(Type.DATA, 0, 1, prefixed(bytes(16_379)))
    for _ in range(3 * WINDOW // 16_384):
        connection.data_received(message)
        assert len(await calls[0].receive()) == 16_379
    assert not wire.errors()


async def test_a_message_that_is_too_large_or_compressed_is_not_taken() -> None:
    for start in ((LARGEST_MESSAGE + 1).to_bytes(5), b"\x01\0\0\0\x01x"):
        connection, wire, _ = connect()
        connection.data_received(headers() + frame(Type.DATA, 0, 1, start))
        (answer,) = [payload for kind, _, _, payload in wire.frames() if kind is Type.HEADERS]
        assert dict(Decoder().decode(answer))["grpc-status"] == "12"


@pytest.mark.parametrize(
    "nuisance",
    [
        headers() + frame(Type.DATA, 0, 1, b"") * 1001,
        b"".join(headers(n) + frame(Type.RST_STREAM, 0, n, bytes(4)) for n in range(1, 2005, 2)),
        headers(flags=0) + frame(Type.CONTINUATION, 0, 1, b"") * 1001,
        headers(flags=0) + frame(Type.CONTINUATION, 0, 1, bytes(16_000)) * 5,
    ],
    ids=["empty data", "rapid resets", "empty continuations", "large header block"],
)
async def test_a_nuisance_ends(nuisance) -> None:
    connection, wire, _ = connect()
    connection.data_received(nuisance)
    assert wire.errors()[-1] == (0, Code.ENHANCE_YOUR_CALM)


async def test_pings_are_not_answered_forever_to_a_peer_that_does_not_read() -> None:
    connection, wire, _ = connect()
    connection.pause_writing()
    connection.data_received(frame(Type.PING, 0, 0, bytes(8)) * 2000)
    assert wire.errors() == [(0, Code.ENHANCE_YOUR_CALM)]


async def test_more_streams_than_allowed_are_refused() -> None:
    connection, wire, calls = connect()
    for number in range(1, 203, 2):
        connection.data_received(headers(number))
    assert len(calls) == 100
    assert wire.errors() == [(201, Code.REFUSED_STREAM)]


FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.integers(0, 7),
    st.one_of(st.binary(max_size=40), st.just(Encoder().encode(REQUEST)), st.just(prefixed(b"hello"))),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=30), st.just(headers())), max_size=12), st.integers(1, 50))
def test_nothing_that_is_sent_breaks_it(pieces, step) -> None:
    async def feed() -> None:
        connection, _, _ = connect()
        data = b"".join(pieces)
        for start in range(0, len(data), step):
            connection.data_received(data[start : start + step])
        connection.connection_lost(None)

    asyncio.run(feed())
