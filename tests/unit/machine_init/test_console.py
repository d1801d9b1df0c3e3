"""What init does for those who attach to a process: its input, its terminal, its output as it comes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plait.machine import frames
from plait.machine.init.client import InitClient, InitError
from plait.machine.init.protocol import Spawn

from .test_server import connected, running, socket

__all__ = ["socket"]


class Attached:
    """A client, and what it has seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.seen: dict[int, bytes] = {}
        self._decoder = frames.Decoder()

    def send(self, channel: int, data: bytes = b"") -> None:
        self.writer.write(frames.encode(channel, data))

    async def until(self, channel: int, text: bytes = b"") -> None:
        while channel not in self.seen or text not in self.seen[channel]:
            piece = await self.reader.read(65536)
            assert piece, f"ended with {self.seen}"
            for frame in self._decoder.feed(piece):
                self.seen[frame.channel] = self.seen.get(frame.channel, b"") + frame.data


@asynccontextmanager
async def attached(client: InitClient, name: str, *, stdin: bool = True) -> AsyncIterator[Attached]:
    reader, writer = await client.attach(name, stdin=stdin)
    try:
        async with asyncio.timeout(60):
            yield Attached(reader, writer)
    finally:
        writer.close()


def program(script: str, log: Path, **more: object) -> Spawn:
    return Spawn(
        name="p", argv=("sh", "-c", script), env={"PATH": os.environ["PATH"]}, log=str(log), owner=os.getuid(), **more
    )  # type: ignore[arg-type]


async def test_a_pipe_stays_open_until_its_only_user_is_done(socket: Path, tmp_path: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            await client.spawn(program("cat; echo end >&2", tmp_path / "log", stdin="pipe", stdin_once=True))
            async with attached(client, "p", stdin=False) as watcher:
                async with attached(client, "p") as user:
                    user.send(frames.STDIN, b"no line yet")
                    await user.until(frames.STDOUT, b"no line yet")
                    user.send(frames.STDIN_END)
                    await user.until(frames.STDERR, b"end")
                    await user.until(frames.STATUS)
                await watcher.until(frames.STATUS)
            assert watcher.seen == user.seen
            with pytest.raises(InitError, match="no such process runs"):
                await client.attach("p", stdin=False)


async def test_without_once_the_next_user_goes_on(socket: Path, tmp_path: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            await client.spawn(program("read a; read b; echo $a-$b", tmp_path / "log", stdin="pipe"))
            async with attached(client, "p") as first:
                first.send(frames.STDIN, b"one\n")
                first.send(frames.STDIN_END)
                await first.writer.drain()
            async with attached(client, "p") as second:
                second.send(frames.STDIN, b"two\n")
                await second.until(frames.STDOUT, b"one-two")


async def test_a_terminal_has_a_size_and_takes_an_end_that_is_typed(socket: Path, tmp_path: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            script = "while [ \"$(stty size)\" != '33 99' ]; do sleep 0.02; done; stty size; cat; echo gone"
            await client.spawn(program(script, tmp_path / "log", stdin="terminal", stdin_once=True))
            async with attached(client, "p") as user:
                user.send(frames.RESIZE, b"nonsense")
                user.send(frames.RESIZE, json.dumps({"Width": 99, "Height": 33}).encode())
                await user.until(frames.STDOUT, b"33 99")
                user.send(frames.STDIN, b"echoed\n")
                await user.until(frames.STDOUT, b"echoed\r\nechoed")
                user.send(frames.STDIN, b"\x04")
                await user.until(frames.STDOUT, b"gone")
                await user.until(frames.STATUS)


async def test_neither_side_overruns_the_other(socket: Path, tmp_path: Path) -> None:
    """Megabytes both ways, with a client that reads late: nothing is lost and nobody is kept from the rest of init."""
    data = os.urandom(4_000_000)
    with running(socket):
        async with connected(socket) as client:
            await client.spawn(program("cat", tmp_path / "log", stdin="pipe", stdin_once=True))
            async with attached(client, "p") as user:
                sending = asyncio.create_task(send_all(user, data))
                while not sending.done() and user.writer.transport.get_write_buffer_size() == 0:
                    await asyncio.sleep(0.01)
                assert [process.state for process in await client.processes()] == ["running"]
                await user.until(frames.STATUS)
                await sending
            assert user.seen[frames.STDOUT] == data


async def send_all(user: Attached, data: bytes) -> None:
    for at in range(0, len(data), 65536):
        user.send(frames.STDIN, data[at : at + 65536])
        await user.writer.drain()
    user.send(frames.STDIN_END)


async def test_one_who_leaves_holds_nobody_up(socket: Path, tmp_path: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            script = "read go; head -c 3000000 /dev/zero; read more; echo done >&2; read never"
            await client.spawn(program(script, tmp_path / "log", stdin="pipe"))
            async with attached(client, "p") as lazy:
                lazy.send(frames.STDIN, b"go\n")
                await lazy.until(frames.STDOUT)
            # Whoever comes hears what is said from then on: it is asked for by one who is there.
            async with attached(client, "p") as watcher:
                watcher.send(frames.STDIN, b"more\n")
                await watcher.until(frames.STDERR, b"done")
