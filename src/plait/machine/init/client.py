"""How the node talks to init."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

import msgspec

from plait.machine.init.protocol import Answer, Attach, Forget, List, Process, Request, Signal, Spawn, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from types import TracebackType


class InitError(Exception):
    """Init refused a request, for example because the program does not exist."""


class InitClient:
    """Requests to init over its unix socket, one after the other; `exits` uses a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 24)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            await _close(self._writer)

    async def spawn(self, request: Spawn) -> Process:
        """Start a process; raises InitError when it cannot be started or the name is taken."""
        return (await self._ask(request)).processes[0]

    async def signal(self, name: str, number: int) -> None:
        """Signal a process by name; one that has ended is no error."""
        await self._ask(Signal(name=name, signal=number))

    async def processes(self, prefix: str = "") -> tuple[Process, ...]:
        """All records whose name starts with `prefix`, the ended ones included."""
        return (await self._ask(List(prefix=prefix))).processes

    async def forget(self, name: str) -> None:
        """Drop the record of an ended process."""
        await self._ask(Forget(name=name))

    async def exits(self) -> AsyncGenerator[Process, None]:
        """Processes as they end, from the first step of the iteration on; ends when init does."""
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 24)
        try:
            writer.write(msgspec.json.encode(Watch()) + b"\n")
            await writer.drain()
            while line := await reader.readline():
                for process in msgspec.json.decode(line, type=Answer).processes:
                    yield process
        finally:
            await _close(writer)

    async def attach(self, name: str, *, stdin: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own that carries frames from and to a process. Raises InitError."""
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            writer.write(msgspec.json.encode(Attach(name=name, stdin=stdin)) + b"\n")
            line = await reader.readline()
            error = msgspec.json.decode(line, type=Answer).error if line else "init closed the connection"
        except BaseException:
            writer.close()
            raise
        if error is not None:
            writer.close()
            raise InitError(error)
        return reader, writer

    async def _ask(self, request: Request) -> Answer:
        # An exchange that has begun is finished even if its asker is cancelled: the answer that stays behind would be
        # taken for that of the next request.
        exchange = asyncio.ensure_future(self._exchange(request))
        exchange.add_done_callback(_seen)
        return await asyncio.shield(exchange)

    async def _exchange(self, request: Request) -> Answer:
        if self._reader is None or self._writer is None:
            raise InitError("not connected to init")
        async with self._turn:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        if not line:
            raise InitError("init closed the connection")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error is not None:
            raise InitError(answer.error)
        return answer


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # init has gone: closed all the same
        await writer.wait_closed()


def _seen(exchange: asyncio.Future[Answer]) -> None:
    """The failure of an exchange whose asker has gone is nobody's."""
    if not exchange.cancelled():
        exchange.exception()
