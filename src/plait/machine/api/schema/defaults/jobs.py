"""Defaults of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from plait.machine.api.schema.defaults.pods import default_template
from plait.machine.api.schema.defaults.setting import put, section


def default_job(job: dict[str, Any]) -> None:
    """One pod at a time, one success, six retries; a Job that says how many at a time may leave the number open."""
    spec = section(job, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for name, value in (("parallelism", 1), ("backoffLimit", 6), ("suspend", False)):
        if spec.get(name) is None:
            spec[name] = value
    put(spec, completionMode="NonIndexed", podReplacementPolicy="TerminatingOrFailed")
    default_template(section(spec, "template"))
    section(job, "status")


def default_cron_job(cron: dict[str, Any]) -> None:
    """Jobs may run beside each other; three that succeeded and one that failed are kept.

    As upstream, of what its Jobs are made of only the pod template gets defaults here.
    """
    spec = section(cron, "spec")
    for name, value in (("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        if spec.get(name) is None:
            spec[name] = value
    put(spec, concurrencyPolicy="Allow")
    default_template(section(section(section(spec, "jobTemplate"), "spec"), "template"))
    section(cron, "status")
