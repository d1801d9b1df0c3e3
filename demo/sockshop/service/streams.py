"""The life of a server that speaks no HTTP: bind, serve, end its connections."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve(
    connection: Connection, *, host: str | None = None, port: int, name: str, close: Callable[[], None]
) -> None:
    """Serve on all addresses (or on `host`) until SIGTERM or SIGINT; then `close` must end what is open.

    The line `NAME listening on port N` on stdout says that connections are accepted; port 0 takes a free one.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks: set[asyncio.Task[object]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await connection(reader, writer)

    server = await asyncio.start_server(accepted, host, port, backlog=1024)
    try:
        sys.stdout.write(f"{name} listening on port {server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        server.close()
        close()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run(connection: Connection, *, host: str | None = None, port: int, name: str, close: Callable[[], None]) -> None:
    """`serve` as a whole program."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(connection, host=host, port=port, name=name, close=close))
