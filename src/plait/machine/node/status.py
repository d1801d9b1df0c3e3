"""A pod's status from what its containers do, in the kubelet's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plait.machine.node.record import (
    ContainerRecord,
    PodRecord,
    Running,
    Terminated,
    Waiting,
    container_id,
    timestamp,
)

_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def pod_status(
    pod: Mapping[str, Any],
    record: PodRecord,
    *,
    told: Mapping[str, Any],
    host_ip: str,
    now: float,
    images: Mapping[str, str],
) -> dict[str, Any]:
    """The whole `status` of a pod. `told` is the status before, `images` gives an imageID per container.

    Conditions that others have set (readiness gates) are kept from the pod as it is; a condition whose status has not
    changed keeps its lastTransitionTime, so that an unchanged pod has an unchanged status.
    """
    spec = pod["spec"]
    init = [record.container(c["name"]) for c in spec.get("initContainers") or ()]
    main = [record.container(c["name"]) for c in spec["containers"]]
    phase = _phase(spec, init, main, record)
    conditions = _conditions(pod, record, init, main, phase)
    before = [c for c in told.get("conditions") or () if c["type"] in _OURS]
    before += [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] not in _OURS]
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": _with_times(conditions, before, now),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": told.get("startTime") or timestamp(record.created_at),
        "containerStatuses": [
            _container_status(record, c, images, first="PodInitializing" if init else "ContainerCreating")
            for c in sorted(main, key=lambda container: container.name)
        ],
        "qosClass": qos_class(spec),
    }
    if record.reason:
        status |= {"reason": record.reason, "message": record.message}
    if record.ip:
        status |= {"podIP": record.ip, "podIPs": [{"ip": record.ip}]}
    if init:
        status["initContainerStatuses"] = [_container_status(record, c, images) for c in init]
    if ephemeral := [record.container(c["name"]) for c in spec.get("ephemeralContainers") or ()]:
        status["ephemeralContainerStatuses"] = [
            _container_status(record, c, images, first="ContainerCreating") | {"ready": False} for c in ephemeral
        ]
    return status


def unscheduled_status(pod: Mapping[str, Any], message: str, now: float) -> dict[str, Any]:
    """The status of a pod that asks for a node that this one is not."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    before = (pod.get("status") or {}).get("conditions") or ()
    return {"phase": "Pending", "conditions": _with_times([condition], before, now), "qosClass": qos_class(pod["spec"])}


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """An init container that keeps running beside the others (Kubernetes' native sidecar)."""
    return bool(container.get("restartPolicy") == "Always")


