"""Keeps one delivery process beside the builder: starts it, connects the two, replaces it when it dies."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from plait.delivery.frames import Channel, Up
from plait.kube.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plait.delivery.builder import Builder

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=0.05, most=5.0)
_STABLE = 10.0
_GRACE = 3.0
CHANNEL_FD = "{channel}"
"""Stands in a command line for the number of the inherited descriptor."""


class Supervisor:
    """Runs `command` again and again; `{channel}` in it becomes the number of the inherited end of a socket pair."""

    def __init__(self, builder: Builder, command: Sequence[str]) -> None:
        self._builder = builder
        self._command = tuple(command)
        self.pid: int | None = None

    async def run(self) -> None:
        """Until cancelled, which ends the process too."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            async with self._process() as (process, channel):
                self.pid = process.pid
                self._builder.connect(channel)
                try:
                    while (frame := await channel.receive()) is not None:
                        self._builder.receive(frame)
                finally:
                    self.pid = None
                    self._builder.disconnect()
            failures = 1 if loop.time() - began > _STABLE else failures + 1
            wait = _BACKOFF.wait(failures)
            log.error("delivery ended with %s; starting it again in %.2f s", process.returncode, wait)
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, Channel]]:
        """A running process and the way to it; on leaving it is asked to end, and killed if it does not."""
        ours, theirs = socket.socketpair()
        try:
            arguments = [part.replace(CHANNEL_FD, str(theirs.fileno())) for part in self._command]
            # An exec, not a fork: gRPC does not survive being forked, and the child needs none of our memory.
            process = await asyncio.create_subprocess_exec(*arguments, pass_fds=(theirs.fileno(),))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            async with await Channel.over(ours, Up) as channel:
                yield process, channel
        finally:
            await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    """The closed channel asks it to end."""
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        log.warning("delivery (pid %d) did not end in %g s; killing it", process.pid, _GRACE)
        process.kill()
        await process.wait()
