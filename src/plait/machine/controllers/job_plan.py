"""What a Job's pods and status should be. Pure.

The order of conditions is that of Kubernetes: SuccessCriteriaMet or FailureTarget as soon as it is clear how the Job
ends, Complete or Failed once none of its pods runs any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from plait.machine.controllers.conditions import find_condition, with_condition
from plait.machine.controllers.job_indexes import completed_indexes, format_indexes, index_of, next_indexes
from plait.machine.controllers.objects import format_time, is_deleting, parse_time
from plait.machine.controllers.pods import deletion_order, has_ended, is_active, is_ready

if TYPE_CHECKING:
    from datetime import datetime

Object = dict[str, Any]

#: As many pods at most are made in one pass.
_BURST = 500
#: Seconds before a pod that failed is replaced: doubled by each failure.
_BACKOFF_FIRST, _BACKOFF_MOST = 10.0, 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How many pods of a Job have ended, those that are gone already included."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now. `create` has the index of each pod to make (None where pods have none); `remove` says that the
    Job's time is over; `again` is after how many seconds time alone will change something.
    """

    status: Object
    create: tuple[int | None, ...] = ()
    delete: tuple[Object, ...] = ()
    remove: bool = False
    again: float | None = None
    events: tuple[tuple[str, str, str], ...] = field(default=())


def is_finished(job: Object) -> bool:
    """Complete or Failed."""
    return any(_true(job.get("status") or {}, kind) for kind in ("Complete", "Failed"))


def plan_job(job: Object, pods: Sequence[Object], ended: Ended, *, now: datetime) -> Plan:
    """What a Job needs, given its pods."""
    if is_finished(job):
        return _finished(job, pods, now)
    spec, status = job["spec"], dict(job.get("status") or {})
    active = [pod for pod in pods if is_active(pod)]
    indexes = completed_indexes(job, pods) if spec.get("completionMode") == "Indexed" else None
    succeeded = ended.succeeded if indexes is None else len(indexes)
    _count(status, pods, active, succeeded=succeeded, failed=ended.failed, indexes=indexes)
    if spec.get("suspend"):
        return _suspended(status, active, now)
    if _true(status, "Suspended"):
        status["conditions"] = _set(status, "Suspended", "False", "JobResumed", "Job resumed", now)
        status.pop("startTime", None)
    status.setdefault("startTime", format_time(now))
    waits = [_deadline_left(spec, status, now)]
    outcome = _outcome(job, status, pods, succeeded=succeeded, failed=ended.failed, now=now)
    if outcome is not None:
        return _ending(status, pods, active, outcome, now)
    surplus = len(active) - _wanted(spec, len(active), succeeded)
    if surplus > 0:
        doomed = sorted(active, key=deletion_order)[:surplus]
        return Plan(status=status, delete=tuple(doomed), again=_soonest(waits))
    waits.append(_backoff_left(pods, now))
    if surplus == 0 or waits[-1]:
        return Plan(status=status, again=_soonest(waits))
    missing = min(-surplus, _BURST)
    made: tuple[int | None, ...] = (None,) * missing
    if indexes is not None:
        made = next_indexes(missing, int(spec["completions"]), {*indexes, *_indexes_of(active)})
    return Plan(status=status, create=made, again=_soonest(waits))


def _finished(job: Object, pods: Sequence[Object], now: datetime) -> Plan:
    """Nothing runs any more; what is left is the Job's own end."""
    status = job["status"]
    left = tuple(pod for pod in pods if is_active(pod))
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None:
        return Plan(status=status, delete=left)
    condition = next(c for c in status["conditions"] if c["type"] in {"Complete", "Failed"} and c["status"] == "True")
    end = parse_time(condition.get("lastTransitionTime")) or now
    wait = (end + timedelta(seconds=seconds) - now).total_seconds()
    return Plan(status=status, delete=left, remove=wait <= 0, again=wait if wait > 0 else None)


def _suspended(status: Object, active: Sequence[Object], now: datetime) -> Plan:
    events = () if _true(status, "Suspended") else (("Normal", "Suspended", "Job suspended"),)
    status["conditions"] = _set(status, "Suspended", "True", "JobSuspended", "Job suspended", now)
    status.pop("startTime", None)
    return Plan(status=status, delete=tuple(active), events=events)


def _outcome(
    job: Object, status: Object, pods: Sequence[Object], *, succeeded: int, failed: int, now: datetime
) -> tuple[bool, str, str] | None:
    """Whether the Job has succeeded, with reason and message; None while that is open."""
    for kind, good in (("SuccessCriteriaMet", True), ("FailureTarget", False)):
        known = find_condition(status.get("conditions"), kind)
        if known is not None and known["status"] == "True":
            return good, known.get("reason", ""), known.get("message", "")
    spec = job["spec"]
    limit = int(spec.get("backoffLimit", 6))
    restarts = _restarts(pods) if spec["template"]["spec"].get("restartPolicy") == "OnFailure" else 0
    if failed > limit or restarts > limit or (restarts and restarts == limit):
        return False, "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if _deadline_left(spec, status, now) == 0:
        return False, "DeadlineExceeded", "Job was active longer than specified deadline"
    completions = spec.get("completions")
    if completions is None:
        done = succeeded > 0 and not any(is_active(pod) for pod in pods)
    else:
        done = succeeded >= completions
    return (True, "CompletionsReached", "Reached expected number of succeeded pods") if done else None


