"""Unary calls of our client, answered by gRPC's own server and by ours."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.certificates import self_signed

from plait.delivery.grpc_transport import GrpcTransport
from plait.rpc import Http2Transport, Server
from plait.rpc.client import CallError, Channel
from plait.rpc.frames import Code, Type
from plait.rpc.framing import frame, goaway
from plait.rpc.stream import Refusal

METHOD = "/a.B/Echo"


@pytest.fixture(params=[GrpcTransport, Http2Transport], ids=["grpc", "http2"])
def serving(request):
    @asynccontextmanager
    async def serve(handler):
        port = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(request.param("127.0.0.1:0").serve({METHOD: handler}, started=port.set_result))
        channel = Channel(f"127.0.0.1:{await port}")
        try:
            yield channel
        finally:
            channel.close()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    return serve


async def echo(stream):
    await stream.send(await stream.receive())


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 65_535, 65_536, 1 << 20])
async def test_a_message_of_any_size_is_answered_whole(serving, size: int) -> None:
    message = bytes(n % 251 for n in range(size))
    async with serving(echo) as channel:
        for _ in range(2):
            assert await channel.unary(METHOD, message) == message


async def test_many_calls_share_a_connection(serving) -> None:
    async with serving(echo) as channel:
        messages = [b"%d" % n * 500 for n in range(120)]
        assert await asyncio.gather(*(channel.unary(METHOD, m) for m in messages)) == messages


async def test_a_refusal_says_why(serving) -> None:
    async def refuse(stream):
        await stream.receive()
        await stream.refuse(Refusal.UNAUTHENTICATED, f"no: {stream.metadata['authorization']} für nichts")

    async with serving(refuse) as channel:
        with pytest.raises(CallError, match="no: Bearer x für nichts") as told:
            await channel.unary(METHOD, b"?", metadata={"authorization": "Bearer x"})
        assert told.value.code == grpc.StatusCode.UNAUTHENTICATED.value[0]


async def test_an_unknown_method_and_an_answer_without_message_are_errors(serving) -> None:
    async def silent(stream):
        await stream.receive()

    async with serving(silent) as channel:
        with pytest.raises(CallError) as told:
            await channel.unary("/a.B/Other", b"")
        assert told.value.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
        with pytest.raises(CallError, match="not one message"):
            await channel.unary(METHOD, b"")


async def test_a_call_that_is_given_up_leaves_the_others_alone(serving) -> None:
    async def slow(stream):
        message = await stream.receive()
        if message == b"never":
            await stream.receive()
            await asyncio.Event().wait()
        await stream.send(message)

    async with serving(slow) as channel:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await channel.unary(METHOD, b"never")
        assert await channel.unary(METHOD, b"now") == b"now"


async def test_a_server_that_comes_back_is_found_again_and_one_that_is_not_there_is_an_error() -> None:
    server = Server()
    door = await server.open("127.0.0.1:0", {METHOD: echo})
    channel = Channel(f"127.0.0.1:{door.port}")
    assert await channel.unary(METHOD, b"1") == b"1"
    await door.close()
    with pytest.raises(ConnectionError):
        await channel.unary(METHOD, b"2")
    door = await server.open(f"127.0.0.1:{door.port}", {METHOD: echo})
    assert await channel.unary(METHOD, b"3") == b"3"
    channel.close()
    await door.close()


async def test_a_connection_without_calls_is_closed(tmp_path) -> None:
    server = Server()
    door = await server.open(f"unix:{tmp_path}/socket", {METHOD: echo})
    channel = Channel(f"unix:{tmp_path}/socket", idle=0.0)
    assert await channel.unary(METHOD, b"x") == b"x"
    async with asyncio.timeout(60):
        while door.connections:
            await asyncio.sleep(0.01)
    assert await channel.unary(METHOD, b"y") == b"y"
    channel.close()
    await door.close()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(Type.CONTINUATION, 0, 1, b"x"),
        frame(Type.HEADERS, 0x4, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
        frame(Type.RST_STREAM, 0, 1, int(Code.REFUSED_STREAM).to_bytes(4)),
        goaway(0, Code.NO_ERROR),
        b"",
    ],
)
async def test_rubbish_and_an_early_end_are_lost_connections(said: bytes) -> None:
    async def answer(reader, writer):
        await reader.read(100)
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        channel = Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ConnectionError):
            await channel.unary(METHOD, b"x")
        channel.close()


def certificate(folder, name):
    made = self_signed(name)
    path = folder / f"{name}.pem"
    path.write_bytes(made.private + made.pem)
    return path, made.certificate.public_bytes(Encoding.DER)


async def test_over_tls_both_sides_know_each_other(tmp_path) -> None:
    (server_pem, _), (client_pem, client_der) = (certificate(tmp_path, n) for n in ("istiod.test", "client.test"))
    seen = []

    async def look(stream):
        seen.append(stream.peer_certificate)
        await stream.send(await stream.receive())

    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(server_pem)
    listening.load_verify_locations(client_pem)
    listening.verify_mode = ssl.CERT_OPTIONAL
    listening.set_alpn_protocols(["h2"])
    door = await Server().open("127.0.0.1:0", {METHOD: look}, tls=listening)

    def calling(name, *, shows=False, trusts=server_pem):
        context = ssl.create_default_context(cafile=str(trusts))
        context.set_alpn_protocols(["h2"])
        if shows:
            context.load_cert_chain(client_pem)
        return Channel(f"127.0.0.1:{door.port}", tls=context, server_name=name)

    for channel in (calling("istiod.test"), calling("istiod.test", shows=True)):
        assert await channel.unary(METHOD, b"x") == b"x"
        channel.close()
    assert seen == [None, client_der]
    for channel in (calling("other.test"), calling("istiod.test", trusts=client_pem)):
        with pytest.raises(ssl.SSLCertVerificationError):
            await channel.unary(METHOD, b"x")
    await door.close()
