"""What a container has left running in its pod, where other containers go on.

In a container runtime it would have ended with the first process of the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from plait.machine.node.record import pause_name

if TYPE_CHECKING:
    from plait.machine.node.processes import Processes


async def end_leftovers(processes: Processes, uid: str, pause: int, *, ended: str) -> None:
    """Kill what the process `ended` has left in the pod `uid`.

    Nothing of the pod may be spawned meanwhile: what is not known to be another container's would be taken for this
    one's.
    """
    others: set[int] = set()
    for process in await processes.list(f"pod/{uid}/"):
        if process.state != "running" or process.name in {ended, pause_name(uid)}:
            continue
        if process.inner_pid is not None and (namespace := _namespace(process.inner_pid, "mnt")) is not None:
            others.add(namespace)
    for pid in _left_behind(pause, others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _left_behind(pause: int, others: set[int]) -> list[int]:
    """Processes of a pod that belong to none of its running containers, whose mount namespaces are `others`."""
    pod, own = _namespace(pause, "pid"), _namespace(pause, "mnt")
    if pod is None or own is None:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == pause:
            continue
        pid = int(entry.name)
        if _namespace(pid, "pid") != pod:
            continue
        mounts = _namespace(pid, "mnt")
        # A process that is just being started is still in the mount namespace of the node, as the pause is.
        if mounts is not None and mounts != own and mounts not in others:
            found.append(pid)
    return found


def _namespace(pid: int, kind: str) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino
    except OSError:
        return None
