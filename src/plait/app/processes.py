"""What plait's own processes have in common: logging, and ending on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any


def run(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine until it ends or SIGTERM asks for it; a failure ends the process with 1."""
    logging.basicConfig(level=logging.INFO, format=f"{name} %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if sys.version_info < (3, 12):
        # The default starts a thread for every child; from 3.12 on this one is the default.
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    try:
        asyncio.run(_until_told(work))
    except BaseExceptionGroup as group:
        logging.getLogger(name).exception("ended by failures", exc_info=group)
        sys.exit(1)
    except (OSError, ValueError) as error:
        logging.getLogger(name).exception("cannot run", exc_info=error)
        sys.exit(1)


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