def _ending(
    status: Object, pods: Sequence[Object], active: Sequence[Object], outcome: tuple[bool, str, str], now: datetime
) -> Plan:
    good, reason, message = outcome
    first, last = ("SuccessCriteriaMet", "Complete") if good else ("FailureTarget", "Failed")
    status["conditions"] = _set(status, first, "True", reason, message, now)
    if any(not has_ended(pod) for pod in pods):
        return Plan(status=status, delete=tuple(active))
    status["conditions"] = _set(status, last, "True", reason, message, now)
    for name in ("active", "ready", "terminating"):
        status.pop(name, None)
    if good:
        status["completionTime"] = format_time(now)
        return Plan(status=status, events=(("Normal", "Completed", "Job completed"),), again=0.0)
    return Plan(status=status, events=(("Warning", reason, message),), again=0.0)


def _count(
    status: Object,
    pods: Sequence[Object],
    active: Sequence[Object],
    *,
    succeeded: int,
    failed: int,
    indexes: set[int] | None,
) -> None:
    counts = {
        "active": len(active),
        "ready": sum(is_ready(pod) for pod in active),
        "terminating": sum(is_deleting(pod) and not has_ended(pod) for pod in pods),
        "succeeded": succeeded,
        "failed": failed,
    }
    for name, value in counts.items():
        if value or name in {"ready", "terminating"}:
            status[name] = value
        else:
            status.pop(name, None)
    if indexes is not None:
        status["completedIndexes"] = format_indexes(indexes)
        if not indexes:
            status.pop("completedIndexes")


def _wanted(spec: Mapping[str, Any], active: int, succeeded: int) -> int:
    """How many pods shall run."""
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        # A queue of work: once one pod has found it empty no more are started.
        return min(parallelism, active) if succeeded else parallelism
    return min(parallelism, max(0, int(completions) - succeeded))


def _deadline_left(spec: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds until the Job has taken too long; 0 when it has, None where it may take any time."""
    seconds, start = spec.get("activeDeadlineSeconds"), parse_time(status.get("startTime"))
    if seconds is None or start is None:
        return None
    return max(0.0, (start + timedelta(seconds=seconds) - now).total_seconds())


def _backoff_left(pods: Iterable[Object], now: datetime) -> float | None:
    """Seconds until a pod that failed may be replaced; none once one has succeeded after it."""
    ends = sorted(
        (end, (pod.get("status") or {})["phase"] == "Failed")
        for pod in pods
        if has_ended(pod) and (end := _end_of(pod)) is not None
    )
    failures, last = 0, None
    for end, failed in ends:
        failures, last = (failures + 1, end) if failed else (0, None)
    if last is None:
        return None
    wait = min(_BACKOFF_FIRST * 2.0 ** min(failures - 1, 10), _BACKOFF_MOST)
    left = (last + timedelta(seconds=wait) - now).total_seconds()
    return left if left > 0 else None


def _end_of(pod: Object) -> datetime | None:
    ends = [
        parse_time(((item.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for item in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    known = [end for end in ends if end is not None]
    return max(known) if known else parse_time(pod["metadata"].get("creationTimestamp"))


def _restarts(pods: Iterable[Object]) -> int:
    return sum(
        int(item.get("restartCount", 0))
        for pod in pods
        if not has_ended(pod)
        for item in (pod.get("status") or {}).get("containerStatuses") or ()
    )


def _indexes_of(pods: Iterable[Object]) -> set[int]:
    return {index for pod in pods if (index := index_of(pod)) is not None}


def _soonest(waits: Iterable[float | None]) -> float | None:
    known = [wait for wait in waits if wait is not None]
    return min(known) if known else None


def _true(status: Mapping[str, Any], kind: str) -> bool:
    condition = find_condition(status.get("conditions"), kind)
    return condition is not None and condition["status"] == "True"


def _set(  # noqa: PLR0917  (the parts of a condition, in their order)
    status: Object, kind: str, value: str, reason: str, message: str, now: datetime
) -> list[Object]:
    """With the time of the probe that Jobs have in their conditions."""
    time = format_time(now)
    made = with_condition(
        status.get("conditions") or [], kind, value, reason=reason, message=message, now=time, updates=False
    )
    return [item if "lastProbeTime" in item else {**item, "lastProbeTime": time} for item in made]
