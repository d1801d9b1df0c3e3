"""Gives back everything that a pod had on this machine."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from plait.machine.node.identity import give_up
from plait.machine.node.limiting import unlimit_pod
from plait.machine.node.record import PodRecord, log_folder
from plait.machine.node.removal import remove

if TYPE_CHECKING:
    from plait.machine.node.host import Host


async def release_pod(host: Host, record: PodRecord) -> None:
    """Processes, namespaces, files, logs and the address; what is not there is no error."""
    await host.sandboxes.end(record.uid)
    for process in await host.processes.adopt(f"pod/{record.uid}/"):
        if host.processes.running(process):
            await host.processes.signal(process, signal.SIGKILL)
            await host.processes.end(process)
        await host.processes.forget(process)
    await unlimit_pod(host.settings.ground, record.uid)
    logs = log_folder(host.folders.logs, record.namespace, record.name, record.uid)
    give_up(host, record.uid)
    for folder in (host.folders.pods / record.uid, host.folders.agent / record.uid, logs):
        await asyncio.to_thread(remove, folder)
    if record.ip:
        host.addresses.free(record.ip)
