"""Beginnings and ends of containers, as their pod has to know them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.machine.node.record import Terminated

if TYPE_CHECKING:
    from plait.machine.node.container import Container


async def until_up(container: Container, running: asyncio.Task[None]) -> None:
    """Return when a sidecar is ready to be relied on, or will not run any more."""
    ready = asyncio.create_task(container.up.wait(), name=f"{container.name} up")
    try:
        await asyncio.wait((ready, running), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()


def succeeded(container: Container) -> bool:
    """Whether its last process ended well."""
    state = container.record.state
    return isinstance(state, Terminated) and state.exit_code == 0
