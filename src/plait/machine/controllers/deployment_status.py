"""What a Deployment says of itself: counts and conditions, in the words that kubectl and helm look for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.controllers.conditions import find_condition, with_condition, without_condition
from plait.machine.controllers.objects import format_time, parse_time
from plait.machine.controllers.templates import wanted_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from plait.machine.controllers.rolling import Budget

Object = dict[str, Any]

#: A deadline this long or longer means none (2**31 - 1 seconds is how it is written).
_NO_DEADLINE = 2147483647

NEW_CREATED = "NewReplicaSetCreated"
NEW_FOUND = "FoundNewReplicaSet"
NEW_AVAILABLE = "NewReplicaSetAvailable"
UPDATED = "ReplicaSetUpdated"
FAILED_CREATE = "ReplicaSetCreateError"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"


def is_complete(deployment: Object, status: Object) -> bool:
    """All replicas are new and available, and none of the old are left."""
    wanted = wanted_count(deployment)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    )


def has_deadline(deployment: Object) -> bool:
    """Whether progress is watched."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds < _NO_DEADLINE


def counted_status(
    deployment: Object, new: Object | None, sets: Sequence[Object], *, budget: Budget, now: str
) -> Object:
    """Counts and the condition Available; other conditions as they are."""

    def total(each: Sequence[Object], field: str) -> int:
        return sum(int((item.get("status") or {}).get(field) or 0) for item in each)

    old = deployment.get("status") or {}
    available = total(sets, "availableReplicas")
    asked = sum(wanted_count(item) for item in sets)
    counts = {
        "replicas": total(sets, "replicas"),
        "updatedReplicas": total([new] if new else [], "replicas"),
        "readyReplicas": total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, asked - available),
        "collisionCount": int(old.get("collisionCount") or 0),
    }
    enough = available >= budget.least
    conditions = with_condition(
        old.get("conditions") or (),
        "Available",
        "True" if enough else "False",
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message="Deployment has minimum availability." if enough else "Deployment does not have minimum availability.",
        now=now,
    )
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    return status | {key: value for key, value in counts.items() if value} | {"conditions": conditions}


def rollout_status(
    deployment: Object, new: Object | None, sets: Sequence[Object], *, budget: Budget, now: datetime
) -> tuple[Object, float | None]:
    """The status, and after how many seconds the progress deadline has to be looked at."""
    stamp = format_time(now)
    old = deployment.get("status") or {}
    status = counted_status(deployment, new, sets, budget=budget, now=stamp)
    conditions = status["conditions"]
    if has_deadline(deployment) and not deployment["spec"].get("paused"):
        conditions = _progress(deployment, new, status, now=now)
    elif not has_deadline(deployment):
        conditions = without_condition(conditions, "Progressing")
    status["conditions"] = _failures(conditions, new, sets)
    return status, _deadline_in(deployment, status, old, now)


def progressing(deployment: Object, status: str, *, reason: str, message: str, now: datetime) -> Object:
    """The present status with another word on progress, if progress is watched."""
    old = deployment.get("status") or {}
    if not has_deadline(deployment):
        return old
    # Refreshed, since each new ReplicaSet starts the clock of the progress deadline anew.
    conditions = with_condition(
        old.get("conditions") or (),
        "Progressing",
        status,
        reason=reason,
        message=message,
        now=format_time(now),
        refresh=True,
    )
    return old | {"conditions": conditions}


def _progress(deployment: Object, new: Object | None, status: Object, *, now: datetime) -> list[Object]:
    conditions: list[Object] = status["conditions"]
    stamp = format_time(now)
    old = deployment.get("status") or {}
    known = find_condition(conditions, "Progressing")
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    settled = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if settled and known and known.get("reason") == NEW_AVAILABLE:
        return conditions
    if is_complete(deployment, status):
        return with_condition(
            conditions,
            "Progressing",
            "True",
            reason=NEW_AVAILABLE,
            message=f"{subject} has successfully progressed.",
            now=stamp,
        )
    if _moved(status, old):
        return with_condition(
            conditions,
            "Progressing",
            "True",
            reason=UPDATED,
            message=f"{subject} is progressing.",
            now=stamp,
            refresh=True,
        )
    if known and _timed_out(deployment, known, now):
        return with_condition(
            conditions,
            "Progressing",
            "False",
            reason=TIMED_OUT,
            message=f"{subject} has timed out progressing.",
            now=stamp,
        )
    if known is None and new is not None:
        return with_condition(
            conditions,
            "Progressing",
            "True",
            reason=NEW_FOUND,
            message=f'Found new replica set "{new["metadata"]["name"]}"',
            now=stamp,
        )
    return conditions


def _moved(status: Object, old: Object) -> bool:
    def leftover(each: Object) -> int:
        return int(each.get("replicas", 0)) - int(each.get("updatedReplicas", 0))

    return (
        status.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or leftover(status) < leftover(old)
        or status.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or status.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def _timed_out(deployment: Object, condition: Object, now: datetime) -> bool:
    if condition.get("reason") == NEW_AVAILABLE:
        return False
    if condition.get("reason") == TIMED_OUT:
        return True
    since = parse_time(condition.get("lastUpdateTime"))
    seconds = int(deployment["spec"]["progressDeadlineSeconds"])
    return since is not None and (now - since).total_seconds() > seconds


def _deadline_in(deployment: Object, status: Object, old: Object, now: datetime) -> float | None:
    """Whole seconds are all that a stamp holds, hence the second more."""
    condition = find_condition(status["conditions"], "Progressing")
    if condition is None or condition.get("reason") in {NEW_AVAILABLE, TIMED_OUT, PAUSED}:
        return None
    if not has_deadline(deployment) or is_complete(deployment, old):
        return None
    since = parse_time(condition.get("lastUpdateTime"))
    if since is None:
        return None
    return max(1.0, int(deployment["spec"]["progressDeadlineSeconds"]) - (now - since).total_seconds() + 1.0)


def _failures(conditions: list[Object], new: Object | None, sets: Sequence[Object]) -> list[Object]:
    """A ReplicaSet that cannot make its pods makes its Deployment say so; the new one's word counts first."""
    for each in ([new] if new else []) + list(sets):
        found = find_condition((each.get("status") or {}).get("conditions"), "ReplicaFailure")
        if found and found.get("status") == "True":
            return with_condition(
                conditions,
                "ReplicaFailure",
                "True",
                reason=found.get("reason", ""),
                message=found.get("message", ""),
                now=found["lastTransitionTime"],
            )
    return without_condition(conditions, "ReplicaFailure")
