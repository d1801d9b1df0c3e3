"""Logs and port-forwards through the API to a fake node: with kubectl, with channels, with plain SPDY."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType

from plait.machine.api.streams import spdy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FORWARD = "/api/v1/namespaces/default/pods/p/portforward"
LOG = "/api/v1/namespaces/default/pods/p/log"
ADMIN = {"Authorization": "Bearer admin-token"}


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_frames_survive_any_cut() -> None:
    encoder = spdy.Encoder()
    sent = encoder.syn_stream(1, {"streamtype": "data", "port": "80"})
    sent += encoder.syn_stream(3, {"streamtype": "error", "port": "80"})
    sent += spdy.data_frame(1, b"hello", fin=True) + spdy.ping_frame(b"\0\0\0\7")
    decoder = spdy.Decoder()
    frames = [frame for at in range(len(sent)) for frame in decoder.feed(sent[at : at + 1])]
    assert [(frame.type, frame.stream) for frame in frames] == [(1, 1), (1, 3), (0, 1), (spdy.PING, 0)]
    assert frames[1].headers == {"streamtype": "error", "port": "80"}
    assert (frames[2].data, frames[2].fin) == (b"hello", True)


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x03\x00\x01\x00\x00\x00\x0c" + b"x" * 12])
def test_what_is_not_spdy_is_refused(raw: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Decoder().feed(raw)


async def test_channels_echo(cluster: Any, node: Any, pod: Any) -> None:
    async with cluster.session.ws_connect(
        f"{cluster.url}{FORWARD}?ports=80", headers=ADMIN, protocols=("v4.channel.k8s.io",)
    ) as socket:
        assert socket.protocol == "v4.channel.k8s.io"
        assert [await socket.receive_bytes() for _ in range(2)] == [b"\0\x50\0", b"\1\x50\0"]
        await socket.send_bytes(b"\0hi")
        assert await socket.receive_bytes() == b"\0echo:hi"


async def test_channels_work_without_a_subprotocol(cluster: Any, node: Any, pod: Any) -> None:
    async with cluster.session.ws_connect(f"{cluster.url}{FORWARD}?ports=81", headers=ADMIN) as socket:
        size = 0
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[0] == 0:
                size += len(message.data) - 1
    assert size == node.LARGE + 2


async def test_channels_tell_why_a_port_cannot_be_reached(cluster: Any, node: Any, pod: Any) -> None:
    async with cluster.session.ws_connect(f"{cluster.url}{FORWARD}?ports=99", headers=ADMIN) as socket:
        received = [await socket.receive_bytes() for _ in range(3)]
    assert received[2] == b"\1nothing listens on 99"


async def test_only_running_pods_are_forwarded_to(cluster: Any, node: Any) -> None:
    body = {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    await cluster.made("/api/v1/namespaces/default/pods", body)
    status, answer, _ = await cluster.ask("GET", "/api/v1/namespaces/default/pods/new/portforward?ports=80")
    assert status == 400
    assert "not running" in answer["message"]


@asynccontextmanager
async def forwarding(cluster: Any, remote: str) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """`kubectl port-forward` to the pod: the local port, and what kubectl complains about."""
    process = await cluster.start_kubectl("port-forward", "pod/p", f":{remote}")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert b"Forwarding from" in line, await process.stderr.read()
        yield int(line.split()[2].rsplit(b":", 1)[1]), process.stderr
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_kubectl_forwards_many_connections_at_once(cluster: Any, node: Any, pod: Any) -> None:
    async def talk(port: int, number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d" % number)
        answer = await reader.readexactly(len(b"echo:%d" % number))
        writer.close()
        return answer

    async with forwarding(cluster, "80") as (port, _), asyncio.timeout(60):
        answers = await asyncio.gather(*(talk(port, number) for number in range(20)))
    assert answers == [b"echo:%d" % number for number in range(20)]


async def test_kubectl_gets_everything_and_the_end(cluster: Any, node: Any, pod: Any) -> None:
    async with forwarding(cluster, "81") as (port, _), asyncio.timeout(60):
        for _round in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert len(await reader.read()) == node.LARGE
            writer.close()


async def test_kubectl_says_why_a_port_cannot_be_reached(cluster: Any, node: Any, pod: Any) -> None:
    async with forwarding(cluster, "99") as (port, errors), asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        assert b"nothing listens on 99" in await errors.readline()


async def test_plain_spdy(cluster: Any, node: Any, pod: Any) -> None:
    host, port = cluster.url.removeprefix("https://").split(":")
    trust = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=trust)
        writer.write(
            f"POST {FORWARD} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer admin-token\r\n"
            "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
            "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 101")
        assert "upgrade: spdy/3.1" in head
        assert "x-stream-protocol-version: portforward.k8s.io" in head
        encoder, decoder = spdy.Encoder(), spdy.Decoder()
        for stream, kind in ((1, "error"), (3, "data")):
            writer.write(encoder.syn_stream(stream, {"streamType": kind, "port": "80", "requestID": "0"}))
        writer.write(spdy.ping_frame(b"\0\0\0\1") + spdy.data_frame(3, b"hi", fin=True))
        frames: list[spdy.Frame] = []
        while sum(frame.fin for frame in frames) < 2:
            frames += decoder.feed(await reader.read(65536))
        writer.close()
        await writer.wait_closed()
    assert [frame.stream for frame in frames if frame.type == spdy.SYN_REPLY] == [1, 3]
    assert b"".join(frame.data for frame in frames if frame.type == 0) == b"echo:hi"
    assert any(frame.type == spdy.PING for frame in frames)


async def test_kubectl_follows_a_log(cluster: Any, node: Any, pod: Any) -> None:
    process = await cluster.start_kubectl("logs", "p", "-f", "--tail=5")
    try:
        async with asyncio.timeout(60):
            node.lines.put_nowait("one")
            assert await process.stdout.readline() == b"one\n"
            node.lines.put_nowait("two")
            assert await process.stdout.readline() == b"two\n"
            node.lines.put_nowait(None)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
    assert node.queries == ["/logs/default/p/app?follow=true&tailLines=5"]


async def test_the_nodes_refusal_is_passed_on(cluster: Any, node: Any, pod: Any) -> None:
    _, err = await cluster.kubectl("logs", "p", "-c", "waiting", code=1)
    assert 'container "waiting" is waiting' in err


async def test_without_a_node_logs_are_unavailable(cluster: Any, pod: Any) -> None:
    status, answer, _ = await cluster.ask("GET", LOG)
    assert (status, answer["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize("query", ["container=nope", "tailLines=-1", "sinceTime=yesterday", "tailLines=x"])
async def test_bad_log_requests(cluster: Any, node: Any, pod: Any, query: str) -> None:
    status, answer, _ = await cluster.ask("GET", f"{LOG}?{query}")
    assert (status, answer["reason"]) == (400, "BadRequest")
