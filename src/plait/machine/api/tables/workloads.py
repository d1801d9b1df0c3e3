"""Cells of pods, deployments, replica sets and nodes, as kubectl users know them."""

from __future__ import annotations

from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.selectors import selector_text
from plait.machine.api.times import age, human_duration, parse_timestamp

Json = dict[str, Any]
Cells = list[Any]

_NONE = "<none>"


def pod(obj: Json, now: float) -> Cells:
    """Name, ready, status, restarts, age; wide: IP, node, nominated node, readiness gates."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    ready, total = _ready(spec, status)
    gates = [gate.get("conditionType") for gate in spec.get("readinessGates") or []]
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or []}
    passed = sum(1 for gate in gates if conditions.get(gate) == "True")
    return [
        metadata(obj)["name"],
        f"{ready}/{total}",
        pod_reason(obj),
        _restarts(spec, status, now),
        age(metadata(obj).get("creationTimestamp"), now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{passed}/{len(gates)}" if gates else _NONE,
    ]


def _sidecars(spec: Json) -> set[str]:
    return {c.get("name", "") for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}


def _ready(spec: Json, status: Json) -> tuple[int, int]:
    sidecars = _sidecars(spec)
    ready = sum(1 for c in status.get("containerStatuses") or [] if c.get("ready") and "running" in _state(c))
    beside = [c for c in status.get("initContainerStatuses") or [] if c.get("name") in sidecars]
    ready += sum(1 for c in beside if c.get("ready") and c.get("started"))
    return ready, len(spec.get("containers") or []) + len(sidecars)


def _state(container: Json) -> Json:
    found = container.get("state")
    return found if isinstance(found, dict) else {}


def pod_reason(obj: Json) -> str:
    """The STATUS column: the phase, unless something more telling holds the pod up."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    scheduled: Json = next((c for c in status.get("conditions") or [] if c.get("type") == "PodScheduled"), {})
    if scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    held = _init_reason(spec, status)
    reason = held or reason
    if not held or _initialized(status):
        reason = _container_reason(status, reason)
    if metadata(obj).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in {"Succeeded", "Failed"}:
            return "Terminating"
    return reason


def _initialized(status: Json) -> bool:
    return any(c.get("type") == "Initialized" and c.get("status") == "True" for c in status.get("conditions") or [])


def _init_reason(spec: Json, status: Json) -> str:
    sidecars, total = _sidecars(spec), len(spec.get("initContainers") or [])
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        state = _state(container)
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if ended is not None:
            return "Init:" + _ended(ended)
        if waiting is not None and waiting.get("reason") not in {None, "", "PodInitializing"}:
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _ended(state: Json) -> str:
    if state.get("reason"):
        return str(state["reason"])
    if state.get("signal"):
        return f"Signal:{state['signal']}"
    return f"ExitCode:{state.get('exitCode', 0)}"


def _container_reason(status: Json, reason: str) -> str:
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        state = _state(container)
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting is not None and waiting.get("reason"):
            reason = str(waiting["reason"])
        elif ended is not None:
            reason = _ended(ended)
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or [])
        return "Running" if ready else "NotReady"
    return reason


def _restarts(spec: Json, status: Json, now: float) -> str:
    sidecars = _sidecars(spec)
    counted = list(status.get("containerStatuses") or [])
    initial = status.get("initContainerStatuses") or []
    if _init_reason(spec, status) and not _initialized(status):
        counted = list(initial)
    else:
        counted += [c for c in initial if c.get("name") in sidecars]
    total = sum(int(c.get("restartCount") or 0) for c in counted)
    ends = [parse_timestamp(at_path(c, "lastState", "terminated", "finishedAt")) for c in counted]
    last = max((end for end in ends if end is not None), default=None)
    return f"{total} ({human_duration(now - last)} ago)" if total and last is not None else str(total)


def template_cells(obj: Json) -> Cells:
    """What `-o wide` adds for everything with a pod template: containers, images, selector."""
    containers = at_path(obj, "spec", "template", "spec", "containers", default=[])
    return [
        ",".join(c.get("name", "") for c in containers),
        ",".join(c.get("image", "") for c in containers),
        selector_text(at_path(obj, "spec", "selector")),
    ]


def deployment(obj: Json, now: float) -> Cells:
    """Name, ready, up-to-date, available, age; wide: containers, images, selector."""
    status = obj.get("status", {})
    return [
        metadata(obj)["name"],
        f"{status.get('readyReplicas', 0)}/{at_path(obj, 'spec', 'replicas', default=1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(metadata(obj).get("creationTimestamp"), now),
        *template_cells(obj),
    ]


def replica_set(obj: Json, now: float) -> Cells:
    """Name, desired, current, ready, age; wide: containers, images, selector."""
    status = obj.get("status", {})
    return [
        metadata(obj)["name"],
        at_path(obj, "spec", "replicas", default=1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(metadata(obj).get("creationTimestamp"), now),
        *template_cells(obj),
    ]


def node(obj: Json, now: float) -> Cells:
    """Name, status, roles, age, version; wide: addresses, system, kernel, runtime."""
    status, labels = obj.get("status", {}), metadata(obj).get("labels") or {}
    ready = next((c.get("status") for c in status.get("conditions") or [] if c.get("type") == "Ready"), "Unknown")
    words = [{"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")]
    if at_path(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix) and key != prefix)
    addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or [])}
    info = status.get("nodeInfo", {})
    return [
        metadata(obj)["name"],
        ",".join(words),
        ",".join(roles) or _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]
