"""The two directions of a conversation with a program in a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from plait.machine import frames


async def converse(
    outward: Coroutine[Any, Any, None], inward: Coroutine[Any, Any, None], *, usual: tuple[type[Exception], ...] = ()
) -> None:
    """Both directions until one of them ends.

    How a connection ends is no failure: OSError, FrameError and what else is `usual`. Anything else is raised.
    """
    tasks = (
        asyncio.create_task(outward, name="exec to client"),
        asyncio.create_task(inward, name="exec from client"),
    )
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (OSError, frames.FrameError, *usual)):
                raise result
