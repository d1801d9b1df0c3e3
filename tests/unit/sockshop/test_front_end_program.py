"""The front-end as its own process, with what stands in its image."""

import asyncio
import json
import os
import sys
from contextlib import suppress

import aiohttp
import pytest

from sockshop.front_end.settings import Settings


async def test_the_program_serves_logs_and_leaves_cleanly(programs, port):
    program = await programs(
        "sockshop.front_end", "--domain=invalid", port=port, ready=f"front-end v2 listening on port {port}",
        PORT=str(port), SOCKSHOP_VERSION="v2", SOCKSHOP_ACCESS_LOG="1",
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/index.html", headers={"x-request-id": "r1"}) as response:
            assert response.status == 200
        async with session.get(f"{url}/tags") as response:
            assert "tags.invalid" not in await response.text()
            assert "catalogue.invalid" in (await response.json())["message"]
    assert await program.stop() == 0
    lines = [json.loads(line) for line in program.lines if line.startswith("{")]
    assert [(line["method"], line["path"], line["status"], line["request_id"]) for line in lines] == [
        ("GET", "/index.html", 200, "r1"),
        ("GET", "/tags", 500, ""),
    ]


async def test_a_request_in_flight_is_answered_after_sigterm(programs, port, backends):
    """The catalogue stands still while the front-end is told to go."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def stall(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    # Backends answer on port 80 of their names, so the program is built with another address by a line of Python.
    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    stalled = server.sockets[0].getsockname()[1]
    code = (
        "from sockshop.front_end.settings import Endpoints,Settings;"
        "from sockshop.front_end.shopfront import build;from sockshop.service.listener import run;"
        f"shop = build(Settings(), Endpoints(catalogue='http://127.0.0.1:{stalled}'));"
        f"run(shop, host='127.0.0.1', port={port}, name='x')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert b"listening" in await process.stdout.readline()
    async with aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/catalogue"))
        await asyncio.wait_for(asked.wait(), 60)
        process.terminate()
        with suppress(ConnectionError):  # the listener closes at once, how soon is the kernel's
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await asyncio.sleep(0)
        go_on.set()
        async with await request as response:
            assert (response.status, await response.read()) == (200, b"[]")
    assert await asyncio.wait_for(process.wait(), 60) == 0
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("variable", "value", "words"), [("PORT", "http", "PORT='http'"), ("SOCKSHOP_VERSION", "v3", "give v1 or v2")]
)
def test_wrong_settings_are_named(variable, value, words):
    with pytest.raises(ValueError, match=words):
        Settings.read({variable: value})
