import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager

import pytest

from plait.machine import frames
from plait.machine.node.streams.server import LogFile, StreamServer


class Pods:
    def __init__(self, path):
        self.path = path
        self.running = False

    def log_file(self, namespace, pod, container, *, previous):
        if (namespace, pod, container) != ("n", "p", "c"):
            raise LookupError(f"pod {namespace}/{pod} does not run")
        return LogFile(self.path.with_name("before.log") if previous else self.path, lambda: not self.running)

    def network_of(self, namespace, pod):
        if pod != "p":
            raise LookupError(f"pod {namespace}/{pod} does not run")
        return os.getpid()

    async def attach(self, *_, **__):
        near, self.inits = socket.socketpair()
        return await asyncio.open_connection(sock=near)


@pytest.fixture
async def server(tmp_path):
    pods = Pods(tmp_path / "0.log")
    pods.path.write_text("2026-11-22T10:00:01.000000000Z stdout F one\n2026-11-22T10:00:02.000000000Z stdout F two\n")
    pods.path.with_name("before.log").write_text("2026-11-22T09:00:00.000000000Z stdout F old\n")
    started = asyncio.Event()
    pods.socket = tmp_path / "node.sock"
    task = asyncio.create_task(StreamServer(pods).run(pods.socket, uid=os.getuid(), started=started.set))
    await started.wait()
    yield pods
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ask(pods, target, *headers, method="GET"):
    reader, writer = await asyncio.open_unix_connection(pods.socket)
    head = "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: node", *headers))
    writer.write(f"{head}\r\n".encode())
    status = await reader.readuntil(b"\r\n\r\n")
    return int(status.split()[1]), status.lower(), reader, writer


async def body_of(reader, head):
    if b"transfer-encoding: chunked" not in head:
        return await reader.read()
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return body


async def get(pods, target, method="GET"):
    code, head, reader, writer = await ask(pods, target, method=method)
    body = await body_of(reader, head)
    writer.close()
    return code, body


async def test_logs(server):
    assert await get(server, "/logs/n/p/c") == (200, b"one\ntwo\n")
    assert await get(server, "/logs/n/p/c?tailLines=1") == (200, b"two\n")
    assert await get(server, "/logs/n/p/c?previous=true") == (200, b"old\n")
    assert (await get(server, "/logs/n/p/c?timestamps=true&limitBytes=30"))[1] == b"2026-11-22T10:00:01.000000000Z"


async def test_a_followed_log_ends_with_its_process(server):
    server.running = True
    _, _, reader, writer = await ask(server, "/logs/n/p/c?follow=true")
    assert await reader.readline() == b"8\r\n"
    assert await reader.readexactly(10) == b"one\ntwo\n\r\n"
    with server.path.open("a") as log:
        log.write("2026-11-22T10:00:03.000000000Z stdout F three\n")
    assert await reader.readline() == b"6\r\n"
    server.running = False
    assert (await reader.read()).endswith(b"three\n\r\n0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("target", "method", "code", "text"),
    [
        ("/logs/n/other/c", "GET", 400, "pod n/other does not run"),
        ("/logs/n/p/c?tailLines=-1", "GET", 422, "tailLines"),
        ("/logs/n/p/c?sinceTime=noon", "GET", 400, "noon"),
        ("/connect/n/other/80", "GET", 404, "does not run"),
        ("/connect/n/p/70000", "GET", 400, "70000"),
        ("/connect/n/p/x", "GET", 404, "/connect/n/p/x"),
        ("/else", "GET", 404, "/else"),
        ("/logs/n/p/c", "POST", 405, "POST"),
    ],
)
async def test_refusals_are_status_objects(server, target, method, code, text):
    answered, body = await get(server, target, method)
    status = json.loads(body)
    assert (answered, status["code"], status["kind"]) == (code, code, "Status")
    assert text in status["message"]


@asynccontextmanager
async def listening(handle):
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.usefixtures("as_root")
async def test_a_connection_into_a_pod_carries_bytes_both_ways(server):
    async def shout(reader, writer):
        writer.write((await reader.read()).upper())  # answers when the other side has finished
        writer.close()

    async with listening(shout) as port:
        code, head, reader, writer = await ask(server, f"/connect/n/p/{port}", "Connection: Upgrade", "Upgrade: tcp")
        assert (code, b"upgrade: tcp" in head) == (101, True)
        writer.write(b"hello " * 10_000)
        writer.write_eof()
        assert await reader.read() == b"HELLO " * 10_000
        writer.close()


@pytest.mark.usefixtures("as_root")
async def test_a_closed_port_is_told(server):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        code, body = await get(server, f"/connect/n/p/{deaf.getsockname()[1]}")
    assert code == 502
    assert "connection refused" in json.loads(body)["message"]


async def test_who_still_sends_when_the_program_has_ended_can_read_what_it_said(server):
    """A write to an end that is closed would break the connection, with all in it that is not read yet."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, str(server.socket))
        await loop.sock_sendall(client, b"GET /attach/n/p/c?stdin=true&stdout=true HTTP/1.1\r\nUpgrade: frames\r\n\r\n")
        async with asyncio.timeout(60):
            assert b" 101 " in await loop.sock_recv(client, 4096)
            with server.inits as inits:
                inits.sendall(frames.encode(frames.STDOUT, b"said") + frames.encode(frames.STATUS))
                heard = b""
                while b"Success" not in heard:
                    heard += await loop.sock_recv(client, 4096)
                for _ in range(100):
                    await asyncio.sleep(0)
                    client.send(frames.encode(frames.STDIN, b"too late"))
                while piece := await loop.sock_recv(client, 4096):
                    heard += piece
            assert b"said" in heard


async def test_only_the_api_server_may_connect(server):
    assert server.socket.stat().st_mode & 0o077 == 0
