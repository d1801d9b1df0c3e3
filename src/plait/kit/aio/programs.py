"""Programs that are waited for."""

from __future__ import annotations

from asyncio.subprocess import Process


async def communicate(process: Process, given: bytes | None = None) -> tuple[bytes, bytes]:
    """What a program says on standard output and standard error until it ends; `given` is its standard input.

    Who stops waiting (a time limit, a task that is cancelled) stops the program.
    """
    try:
        return await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
