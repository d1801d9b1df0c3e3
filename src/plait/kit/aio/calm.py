"""Garbage is collected when nothing else is to be done: a full collection in the middle of a push delays all of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

#: Automatic collections of the oldest objects are not to come in between; the young are collected as ever.
_NEVER: Final = 1_000_000
#: After so many collections what was set aside is looked through too.
_ALL: Final = 100


async def collect_in_calm(work: Callable[[], int], *, look: float = 1.0, most: float = 30.0) -> None:
    """Collect when `work`, a number that rises with what is done, has not risen for `look` seconds, or after `most`
    seconds all the same. What survives is set aside, so that the next collection looks at what has come since.

    Runs until cancelled. With nothing done since the last collection there is none.
    """
    before = gc.get_threshold()
    loop = asyncio.get_running_loop()
    collected, seen, rounds = -1, work(), 0
    last = loop.time()
    gc.set_threshold(before[0], before[1], _NEVER)
    try:
        while True:
            await asyncio.sleep(look)
            now = work()
            calm, seen = now == seen, now
            if now == collected or not (calm or loop.time() - last >= most):
                continue
            rounds += 1
            if rounds % _ALL == 0:
                gc.unfreeze()
            gc.collect()
            gc.freeze()
            collected, last = now, loop.time()
    finally:
        gc.set_threshold(*before)
