"""Waiting for a time of day on a machine whose clock may be set meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time

#: A clock that was set is noticed after so many seconds.
_LOOK = 30.0
_LEAST = 1.0


async def wait_until(due: float | None, *, or_set: asyncio.Event, since: float | None = None) -> None:
    """Return when the wall clock shows `due` (seconds since the epoch; None: never) or the event is set; also when it
    shows a time before `since`.

    A time that has passed takes a second all the same: who waits for it again and again is not kept busy.
    """
    while not or_set.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else min(max(_LEAST, due - time.time()), _LOOK)):
                await or_set.wait()
        now = time.time()
        if (due is not None and due <= now) or (since is not None and now < since):
            return
