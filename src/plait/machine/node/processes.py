"""The processes of pods: started by init, so that they outlive the node; their ends are waited for here."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from plait.machine.init.protocol import Process, Spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = logging.getLogger(__name__)

#: Every so often init is asked for what ended, in case a message about it was lost while reconnecting.
_SWEEP = 10.0
_INNER_TIMEOUT = 10.0


class Parent(Protocol):
    """The part of `InitClient` that is used here."""

    async def spawn(self, request: Spawn) -> Process: ...  # noqa: D102  (see InitClient)
    async def signal(self, name: str, number: int) -> None: ...  # noqa: D102
    async def processes(self, prefix: str = "") -> tuple[Process, ...]: ...  # noqa: D102
    async def forget(self, name: str) -> None: ...  # noqa: D102
    async def attach(self, name: str, *, stdin: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...  # noqa: D102
    def exits(self) -> AsyncIterator[Process]: ...  # noqa: D102


class Processes:
    """Names on init's record and the futures of their ends."""

    def __init__(self, init: Parent) -> None:
        self._init = init
        self._ends: dict[str, asyncio.Future[Process]] = {}

    async def run(self) -> None:
        """Follow what ends, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="exits")
            tasks.create_task(self._sweep(), name="exit sweep")

    async def spawn(self, request: Spawn) -> Process:
        """Start a process; raises InitError."""
        self._ends.pop(request.name, None)
        end = self._end(request.name)
        try:
            return await self._init.spawn(request)
        except BaseException:
            end.cancel()
            self._ends.pop(request.name, None)
            raise

    async def adopt(self, prefix: str) -> dict[str, Process]:
        """What init has on record below a prefix; those that have ended are known as such from here on."""
        found = await self._init.processes(prefix)
        for process in found:
            end = self._end(process.name)
            if process.state == "ended" and not end.done():
                end.set_result(process)
        return {process.name: process for process in found}

    async def list(self, prefix: str) -> tuple[Process, ...]:
        """What init has on record below a prefix."""
        return await self._init.processes(prefix)

    async def end(self, name: str) -> Process:
        """Wait for the end of a process that was spawned or adopted."""
        return await asyncio.shield(self._end(name))

    def running(self, name: str) -> bool:
        """Whether the process was started and has not ended."""
        end = self._ends.get(name)
        return end is not None and not end.done()

    async def signal(self, name: str, number: int) -> None:
        """Signal a process; one that has ended is no error."""
        await self._init.signal(name, number)

    async def stop(self, name: str, *, grace: float) -> Process:
        """SIGTERM, SIGKILL after `grace` seconds, and the end."""
        if grace > 0:
            await self._init.signal(name, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace):
                    return await self.end(name)
            except TimeoutError:
                pass  # it has had its time
        await self._init.signal(name, signal.SIGKILL)
        return await self.end(name)

    async def attach(self, name: str, *, stdin: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Frames from and to a process that runs (see init's `Attach`); raises InitError."""
        return await self._init.attach(name, stdin=stdin)

    async def forget(self, name: str) -> None:
        """Drop an ended process from the record."""
        self._ends.pop(name, None)
        await self._init.forget(name)

    async def inner_pid(self, name: str, *, ready: Callable[[int], bool] = lambda _: True) -> int | None:
        """The process that a forking one has started, once there is one that is `ready`; None if it has ended."""
        end = asyncio.get_running_loop().time() + _INNER_TIMEOUT
        wait = 0.001
        while self.running(name) and asyncio.get_running_loop().time() < end:
            for process in await self._init.processes(name):
                if process.name == name and process.inner_pid is not None and ready(process.inner_pid):
                    return process.inner_pid
            # Nothing reports the fork of unshare and nsenter; it takes about a millisecond.
            await asyncio.sleep(wait)
            wait = min(wait * 2, 0.05)
        return None

    def _end(self, name: str) -> asyncio.Future[Process]:
        end = self._ends.get(name)
        if end is None:
            end = self._ends[name] = asyncio.get_running_loop().create_future()
        return end

    async def _follow(self) -> None:
        while True:
            try:
                async for process in self._init.exits():
                    self._ended(process)
            except OSError as error:
                log.warning("cannot follow init's processes: %s", error)
            await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            for process in await self._init.processes("pod/"):
                if process.state == "ended":
                    self._ended(process)

    def _ended(self, process: Process) -> None:
        end = self._ends.get(process.name)
        if end is not None and not end.done():
            end.set_result(process)


def has_own_root(pid: int) -> bool:
    """Whether the process has changed into its container's file system, the last step of its start script."""
    try:
        return Path(f"/proc/{pid}/root").stat().st_dev != Path("/").stat().st_dev
    except OSError:
        return False
