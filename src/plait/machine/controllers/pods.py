"""What the state of a pod means to those who count pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.controllers.objects import annotations_of, is_deleting, parse_time

if TYPE_CHECKING:
    from datetime import datetime

Object = dict[str, Any]

_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def has_ended(pod: Object) -> bool:
    """Succeeded or Failed: it will not run again."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def is_active(pod: Object) -> bool:
    """It counts as a replica."""
    return not has_ended(pod) and not is_deleting(pod)


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None if it is not."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return parse_time(condition.get("lastTransitionTime")) or parse_time(pod["metadata"]["creationTimestamp"])
    return None


def is_ready(pod: Object) -> bool:
    """Its Ready condition is True."""
    return ready_since(pod) is not None


def seconds_to_available(pod: Object, *, min_ready: int, now: datetime) -> float | None:
    """0 when it has been ready for `min_ready` seconds, else what is missing; None while it is not ready."""
    since = ready_since(pod)
    if since is None:
        return None
    return max(0.0, min_ready - (now - since).total_seconds()) if min_ready > 0 else 0.0


def deletion_order(pod: Object) -> tuple[Any, ...]:
    """A sort key: the pod whose end hurts least comes first, as in Kubernetes.

    Not yet on a node, then by phase, then not ready, cheaper by annotation, ready for a shorter time, more restarts,
    younger.
    """
    status = pod.get("status") or {}
    since = ready_since(pod)
    restarts = max((item.get("restartCount", 0) for item in status.get("containerStatuses") or ()), default=0)
    created = parse_time(pod["metadata"].get("creationTimestamp"))
    try:
        cost = int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        cost = 0
    return (
        bool((pod.get("spec") or {}).get("nodeName")),
        _PHASE_RANK.get(status.get("phase") or "Pending", 0),
        since is not None,
        cost,
        -since.timestamp() if since else 0.0,
        -restarts,
        -created.timestamp() if created else 0.0,
        pod["metadata"]["name"],
    )
