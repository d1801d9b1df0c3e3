"""What a service may rely on, whichever transport carries its streams: asked by a gRPC client that is not ours."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest

from plait.citadel.authority import Authority, make_pems
from plait.citadel.listening import Listening
from plait.delivery.grpc_transport import GrpcTransport
from plait.rpc import Http2Transport
from plait.rpc.frames import PREFACE, Type
from plait.rpc.framing import frame
from plait.rpc.server import Server
from plait.rpc.stream import Message, Refusal
from plait.rpc.tls import Secured, Workbench

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


NAME = "istiod.istio-system.svc"


@dataclass(frozen=True)
class At:
    """A port, and whom its clients trust if it has TLS."""

    port: int
    roots: bytes = b""


@pytest.fixture(
    params=[(kind, tls) for tls in (False, True) for kind in (GrpcTransport, Http2Transport)],
    ids=["grpc", "http2", "grpc-TLS", "http2-TLS"],
)
def serving(request):
    kind, secure = request.param
    tls, roots = None, b""
    if secure:
        now = dt.datetime.now(dt.UTC)
        authority, listening = Authority.load(make_pems("cluster.local", now), now), Listening([NAME], [])
        listening.take(authority)
        tls, roots = listening.context, authority.roots_pem.encode()

    @asynccontextmanager
    async def serve(handler):
        port = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(kind("127.0.0.1:0", tls=tls).serve({METHOD: handler}, started=port.set_result))
        try:
            yield At(await port, roots)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    return serve


def channel_to(at: At) -> grpc.aio.Channel:
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    address = f"127.0.0.1:{at.port}"
    if at.roots:
        named = (*options, ("grpc.ssl_target_name_override", NAME))
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(at.roots), options=named)
    return grpc.aio.insecure_channel(address, options=options)


@asynccontextmanager
async def call(at, *, method=METHOD, metadata=()):
    async with channel_to(at) as channel:
        yield channel.stream_stream(method)(metadata=metadata, wait_for_ready=True)


async def echo(stream):
    while (message := await stream.receive()) is not None:
        await stream.send(message)


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, 1 << 20, 5 << 20])
async def test_messages_of_any_size_come_and_go_whole(serving, size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with serving(echo) as port, call(port) as stream:
        for _ in range(2):
            await stream.write(message)
            assert await stream.read() == message
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_many_streams_get_the_same_bytes_in_order(serving) -> None:
    # In parts that end before, at and behind the borders of frames.
    sizes = [0, 1, 5, 16_378, 16_379, 16_380, 33_000]
    messages = [Message(bytes([n]) * (n * 997 + sizes[(n + k) % 7]) for k in range(n % 5)) for n in range(40)]

    async def push(stream):
        await stream.receive()
        for message in messages:
            await stream.send(message)

    async def one(port):
        async with call(port) as stream:
            await stream.write(b"go")
            return [await stream.read() for _ in messages]

    async with serving(push) as port:
        assert await asyncio.gather(*(one(port) for _ in range(20))) == [[*map(bytes, messages)]] * 20


async def test_metadata_is_read_and_a_refusal_says_why(serving) -> None:
    seen = []

    async def refuse(stream):
        seen.append(stream.metadata.get("authorization"))
        await stream.refuse(Refusal.UNAUTHENTICATED, "no such token: 100 % für nichts")

    async with serving(refuse) as port, call(port, metadata=(("authorization", "Bearer x"),)) as stream:
        assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await stream.details() == "no such token: 100 % für nichts"
    assert seen == ["Bearer x"]


async def test_another_method_is_unimplemented(serving) -> None:
    async with serving(echo) as port, call(port, method="/some.Service/Else") as stream:
        assert await stream.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_that_leaves_ends_its_handler(serving) -> None:
    left = asyncio.Event()

    async def wait(stream):
        try:
            await stream.receive()
            await stream.send(b"here")
            await stream.receive()
        finally:
            left.set()

    async with serving(wait) as port:
        async with call(port) as stream:
            await stream.write(b"hello")
            assert await stream.read() == b"here"
            stream.cancel()
        async with asyncio.timeout(60):
            await left.wait()


async def test_a_slow_reader_holds_its_own_stream_only(serving) -> None:
    sent = []

    async def flood(stream):
        who = await stream.receive()
        if who == b"slow":
            for number in range(64):
                await stream.send(bytes(1 << 20))
                sent.append(number)
        else:
            await stream.send(b"quick")

    async with serving(flood) as port, call(port) as slow, call(port) as quick:
        await slow.write(b"slow")
        await slow.read()
        await quick.write(b"quick")
        assert await quick.read() == b"quick"
        assert len(sent) < 64, "sending waits for the reader"
        for _ in range(63):
            assert len(await slow.read()) == 1 << 20


async def test_a_handler_that_fails_is_an_internal_error(serving, request, caplog) -> None:
    async def fail(stream):
        await stream.receive()
        raise RuntimeError("on purpose")

    async with serving(fail) as port, call(port) as stream:
        await stream.write(b"x")
        code = await stream.code()
    assert code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


async def test_the_servers_end_is_the_end_of_its_streams(serving) -> None:
    async def stay(stream):
        await stream.receive()
        await stream.send(b"here")
        await stream.receive()

    async with serving(stay) as port:
        channel = channel_to(port)
        stream = channel.stream_stream(METHOD)(wait_for_ready=True)
        await stream.write(b"hello")
        assert await stream.read() == b"here"
    async with asyncio.timeout(60):
        assert await stream.code() is not grpc.StatusCode.OK
    await channel.close()


@pytest.fixture
def identity():
    """A server's TLS, and what its clients trust."""
    now = dt.datetime.now(dt.UTC)
    authority, listening = Authority.load(make_pems("cluster.local", now), now), Listening([NAME], [])
    listening.take(authority)
    return listening, authority.roots_pem


