"""exec on the node's side: real programs in the namespaces of this process, frames at the other end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from plait.machine import frames
from plait.machine.node.actions import Place
from plait.machine.node.security import Identity
from plait.machine.node.streams import remote
from plait.machine.node.streams.remote import RemoteOptions, remote_options, run_attach, run_exec
from plait.machine.node.streams.session import session_members
from plait.machine.settings import TOOLS

pytestmark = pytest.mark.usefixtures("as_root")


def place(**more: object) -> Place:
    """This process stands for the container's."""
    given = {
        "pause": os.getpid(),
        "inner": os.getpid(),
        "ip": "127.0.0.1",
        "container": {},
        "identity": Identity(uid=0, gid=0),
        "env": {"PATH": TOOLS, "COLOUR": "dark green"},
        "workdir": "/usr",
    }
    return Place(**{**given, **more})  # type: ignore[arg-type]


@dataclass
class Client:
    """The API server's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: dict[int, bytes] = field(default_factory=dict)
    decoder: frames.Decoder = field(default_factory=frames.Decoder)

    def send(self, channel: int, data: bytes = b"") -> None:
        self.writer.write(frames.encode(channel, data))

    async def until(self, channel: int, text: bytes) -> None:
        """Read on until a channel has said something."""
        while text not in self.seen.get(channel, b""):
            piece = await self.reader.read(65536)
            assert piece, f"ended with {self.seen}"
            for frame in self.decoder.feed(piece):
                self.seen[frame.channel] = self.seen.get(frame.channel, b"") + frame.data

    async def status(self) -> dict[str, object]:
        """Read to the end."""
        while piece := await self.reader.read(65536):
            for frame in self.decoder.feed(piece):
                self.seen[frame.channel] = self.seen.get(frame.channel, b"") + frame.data
        result: dict[str, object] = json.loads(self.seen[frames.STATUS])
        return result


@asynccontextmanager
async def running(*command: str, at: Place | None = None, **streams: bool) -> AsyncIterator[Client]:
    options = RemoteOptions(command=command, **{"stdout": True, "stderr": not streams.get("tty"), **streams})
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=far)

    async def serve() -> None:
        try:
            with suppress(ConnectionError):
                await run_exec(at or place(), options, reader, writer)
        finally:
            writer.close()

    serving = asyncio.create_task(serve())
    client = Client(*await asyncio.open_connection(sock=near))
    try:
        async with asyncio.timeout(60):
            yield client
    finally:
        client.writer.transport.abort()
        async with asyncio.timeout(60):
            await serving


async def nobody_left(leader: int) -> None:
    """Return when the session is empty: a killed process takes a moment to go."""
    async with asyncio.timeout(60):
        while session_members(leader):
            await asyncio.sleep(0.01)


async def test_output_errors_and_exit_code() -> None:
    async with running("sh", "-c", "echo $COLOUR; pwd; echo bad >&2; exit 3") as client:
        status = await client.status()
    assert client.seen[frames.STDOUT] == b"dark green\n/usr\n"
    assert client.seen[frames.STDERR] == b"bad\n"
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}


async def test_stdin_reaches_the_program_up_to_its_end() -> None:
    async with running("cat", stdin=True) as client:
        for _ in range(40):
            client.send(frames.STDIN, b"x" * 50_000)
        client.send(frames.STDIN_END)
        status = await client.status()
    assert client.seen[frames.STDOUT] == b"x" * 2_000_000
    assert status["status"] == "Success"


async def test_a_signal_is_128_and_its_number() -> None:
    async with running("sh", "-c", "kill -9 $$") as client:
        status = await client.status()
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "137"}]}


async def test_a_program_that_is_not_there_is_an_error_that_says_so() -> None:
    async with running("no-such-program") as client:
        status = await client.status()
    assert status["code"] == 500
    assert 'exec: "no-such-program": executable file not found in $PATH' in str(status["message"])


async def test_identity_and_capabilities_are_the_containers() -> None:
    who = Identity(uid=4242, gid=4343, groups=(7,), capabilities=frozenset({"kill"}))
    async with running("sh", "-c", "id; grep CapBnd /proc/self/status", at=place(identity=who)) as client:
        await client.status()
    text = client.seen[frames.STDOUT].decode()
    assert "uid=4242" in text
    assert "gid=4343" in text
    assert text.splitlines()[-1].split() == ["CapBnd:", f"{1 << 5:016x}"]


async def test_nothing_of_ours_is_open_in_the_program() -> None:
    async with running("sh", "-c", "ls /proc/$$/fd") as client:
        await client.status()
    assert client.seen[frames.STDOUT].split() == [b"0", b"1", b"2"]


async def test_a_terminal_has_a_size_and_job_control() -> None:
    script = "test -t 0 && echo is a terminal; while sleep 0.05; do stty size; done"
    async with running("sh", "-c", script, stdin=True, tty=True) as client:
        await client.until(frames.STDOUT, b"is a terminal")
        client.send(frames.RESIZE, b'{"Width":123,"Height":45}')
        await client.until(frames.STDOUT, b"45 123")
        client.send(frames.STDIN, b"\x03")  # what ^C sends
        status = await client.status()
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "130"}]}


async def test_when_the_client_goes_nothing_stays() -> None:
    script = "trap '' HUP TERM; sleep 60 & echo $$; sleep 60"
    async with running("sh", "-c", script) as client:
        await client.until(frames.STDOUT, b"\n")
        leader = int(client.seen[frames.STDOUT])
        assert len(session_members(leader)) >= 2
    await nobody_left(leader)


async def test_a_program_that_reads_nothing_does_not_hide_that_its_user_has_gone() -> None:
    async with running("sh", "-c", "echo $$; exec sleep 60", stdin=True) as client:
        await client.until(frames.STDOUT, b"\n")
        leader = int(client.seen[frames.STDOUT])
        client.send(frames.STDIN, b"x" * 900_000)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.writer.drain()
    await nobody_left(leader)


async def test_what_runs_in_the_background_does_not_hold_the_answer() -> None:
    async with running("sh", "-c", "sleep 60 & echo $$; echo done") as client:
        status = await client.status()
    leader = int(client.seen[frames.STDOUT].split()[0])
    assert status["status"] == "Success"
    for pid in session_members(leader):  # it goes on, as in container runtimes
        os.kill(pid, 9)


async def test_attach_joins_a_client_with_a_process_until_either_ends() -> None:
    (near, far), (ours, inits) = socket.socketpair(), socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=far)
    options = RemoteOptions(stdin=True, stdout=True)
    serving = asyncio.create_task(run_attach(await asyncio.open_connection(sock=ours), options, reader, writer))
    client = Client(*await asyncio.open_connection(sock=near))
    from_node, to_node = await asyncio.open_connection(sock=inits)
    async with asyncio.timeout(60):
        typed = frames.encode(frames.STDIN, b"typed")
        client.writer.write(typed)
        assert await from_node.readexactly(len(typed)) == typed
        to_node.write(frames.encode(frames.STDERR, b"not asked for") + frames.encode(frames.STDOUT, b"said"))
        to_node.write(frames.encode(frames.STATUS))
        await client.until(frames.STATUS, b"Success")
        await serving
        assert await from_node.read() == b"", "init is told that the client has gone"
    assert client.seen[frames.STDOUT] == b"said"
    assert frames.STDERR not in client.seen
    for end in (writer, client.writer, to_node):
        end.close()


def test_options_without_any_stream_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 of stdin"):
        remote_options([("command", "ls"), ("tty", "true")])


@pytest.mark.parametrize("part", ["outward", "inward"])
async def test_a_fault_of_ours_is_not_taken_for_the_end_of_a_connection(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(remote._Conversation, part, broken)
    with pytest.raises(ZeroDivisionError):
        async with running("sh", "-c", "echo out") as client:
            await client.reader.read()
