"""A service's life: bind, serve, and leave without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from aiohttp import web

DRAIN_SECONDS = 20.0
"""Longest wait for requests in flight after SIGTERM: within the 30 s that a pod is given by default."""


async def serve(app: web.Application, *, host: str | None = None, port: int, name: str) -> None:
    """Serve `app` on all addresses (or on `host`) until SIGTERM or SIGINT, then drain and return.

    The line `NAME listening on port N` on stdout says that connections are accepted; port 0 takes a free one.
    aiohttp sets TCP_NODELAY and sends head and body of an answer as one write, so no answer waits for a delayed ACK.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS)
    try:
        if not await _set_up(runner, stop):
            return
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        bound = runner.addresses[0][1]
        sys.stdout.write(f"{name} listening on port {bound}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _set_up(runner: web.AppRunner, stop: asyncio.Event) -> bool:
    """Opens what the application needs, which may wait for a database; False if told to stop meanwhile."""
    setup, stopping = asyncio.create_task(runner.setup()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({setup, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if setup.done():
            setup.result()
            return True
        return False
    finally:
        for task in (setup, stopping):
            task.cancel()
        await asyncio.wait({setup, stopping})


def run(app: web.Application, *, host: str | None = None, port: int, name: str) -> None:
    """`serve` as a whole program."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(app, host=host, port=port, name=name))
