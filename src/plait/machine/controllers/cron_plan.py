"""Which Job a CronJob starts now, and which of its old ones go. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from plait.machine.controllers.job_plan import is_finished
from plait.machine.controllers.objects import controller_reference, format_time, parse_time
from plait.machine.schedules import Schedule, parse_schedule, parse_zone

Object = dict[str, Any]

SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
#: More missed times than these are worth a Warning.
_MANY: Final = 100
_KEPT: Final = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class CronPlan:
    """What to do now. `due` is the time that a Job is started for; `again` is when to look again, in seconds."""

    status: Object
    due: datetime | None = None
    delete: tuple[Object, ...] = ()
    again: float | None = None
    events: tuple[tuple[str, str, str], ...] = ()


def plan_cron_job(cron: Object, jobs: Sequence[Object], *, now: datetime) -> CronPlan:
    """What a CronJob needs, given its Jobs."""
    spec, before = cron["spec"], cron.get("status") or {}
    running = [job for job in jobs if not is_finished(job)]
    status = dict(before)
    events = _ends(status, before, jobs)
    _set_active(status, running)
    old = tuple(_too_old(spec, jobs))
    try:
        schedule, zone = parse_schedule(spec["schedule"]), parse_zone(spec.get("timeZone"))
    except ValueError as error:
        events.append(("Warning", "UnparseableSchedule", f"unparseable schedule: {spec['schedule']!r} : {error}"))
        return CronPlan(status=status, delete=old, events=tuple(events))
    if spec.get("suspend"):
        return CronPlan(status=status, delete=old, events=tuple(events))
    last = parse_time(before.get("lastScheduleTime"))
    start = last or parse_time(cron["metadata"].get("creationTimestamp")) or now
    grace = spec.get("startingDeadlineSeconds")
    if grace is not None:
        start = max(start, now - timedelta(seconds=grace))
    due = schedule.last(start, now, zone)
    if due is None:
        return CronPlan(status=status, delete=old, again=_until(schedule.after(now, zone), now), events=tuple(events))
    again = _until(schedule.after(due if schedule.every else now, zone), now)
    if _missed_many(schedule, start, now, zone):
        said = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        events.append(("Warning", "TooManyMissedTimes", said))
    if running and spec.get("concurrencyPolicy") == "Forbid":
        said = "Not starting job because prior execution is running and concurrency policy is Forbid"
        events.append(("Normal", "JobAlreadyActive", said))
        return CronPlan(status=status, delete=old, again=again, events=tuple(events))
    replaced = running if spec.get("concurrencyPolicy") == "Replace" else []
    if replaced:
        status.pop("active", None)
    return CronPlan(status=status, due=due, delete=(*old, *replaced), again=again, events=tuple(events))


def job_for(cron: Object, due: datetime) -> Object:
    """The Job of that time; its name has the minute, so that no time gets two."""
    template = copy.deepcopy(cron["spec"]["jobTemplate"])
    given, name = template.get("metadata") or {}, cron["metadata"]["name"]
    zone = parse_zone(cron["spec"].get("timeZone"))
    stamp = due.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    meta: Object = {
        "name": f"{name}-{int(due.timestamp()) // 60}",
        "namespace": cron["metadata"]["namespace"],
        "annotations": {**(given.get("annotations") or {}), SCHEDULED: stamp},
        "ownerReferences": [controller_reference(cron)],
    }
    if given.get("labels"):
        meta["labels"] = given["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]}


def with_started(status: Object, job: Object | None, due: datetime) -> Object:
    """The status once that time's Job has been made; None if another's Job has its name."""
    status = {**status, "lastScheduleTime": format_time(due)}
    if job is not None and not is_finished(job):
        others = [ref for ref in status.get("active") or () if ref["uid"] != job["metadata"]["uid"]]
        status["active"] = [*others, _reference(job)]
    return status


def _ends(status: Object, before: Object, jobs: Sequence[Object]) -> list[tuple[str, str, str]]:
    """Events about Jobs that ran when last looked at; the time of the last success goes into the status."""
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    events = []
    for ref in before.get("active") or ():
        job = by_uid.get(ref.get("uid"))
        if job is None:
            events.append(("Normal", "MissingJob", f"Active job went missing: {ref.get('name')}"))
        elif is_finished(job):
            kind = "Complete" if _ended(job, "Complete") else "Failed"
            events.append(("Normal", "SawCompletedJob", f"Saw completed job: {ref['name']}, condition: {kind}"))
    good = [job["status"]["completionTime"] for job in jobs if (job.get("status") or {}).get("completionTime")]
    if good:
        # All times are written alike, so their texts sort by time.
        status["lastSuccessfulTime"] = max([*good, status.get("lastSuccessfulTime") or ""])
    return events


def _set_active(status: Object, running: Sequence[Object]) -> None:
    if running:
        status["active"] = [_reference(job) for job in running]
    else:
        status.pop("active", None)


def _reference(job: Object) -> Object:
    meta = job["metadata"]
    own = {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
    return {"apiVersion": "batch/v1", "kind": "Job", **own}


def _too_old(spec: Object, jobs: Sequence[Object]) -> list[Object]:
    found: list[Object] = []
    for condition, field, usual in _KEPT:
        limit = spec.get(field)
        ended = sorted((job for job in jobs if _ended(job, condition)), key=_start)
        found += ended[: max(0, len(ended) - (usual if limit is None else limit))]
    return found


def _start(job: Object) -> tuple[str, str]:
    return (job.get("status") or {}).get("startTime") or "", job["metadata"]["name"]


def _ended(job: Object, condition: str) -> bool:
    items = (job.get("status") or {}).get("conditions") or ()
    return any(item["type"] == condition and item["status"] == "True" for item in items)


def _missed_many(schedule: Schedule, start: datetime, now: datetime, zone: Any) -> bool:
    moment: datetime | None = start
    for _ in range(_MANY + 1):
        moment = schedule.after(moment, zone) if moment is not None else None
        if moment is None or moment > now:
            return False
    return True


def _until(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (moment - now).total_seconds())
