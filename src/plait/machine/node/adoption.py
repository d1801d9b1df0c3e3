"""A pod's record, brought in line with the processes that are there and with what the API was last told.

The node that wrote the record may have died between two steps; the mesh may have been down.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plait.machine.node.record import (
    ContainerRecord,
    PodRecord,
    Running,
    Terminated,
    Waiting,
    container_id,
    process_name,
)

if TYPE_CHECKING:
    from plait.machine.init.protocol import Process


def reconcile(record: PodRecord, pod: Mapping[str, Any], found: Mapping[str, Process]) -> None:
    """Change `record` to what is true; `found` are init's processes of this pod by name."""
    spec, status = pod["spec"], pod.get("status") or {}
    told = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    before = {entry["name"]: entry for entry in told}
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        own = record.container(container["name"])
        _with_processes(own, record.uid, found)
        if own.attempt < 0:
            _with_status(own, before.get(own.name) or {})
    debugged = {entry["name"]: entry for entry in status.get("ephemeralContainerStatuses") or ()}
    for container in spec.get("ephemeralContainers") or ():
        own = record.container(container["name"])
        _with_processes(own, record.uid, found)
        if own.attempt < 0 and (debugged.get(own.name) or {}).get("containerID"):
            # They run once; what they ran in is gone.
            own.attempt, own.state = 0, _lost(None)


def killed(record: PodRecord, own: ContainerRecord, state: Running) -> Terminated:
    """The end of a container whose pod lost its namespaces."""
    return Terminated(
        exit_code=137,
        reason="Error",
        signal=9,
        started_at=state.started_at,
        finished_at=time.time(),
        container_id=container_id(record.uid, own.name, max(own.attempt, 0)),
    )


def resume_back_off(own: ContainerRecord) -> None:
    """A container whose waiting was interrupted waits for what is left, and is then counted as started again."""
    if isinstance(own.state, Waiting) and own.state.reason == "CrashLoopBackOff" and own.last is not None:
        own.state = own.last


def _with_processes(own: ContainerRecord, uid: str, found: Mapping[str, Process]) -> None:
    while (process := found.get(process_name(uid, own.name, own.attempt + 1))) is not None:
        own.attempt += 1
        own.state = Running(started_at=process.started_at)
        own.started = own.ready = False
    if isinstance(own.state, Running) and process_name(uid, own.name, own.attempt) not in found:
        own.state, own.started, own.ready = _lost(own.state.started_at), False, False
    resume_back_off(own)


def _with_status(own: ContainerRecord, told: Mapping[str, Any]) -> None:
    """After the mesh was down everything begins again; as after a reboot of a node, that counts as a restart."""
    if not told.get("containerID"):
        return
    own.restarts = int(told.get("restartCount") or 0) + 1
    # Attempts number the logs: those of the time before stay what they are, and the last one is the previous log.
    own.attempt = own.restarts - 1
    if "running" in (told.get("state") or {}):
        own.last = _lost(None)


def _lost(started_at: float | None) -> Terminated:
    return Terminated(
        exit_code=255,
        reason="Unknown",
        message="the container was not there any more when the pod was started again",
        started_at=started_at,
        finished_at=time.time(),
    )
