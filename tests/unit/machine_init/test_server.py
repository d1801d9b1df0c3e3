"""Init as a process of its own, not as PID 1: the protocol, restarts and the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from plait.machine.init.client import InitClient, InitError
from plait.machine.init.protocol import Spawn

PROGRAM = """
import json, sys
from pathlib import Path
from plait.machine.init.plan import Service
from plait.machine.init.server import Init
services = [Service(**{**s, "argv": tuple(s["argv"])}) for s in json.loads(sys.argv[2])]
Init(services, [Path(sys.argv[1])]).run()
"""


@contextmanager
def running(socket: Path, services: str = "[]") -> Iterator[subprocess.Popen[bytes]]:
    # Started as by nohup, and with & in a script.
    deaf = ("sh", "-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh")
    process = subprocess.Popen([*deaf, sys.executable, "-c", textwrap.dedent(PROGRAM), str(socket), services])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[InitClient]:
    client = InitClient(socket)
    async with asyncio.timeout(60):
        while True:
            try:
                await client.__aenter__()
                break
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)


def shell(name: str, script: str, log: Path | None = None) -> Spawn:
    path = {"PATH": os.environ["PATH"]}
    return Spawn(name=name, argv=("sh", "-c", script), env=path, log=str(log) if log else None)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "init.sock"


async def test_exit_status_and_output_outlive_the_process(socket: Path, tmp_path: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            log = tmp_path / "out.log"
            started = await client.spawn(shell("a", "echo out; echo err >&2; read x < /dev/null; exit 3", log))
            assert started.state == "running"
            ended = await ended_named(client, "a")
            assert (ended.exit_code, ended.signal) == (3, None)
            assert sorted(line.split(" ", 1)[1] for line in log.read_text().splitlines()) == [
                "stderr F err",
                "stdout F out",
            ]
            await client.forget("a")
            assert await client.processes() == ()


async def ended_named(client: InitClient, name: str):
    async with asyncio.timeout(60):
        while True:
            (process,) = await client.processes(name)
            if process.state == "ended":
                return process
            await asyncio.sleep(0.01)


async def test_a_watcher_hears_of_an_end(socket: Path) -> None:
    with running(socket):
        async with connected(socket) as client, aclosing(client.exits()) as exits, asyncio.timeout(60):
            heard = asyncio.ensure_future(anext(exits))
            # Whether the watch has begun cannot be seen: ends are produced until one is heard.
            for number in range(1000):
                await client.spawn(shell(f"x{number}", "exit 0"))
                if (await asyncio.wait([heard], timeout=0.02))[0]:
                    break
            assert heard.result().name.startswith("x")


async def test_signals_go_to_the_child_of_one_that_forks(socket: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            # The shell stands for an nsenter: the outer process waits for the inner one and passes its end on.
            argv = ("sh", "-c", "sleep 60; exit 7")
            await client.spawn(Spawn(name="f", argv=argv, env={"PATH": os.environ["PATH"]}, forks=True))
            async with asyncio.timeout(60):
                while (await client.processes("f"))[0].inner_pid is None:
                    await asyncio.sleep(0.01)
            await client.signal("f", signal.SIGTERM)
            ended = await ended_named(client, "f")
            assert ended.exit_code == 7


@pytest.mark.parametrize("go_on", [True, False])
async def test_one_whose_child_was_stopped_ends_with_it_all_the_same(socket: Path, lacking, go_on: bool) -> None:
    if os.geteuid() != 0:
        lacking("nsenter into a pid namespace is for root")
    with running(socket):
        async with connected(socket) as client:
            argv = ("nsenter", "--target", str(os.getpid()), "--pid", "sleep", "60")
            outer = await client.spawn(Spawn(name="f", argv=argv, env={"PATH": os.environ["PATH"]}, forks=True))
            async with asyncio.timeout(60):
                while (inner := (await client.processes("f"))[0].inner_pid) is None:
                    await asyncio.sleep(0.01)
                await client.signal("f", signal.SIGSTOP)
                while state_of(outer.pid) != "T":
                    await asyncio.sleep(0.01)
                if go_on:
                    await client.signal("f", signal.SIGCONT)
                    while state_of(inner) == "T":
                        await asyncio.sleep(0.01)
                await client.signal("f", signal.SIGKILL)
            assert (await ended_named(client, "f")).exit_code == 137


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


async def test_what_cannot_be_started_is_said_in_words(socket: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            with pytest.raises(InitError, match="no-such-program: No such file or directory"):
                await client.spawn(Spawn(name="a", argv=("no-such-program",)))
            await client.spawn(shell("b", "sleep 60"))
            with pytest.raises(InitError, match="a process of this name is on record"):
                await client.spawn(shell("b", "true"))


async def test_own_processes_are_started_again(socket: Path, tmp_path: Path) -> None:
    mark = tmp_path / "starts"
    script = f"echo x >> {mark}; exec sleep 60"
    services = json.dumps([{"name": "s", "argv": ["sh", "-c", script], "env": {"PATH": os.environ["PATH"]}}])
    with running(socket, services):
        async with connected(socket) as client:
            async with asyncio.timeout(60):
                while not mark.exists():
                    await asyncio.sleep(0.01)
            (service,) = await client.processes("s")
            os.kill(service.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while len(mark.read_text().split()) < 2:
                    await asyncio.sleep(0.01)


async def test_on_sigterm_everything_gets_its_chance_and_ends(socket: Path, tmp_path: Path) -> None:
    mark = tmp_path / "said"
    with running(socket) as process:
        async with connected(socket) as client:
            script = f"trap 'echo bye > {mark}; exit 0' TERM; while :; do sleep 0.05; done"
            started = await client.spawn(shell("pod/u/app/0", script))
        async with asyncio.timeout(60):
            # The trap is set once the shell has a child.
            while not Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text():
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert mark.read_text() == "bye\n"
        assert not Path(f"/proc/{started.pid}").exists()


async def test_signals_do_what_they_usually_do_however_the_mesh_was_started(socket: Path) -> None:
    with running(socket):
        async with connected(socket) as client:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
                await client.spawn(shell(str(number), f"kill -{number} $$; echo it lives"))
                ended = await ended_named(client, str(number))
                assert (ended.exit_code, ended.signal) == (128 + number, number)


async def test_what_ends_again_and_again_is_started_ever_later(socket: Path) -> None:
    services = json.dumps([{"name": "s", "argv": ["false"], "env": {"PATH": os.environ["PATH"]}}])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PROGRAM), str(socket), services, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            said = [(await process.stderr.readline()).decode().strip() for _ in range(3)]
    finally:
        process.terminate()
        await process.communicate()
    assert [line.rpartition("again in ")[2] for line in said] == ["0.1 s", "0.2 s", "0.4 s"]
