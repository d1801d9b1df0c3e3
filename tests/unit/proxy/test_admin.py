"""The admin client against a small HTTP server."""

from __future__ import annotations

import asyncio

import pytest

from plait.proxy.admin import Admin, AdminError, unix
from plait.proxy.envoy import EnvoyError, admin_of, argv, run_envoy


@pytest.fixture
async def serve(tmp_path):
    """A server on a unix socket that gives a fixed answer and keeps what it was asked."""
    servers = []
    asked: list[str] = []

    async def start(answer: bytes):
        async def handle(reader, writer):
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answer)
            await writer.drain()
            writer.close()

        path = str(tmp_path / f"s{len(servers)}")
        servers.append(await asyncio.start_unix_server(handle, path))
        return Admin(unix(path), name="pod a", timeout=60), asked

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def test_json_is_decoded_and_queries_are_quoted(serve):
    admin, asked = await serve(ok(b'{"stats":[{"name":"a","value":3},{"histograms":{}}]}'))
    assert await admin.stats(pattern="cluster|x.*", used_only=True) == {"a": 3}
    assert asked[0].startswith("GET /stats?format=json&type=All&filter=cluster%7Cx.%2A&usedonly HTTP/1.1")


async def test_chunked_answers_are_joined(serve):
    admin, _ = await serve(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n")
    assert await admin.config_dump() == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope", "admin of pod a: GET /x: HTTP 404 nope"),
        (b"", "admin of pod a: /x"),
        (b"SSH-2.0\r\n", "admin of pod a: /x"),
    ],
)
async def test_bad_answers_become_admin_errors(serve, answer, said):
    admin, _ = await serve(answer)
    with pytest.raises(AdminError, match=said):
        await admin.get("/x")


async def test_no_json_is_an_error(serve):
    admin, _ = await serve(ok(b"<html>"))
    with pytest.raises(AdminError, match="not JSON"):
        await admin.clusters()


async def test_ready_follows_the_status(serve):
    admin, _ = await serve(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    assert not await admin.ready()


async def test_nobody_there(tmp_path):
    with pytest.raises(AdminError, match="No such file"):
        await Admin(unix(str(tmp_path / "none"))).get("/ready")


def test_command_line_has_no_hot_restart():
    assert argv("/bin/envoy", "boot.json", more=("-l", "debug")) == (
        *("/bin/envoy", "-c", "boot.json", "--disable-hot-restart", "--concurrency", "1"),
        *("-l", "debug"),
    )


def test_bootstrap_without_admin_is_refused():
    with pytest.raises(ValueError, match=r"admin\.address"):
        admin_of({"admin": {}})


async def test_an_envoy_that_ends_tells_why(tmp_path):
    bootstrap = {"admin": {"address": {"pipe": {"path": str(tmp_path / "a")}}}, "no_such_field": 1}
    with pytest.raises(EnvoyError, match="no_such_field"):
        async with run_envoy(bootstrap, tmp_path):
            pass