def qos_class(spec: Mapping[str, Any]) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`, from requests and limits of cpu and memory."""
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    guaranteed, some = True, False
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            some |= name in limits or name in requests
            guaranteed &= name in limits and str(requests.get(name, limits[name])) == str(limits[name])
    return "Guaranteed" if guaranteed and some else "Burstable" if some else "BestEffort"


def _phase(
    spec: Mapping[str, Any], init: Sequence[ContainerRecord], main: Sequence[ContainerRecord], record: PodRecord
) -> str:
    if record.reason:
        return "Failed"
    policy = spec.get("restartPolicy") or "Always"
    if not record.initialized:
        sidecars = {c["name"] for c in spec.get("initContainers") or () if is_sidecar(c)}
        failed = any(isinstance(c.state, Terminated) and c.state.exit_code != 0 for c in init if c.name not in sidecars)
        return "Failed" if failed and policy == "Never" else "Pending"
    if record.completed:
        ended = [c.state for c in main if isinstance(c.state, Terminated)]
        return "Failed" if any(state.exit_code != 0 for state in ended) else "Succeeded"
    # Waiting for a first start is Pending; waiting to be started again is Running.
    fresh = all(isinstance(c.state, Waiting) and c.last is None for c in main)
    return "Pending" if fresh else "Running"


def _conditions(
    pod: Mapping[str, Any],
    record: PodRecord,
    init: Sequence[ContainerRecord],
    main: Sequence[ContainerRecord],
    phase: str,
) -> list[dict[str, Any]]:
    ready = _readiness([*main, *_sidecars(pod, record)], phase)
    gates = _gates(pod) if ready["status"] == "True" else None
    return [
        {"type": "PodReadyToStartContainers", "status": _truth(record.network)},
        _initialized(pod, record, init, phase),
        {"type": "Ready", **(gates or ready)},
        {"type": "ContainersReady", **ready},
        {"type": "PodScheduled", "status": "True"},
    ]


def _sidecars(pod: Mapping[str, Any], record: PodRecord) -> list[ContainerRecord]:
    return [record.container(c["name"]) for c in pod["spec"].get("initContainers") or () if is_sidecar(c)]


def _initialized(
    pod: Mapping[str, Any], record: PodRecord, init: Sequence[ContainerRecord], phase: str
) -> dict[str, Any]:
    if record.initialized or not init:
        reason = {"reason": "PodCompleted"} if phase == "Succeeded" else {}
        return {"type": "Initialized", "status": "True", **reason}
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if is_sidecar(c)}
    waited = [
        c.name
        for c in init
        if not (c.started if c.name in sidecars else isinstance(c.state, Terminated) and c.state.exit_code == 0)
    ]
    return {
        "type": "Initialized",
        "status": "False",
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(waited)}]",
    }


def _readiness(containers: Iterable[ContainerRecord], phase: str) -> dict[str, Any]:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    if unready := [c.name for c in containers if not c.ready]:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return {"status": "False", "reason": "ContainersNotReady", "message": message}
    return {"status": "True"}


def _gates(pod: Mapping[str, Any]) -> dict[str, Any] | None:
    """What keeps a pod of ready containers from being ready: readiness gates that others have not opened."""
    conditions = {c["type"]: c.get("status") for c in (pod.get("status") or {}).get("conditions") or ()}
    wanted = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    shut = [name for name in wanted if conditions.get(name) != "True"]
    if not shut:
        return None
    message = "; ".join(
        f'corresponding condition of pod readiness gate "{name}" '
        + (f'is "{conditions[name]}".' if name in conditions else "does not exist.")
        for name in shut
    )
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": message}


def _with_times(
    conditions: Sequence[dict[str, Any]], before: Iterable[Mapping[str, Any]], now: float
) -> list[dict[str, Any]]:
    earlier = {condition["type"]: condition for condition in before}
    result = []
    for condition in conditions:
        old = earlier.get(condition["type"])
        same = old is not None and old.get("status") == condition["status"]
        since = (old.get("lastTransitionTime") if same and old else None) or timestamp(now)
        result.append({**condition, "lastTransitionTime": since})
    foreign = [dict(c) for name, c in earlier.items() if name not in _OURS]
    return foreign + result


def _container_status(
    record: PodRecord, container: ContainerRecord, images: Mapping[str, str], *, first: str = "PodInitializing"
) -> dict[str, Any]:
    """`first` is what a container waits for that has never run: the init containers, or its own making."""
    state = container.state
    if state == Waiting(reason="PodInitializing"):
        state = Waiting(reason=first)
    status: dict[str, Any] = {
        "name": container.name,
        "image": container.image,
        "imageID": images.get(container.name, ""),
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": _state(state),
        "lastState": _state(container.last) if container.last else {},
    }
    if container.attempt >= 0:
        status["containerID"] = container_id(record.uid, container.name, container.attempt)
    return status


def _state(state: Waiting | Running | Terminated) -> dict[str, Any]:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started_at)}}
    ended: dict[str, Any] = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": timestamp(state.started_at) if state.started_at is not None else None,
        "finishedAt": timestamp(state.finished_at),
        "containerID": state.container_id,
    }
    if state.message:
        ended["message"] = state.message
    if state.signal is not None:
        ended["signal"] = state.signal
    return {"terminated": {key: value for key, value in ended.items() if value is not None}}


def _truth(value: bool) -> str:
    return "True" if value else "False"
