"""Waits between tries at something of a pod that is not possible yet."""

from __future__ import annotations

import asyncio
from typing import Final

#: Seconds.
LONGEST: Final = 10.0
_FIRST: Final = 0.25


class Tries:
    """Waits that double, up to the longest."""

    def __init__(self) -> None:
        self._next = _FIRST

    async def wait(self) -> None:
        """Until the next try."""
        await asyncio.sleep(self._next)
        self._next = min(self._next * 2, LONGEST)

    def succeeded(self) -> None:
        """What comes next is tried anew."""
        self._next = _FIRST
