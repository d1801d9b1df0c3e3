"""Pure work on a large object, done in a thread beside the event loop, so that others are answered meanwhile.

A write sees one state of the store and never waits (see `writing`). So it does not wait here either: it is given up
with PendingError, its work is done in a thread, and then the write is tried anew and finds the work done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from plait.machine.api.admission import PendingError

if TYPE_CHECKING:
    from collections.abc import Callable

_Made = TypeVar("_Made")
#: Bytes of JSON from which on the work on an object goes to a thread: below, it takes some 50 ms at most.
LARGE: Final = 100_000


class Aside:
    """The work of one write. `turn` is the server's: one piece at a time, as threads take time from the event loop."""

    def __init__(self, turn: asyncio.Lock) -> None:
        self._turn = turn
        self._done: dict[str, tuple[Any, Any]] = {}

    def __call__(self, name: str, given: object, make: Callable[[], _Made]) -> _Made:
        """What `make` gives for `given`; raises PendingError where it is not known yet.

        `make` must be pure, and neither `given` nor what it gives may be changed afterwards.
        """
        if name in self._done and self._done[name][0] == given:
            made: _Made = self._done[name][1]
            return made

        async def wait() -> None:
            async with self._turn:
                self._done[name] = given, await asyncio.to_thread(make)

        raise PendingError(wait)
