"""Servers on loopback for the engine, which runs in the test's own thread."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from plait.load import fortio
from plait.load.flags import parse
from plait.load.log import Log
from plait.load.server import SERVER_FLAGS, Server


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The URL of fortio's echo server."""
    started, ports = threading.Event(), {}
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        flags = parse(["-http-port", "127.0.0.1:0", "-tcp-port", "127.0.0.1:0"], SERVER_FLAGS)
        server = Server(flags, Log(out=io.StringIO()))
        task = asyncio.create_task(server.run())
        await server.ready.wait()
        ports.update(server.ports)
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(task.cancel))
        started.set()
        try:
            await task
        except asyncio.CancelledError:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{ports['http']}"
    stop[0]()
    thread.join(60)


class Raw:
    """A server that answers each connection as a function says, and counts connections."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.connections = 0
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            try:
                self._handle(connection)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(60)
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket], None]], Raw]]:
    """Makes servers that say what a test wants, byte by byte."""
    made: list[Raw] = []

    def make(handle: Callable[[socket.socket], None]) -> Raw:
        made.append(Raw(handle))
        return made[-1]

    yield make
    for server in made:
        server.close()


class Ran:
    """What a `fortio` run left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def logged(self) -> list[dict]:
        return [json.loads(line) for line in self.lines if line.startswith('{"ts"')]


@pytest.fixture
def run(capfdbinary) -> Callable[..., Ran]:
    """Run `fortio` with these words."""

    def ran(*words: str) -> Ran:
        code = fortio.main(words)
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(errors="replace"), err.decode())

    return ran
