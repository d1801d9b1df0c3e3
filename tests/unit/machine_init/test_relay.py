from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from plait.machine.init import edge
from plait.machine.init.relay import Targets, accept


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"|end")
    writer.close()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def deaf() -> socket.socket:
    """Has a port on which nobody listens, and which nobody else gets as long as it is open."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    try:
        return await reader.read(-1)
    finally:
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
async def relay(tmp_path: Path):
    listener = listening()
    targets = tmp_path / "relay.json"
    task = asyncio.create_task(edge.serve({"http": listener}, Targets(targets)))
    yield listener.getsockname()[1], targets
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    listener.close()


async def test_bytes_and_half_close_pass_both_ways(relay) -> None:
    port, targets = relay
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        targets.write_text(json.dumps({"http": [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]}))
        data = bytes(range(256)) * 8000
        assert await exchange(port, data) == data + b"|end"


async def test_the_target_may_change_and_one_that_refuses_is_passed_over(relay) -> None:
    port, targets = relay
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with deaf() as refusing:
        async with server:
            dead, alive = refusing.getsockname()[1], server.sockets[0].getsockname()[1]
            targets.write_text(json.dumps({"http": [f"127.0.0.1:{dead}", f"127.0.0.1:{alive}"]}))
            for _ in range(8):
                assert await exchange(port, b"hello") == b"hello|end"


async def test_without_a_target_the_connection_is_reset(relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: where nothing has ever been nothing is waited for."""
    monkeypatch.setattr("plait.machine.init.relay.PATIENCE", 1e9)
    port, _ = relay
    with pytest.raises(ConnectionResetError):
        await exchange(port, b"hello")


async def test_where_a_port_led_a_moment_ago_a_client_waits(relay) -> None:
    port, targets = relay
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        somewhere = json.dumps({"http": [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]})
        targets.write_text(somewhere)
        assert await exchange(port, b"before") == b"before|end"
        targets.write_text(json.dumps({"http": []}))
        waiting = asyncio.create_task(exchange(port, b"hello"))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        targets.write_text(somewhere)
        assert await waiting == b"hello|end"


async def test_a_client_that_waited_long_enough_is_reset(relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.machine.init.relay.PATIENCE", 0.1)
    port, targets = relay
    with deaf() as refusing:
        targets.write_text(json.dumps({"http": [f"127.0.0.1:{refusing.getsockname()[1]}"]}))
        with pytest.raises(ConnectionResetError):
            await exchange(port, b"hello")


async def test_who_has_left_is_waited_with_no_longer(relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.machine.init.relay.PATIENCE", 1e9)
    port, targets = relay
    before = len(asyncio.all_tasks())
    with deaf() as refusing:
        targets.write_text(json.dumps({"http": [f"127.0.0.1:{refusing.getsockname()[1]}"]}))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) == before:
                await asyncio.sleep(0)
            writer.close()
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0)


async def test_what_goes_wrong_with_one_connection_ends_that_one(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[socket.socket] = []

    async def each(client: socket.socket) -> None:
        asked.append(client)
        if len(asked) == 1:
            raise ConnectionAbortedError("gone")
        await asyncio.get_running_loop().sock_sendall(client, b"served")
        client.close()

    with listening() as listener:
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(accept("http", listener, each, tasks))
            answers = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                answers.append(await reader.read(-1))
                writer.close()
            accepting.cancel()
    assert answers == [b"", b"served"]
    assert capsys.readouterr().err == "relay: http: gone\n"
