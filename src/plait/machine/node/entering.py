"""Where a program beside those of a running container runs: for exec and attach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.kube.errors import ApiError
from plait.machine.init.client import InitError
from plait.machine.node.creation import StartError

if TYPE_CHECKING:
    import asyncio

    from plait.machine.node.actions import Place
    from plait.machine.node.pod import Pod


async def attach_to(pod: Pod, name: str, *, stdin: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Frames from and to a container's process that runs; raises LookupError with a text for people."""
    found = pod.container(name)
    if found is None:
        raise LookupError(f"container {name} is not valid for pod {pod.record.name}")
    try:
        return await pod.context.host.processes.attach(found.process, stdin=stdin)
    except InitError as error:
        raise LookupError(f'container "{name}" in pod "{pod.record.name}" is not running') from error


async def place_in(pod: Pod, name: str) -> Place:
    """The place of a container that runs; raises LookupError with a text for people."""
    found = pod.container(name)
    if found is None:
        raise LookupError(f"container {name} is not valid for pod {pod.record.name}")
    try:
        place = await found.place() if found.running else None
    except (StartError, ApiError) as error:
        raise LookupError(f"container {name} cannot be entered: {error}") from error
    if place is None:
        raise LookupError(f'container "{name}" in pod "{pod.record.name}" is not running')
    return place
