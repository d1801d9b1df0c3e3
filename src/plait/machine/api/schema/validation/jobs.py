"""Rules for Jobs and CronJobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import forbidden, invalid, not_supported, required
from plait.machine.api.schema.validation.metadata import immutable, validate_labels
from plait.machine.api.schema.validation.pods import validate_pod_spec
from plait.machine.api.schema.validation.values import at_least, one_of, selects, validate_selector
from plait.machine.schedules import parse_schedule, parse_zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.machine.api.schema.fields import FieldError

_NUMBERS = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
_POLICIES = ("Never", "OnFailure")
#: As upstream: as many indexes as status can list.
_MOST_INDEXES = 100_000
#: So that the minute fits behind it in the name of a Job.
_LONGEST_NAME = 52


def validate_job(job: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A Job; what its pods are made of never changes."""
    spec = job.get("spec") or {}
    yield from _numbers(spec, "spec")
    template, selector = spec.get("template"), spec.get("selector")
    if not template:
        yield required("spec.template")
        return
    if selector is None:
        yield required("spec.selector")
    else:
        yield from validate_selector(selector, "spec.selector")
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not selects(selector, labels):
            yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from _template(template, "spec.template")
    if old is not None:
        yield from _update(spec, old.get("spec") or {})


def validate_cron_job(cron: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A CronJob; everything about it may change."""
    spec, name = cron.get("spec") or {}, (cron.get("metadata") or {}).get("name") or ""
    if old is None and len(name) > _LONGEST_NAME:
        yield invalid("metadata.name", name, f"must be no more than {_LONGEST_NAME} characters")
    yield from _times(spec)
    yield from one_of(spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from at_least(spec.get(field), 0, f"spec.{field}")
    given = spec.get("jobTemplate") or {}
    at, job = "spec.jobTemplate.spec", given.get("spec") or {}
    yield from validate_labels((given.get("metadata") or {}).get("labels") or {}, "spec.jobTemplate.metadata.labels")
    yield from _numbers(job, at)
    if job.get("selector") is not None:
        yield invalid(f"{at}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield not_supported(f"{at}.manualSelector", True, ["nil", "false"])
    if job.get("template"):
        yield from _template(job["template"], f"{at}.template")
    else:
        yield required(f"{at}.template")


def _times(spec: dict[str, Any]) -> Iterator[FieldError]:
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        yield required("spec.schedule")
    else:
        try:
            parse_schedule(schedule)
        except ValueError as error:
            yield invalid("spec.schedule", schedule, str(error))
    if zone is None:
        return
    try:
        if not zone or zone.lower() == "local":
            raise ValueError("timeZone must be nil or the name of a time zone, not empty or Local")  # noqa: TRY301
        parse_zone(zone)
    except ValueError as error:
        yield invalid("spec.timeZone", zone, str(error))


def _template(template: dict[str, Any], at: str) -> Iterator[FieldError]:
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        # What everybody writes first: the default of a pod template.
        yield not_supported(f"{at}.spec.restartPolicy", policy, list(_POLICIES))
    else:
        yield from one_of(policy, _POLICIES, f"{at}.spec.restartPolicy")
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield from validate_labels(labels, f"{at}.metadata.labels")
    yield from validate_pod_spec(template.get("spec") or {}, f"{at}.spec")


def _numbers(spec: dict[str, Any], at: str) -> Iterator[FieldError]:
    for name in _NUMBERS:
        yield from at_least(spec.get(name), 0, f"{at}.{name}")
    mode, count = spec.get("completionMode"), spec.get("completions")
    yield from one_of(mode, ("NonIndexed", "Indexed"), f"{at}.completionMode")
    if mode == "Indexed":
        if count is None:
            yield required(f"{at}.completions", "when completion mode is Indexed")
        elif count > _MOST_INDEXES:
            yield invalid(f"{at}.completions", count, f"must be less than or equal to {_MOST_INDEXES} when Indexed")
    for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy", "podFailurePolicy"):
        if spec.get(name) is not None:
            yield forbidden(f"{at}.{name}", "is not served on this machine; use backoffLimit")
    yield from one_of(spec.get("podReplacementPolicy"), ("TerminatingOrFailed", "Failed"), f"{at}.podReplacementPolicy")


def _update(spec: dict[str, Any], old: dict[str, Any]) -> Iterator[FieldError]:
    for name in ("completionMode", "selector", "podReplacementPolicy"):
        yield from immutable(spec.get(name), old.get(name), f"spec.{name}")
    if spec.get("completionMode") != "Indexed":
        yield from immutable(spec.get("completions"), old.get("completions"), "spec.completions")
    if spec.get("template") != old.get("template") and not (old.get("suspend") and spec.get("suspend")):
        yield from immutable(spec.get("template"), old.get("template"), "spec.template")