async def begun(context, reader, writer, server_name):
    """A TLS connection by hand, so that what comes can be cut anywhere."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(7))
        else:
            writer.write(outgoing.read())
            return tls, incoming, outgoing


async def test_records_may_come_in_any_pieces_and_goodbye_is_answered(identity) -> None:
    listening, roots = identity
    door = await Server().open("127.0.0.1:0", {METHOD: echo}, tls=listening.context)
    context = ssl.create_default_context(cadata=roots)
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    tls, incoming, outgoing = await begun(context, reader, writer, NAME)
    ping = frame(Type.PING, 0, 0, b"12345678")
    tls.write(PREFACE + frame(Type.SETTINGS, 0, 0) + ping * 3)
    for byte in outgoing.read():
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0)
    heard = b""
    async with asyncio.timeout(60):
        while heard.count(b"12345678") < 3:
            try:
                heard += tls.read(100)
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(5))
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    writer.write(outgoing.read())
    async with asyncio.timeout(60):
        await reader.read()
        while door.connections:
            await asyncio.sleep(0)
    writer.close()
    await door.close()


@pytest.mark.parametrize("rubbish", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), PREFACE])
async def test_what_is_no_tls_is_sent_away(identity, rubbish: bytes) -> None:
    door = await Server().open("127.0.0.1:0", {METHOD: echo}, tls=identity[0].context)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(rubbish)
    async with asyncio.timeout(60):
        await reader.read()
        while door.connections:
            await asyncio.sleep(0)
    writer.close()
    await door.close()


async def test_connections_share_buffers_and_nothing_else(identity) -> None:
    """Records that come in turns byte by byte, and one connection that goes bad in the middle of those of others."""
    listening, roots = identity
    door = await Server().open("127.0.0.1:0", {METHOD: echo}, tls=listening.context)
    context = ssl.create_default_context(cadata=roots)
    context.set_alpn_protocols(["h2"])

    async def enter():
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        return reader, writer, *await begun(context, reader, writer, NAME)

    async def hears(reader, tls, incoming, word: bytes) -> None:
        heard = b""
        async with asyncio.timeout(60):
            while word not in heard:
                try:
                    heard += tls.read(100)
                except ssl.SSLWantReadError:
                    incoming.write(await reader.read(5))
        assert not any(other in heard for other in words if other != word)

    guests = [await enter() for _ in range(3)]
    words = [f"number {number}".encode() for number in range(3)]
    said = []
    for (_, _, tls, _, outgoing), word in zip(guests, words, strict=True):
        tls.write(PREFACE + frame(Type.SETTINGS, 0, 0) + frame(Type.PING, 0, 0, word))
        said.append(outgoing.read())
    *good, (reader, bad, *_) = guests
    for place in range(max(map(len, said))):
        for (_, writer, *_), data in zip(good, said, strict=False):
            writer.write(data[place : place + 1])
            await writer.drain()
        if place == len(said[0]) // 2:
            # A record that is none, whole and with another behind it.
            bad.write(b"\x17\x03\x03\x00\x20" + bytes(32) + said[2])
            await bad.drain()
            async with asyncio.timeout(60):
                await reader.read()
                while door.connections > len(good):
                    await asyncio.sleep(0)
    for (reader, _, tls, incoming, _), word in zip(good, words, strict=False):
        await hears(reader, tls, incoming, word)
    for _, writer, *_ in guests:
        writer.close()
    await door.close()


async def test_a_client_may_use_the_same_layer(identity) -> None:
    listening, roots = identity
    door = await Server().open("127.0.0.1:0", {METHOD: echo}, tls=listening.context)
    context = ssl.create_default_context(cadata=roots)
    context.set_alpn_protocols(["h2"])
    heard = asyncio.get_running_loop().create_future()

    class Caller(asyncio.Protocol):
        came = b""

        def connection_made(self, transport):
            ping = frame(Type.PING, 0, 0, b"12345678")
            transport.writelines([PREFACE, frame(Type.SETTINGS, 0, 0), ping])

        def data_received(self, data):
            self.came += data
            if b"12345678" in self.came and not heard.done():
                heard.set_result(None)

    bench = Workbench(memoryview(bytearray(1 << 16)))
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: Secured(context, Caller(), bench, server=NAME), "127.0.0.1", door.port
    )
    async with asyncio.timeout(60):
        await heard
    transport.close()
    async with asyncio.timeout(60):
        while door.connections:
            await asyncio.sleep(0)
    await door.close()


async def test_a_client_believes_nobody_else(identity) -> None:
    listening, roots = identity
    door = await Server().open("127.0.0.1:0", {METHOD: echo}, tls=listening.context)
    context = ssl.create_default_context(cadata=roots)
    lost = asyncio.get_running_loop().create_future()

    class Caller(asyncio.Protocol):
        def connection_made(self, _transport):
            pytest.fail("the certificate is of another name")

        def connection_lost(self, exc):
            lost.set_result(exc)

    bench = Workbench(memoryview(bytearray(1 << 16)))
    await asyncio.get_running_loop().create_connection(
        lambda: Secured(context, Caller(), bench, server="istiod.elsewhere.svc"), "127.0.0.1", door.port
    )
    async with asyncio.timeout(60):
        await lost
    await door.close()
