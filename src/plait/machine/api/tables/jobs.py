"""Cells of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.tables.workloads import template_cells
from plait.machine.api.times import age, human_duration, parse_timestamp

Json = dict[str, Any]

_STATES = {"Complete": "Complete", "Failed": "Failed", "FailureTarget": "FailureTarget", "Suspended": "Suspended"}


def job(obj: Json, now: float) -> list[Any]:
    """Name, status, completions, duration, age; wide: containers, images, selector."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    true = {item.get("type") for item in status.get("conditions") or [] if item.get("status") == "True"}
    state = next((shown for kind, shown in _STATES.items() if kind in true), None)
    if state is None:
        state = "Terminating" if metadata(obj).get("deletionTimestamp") else "Running"
    return [
        metadata(obj)["name"],
        state,
        f"{status.get('succeeded', 0)}/{_wanted(spec)}",
        _duration(status, now),
        age(metadata(obj).get("creationTimestamp"), now),
        *template_cells(obj),
    ]


def cron_job(obj: Json, now: float) -> list[Any]:
    """Name, schedule, time zone, suspend, active, last schedule, age; wide: containers, images, selector."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    last = status.get("lastScheduleTime")
    return [
        metadata(obj)["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or "<none>",
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        age(last, now) if last else "<none>",
        age(metadata(obj).get("creationTimestamp"), now),
        *template_cells(spec.get("jobTemplate") or {}),
    ]


def _wanted(spec: Json) -> str:
    completions, parallelism = spec.get("completions"), at_path(spec, "parallelism", default=1)
    if completions is not None:
        return str(completions)
    return f"1 of {parallelism}" if parallelism > 1 else "1"


def _duration(status: Json, now: float) -> str:
    start = parse_timestamp(status.get("startTime") or "")
    if start is None:
        return ""
    end = parse_timestamp(status.get("completionTime") or "")
    return human_duration((now if end is None else end) - start)
