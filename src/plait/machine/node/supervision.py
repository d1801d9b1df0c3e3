"""Beginnings and ends of containers, as their pod has to know them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from plait.machine.node.processes import left_behind, mount_namespace
from plait.machine.node.record import Terminated, pause_name

if TYPE_CHECKING:
    from plait.machine.node.container import Container
    from plait.machine.node.host import Host
    from plait.machine.node.pod import Pod


async def finish(host: Host, pod: Pod, ended: str) -> None:
    """Kill what a container has left running in its pod.

    Nothing of the pod may be spawned meanwhile: what is not known to be another container's would be taken for this
    one's.
    """
    if pod.sandbox.pause is None:
        return
    others: set[int] = set()
    for process in await host.processes.list(f"pod/{pod.record.uid}/"):
        if process.state != "running" or process.name in {ended, pause_name(pod.record.uid)}:
            continue
        if process.inner_pid is not None and (namespace := mount_namespace(process.inner_pid)) is not None:
            others.add(namespace)
    for pid in left_behind(pod.sandbox.pause, others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


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
