"""Several writes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def together(writes: Iterable[Awaitable[None]]) -> None:
    """Each to its end, whatever becomes of the others; then the first failure, if there was one, is raised."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if outcome is not None:
            raise outcome
