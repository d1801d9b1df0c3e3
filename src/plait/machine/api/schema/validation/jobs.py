"""Rules for Jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import forbidden, invalid, not_supported, required
from plait.machine.api.schema.validation.metadata import immutable, validate_labels
from plait.machine.api.schema.validation.pods import validate_pod_spec
from plait.machine.api.schema.validation.values import at_least, one_of, selects, validate_selector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.machine.api.schema.fields import FieldError

_NUMBERS = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
_POLICIES = ("Never", "OnFailure")
#: As upstream: as many indexes as status can list.
_MOST_INDEXES = 100_000


def validate_job(job: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A Job; what its pods are made of never changes."""
    spec = job.get("spec") or {}
    for name in _NUMBERS:
        yield from at_least(spec.get(name), 0, f"spec.{name}")
    yield from _mode(spec)
    yield from one_of(spec.get("podReplacementPolicy"), ("TerminatingOrFailed", "Failed"), "spec.podReplacementPolicy")
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
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        # What everybody writes first: the default of a pod template.
        yield not_supported("spec.template.spec.restartPolicy", policy, list(_POLICIES))
    else:
        yield from one_of(policy, _POLICIES, "spec.template.spec.restartPolicy")
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield from validate_labels(labels, "spec.template.metadata.labels")
    yield from validate_pod_spec(template.get("spec") or {}, "spec.template.spec")
    if old is not None:
        yield from _update(spec, old.get("spec") or {})


def _mode(spec: dict[str, Any]) -> Iterator[FieldError]:
    mode, count = spec.get("completionMode"), spec.get("completions")
    yield from one_of(mode, ("NonIndexed", "Indexed"), "spec.completionMode")
    if mode == "Indexed":
        if count is None:
            yield required("spec.completions", "when completion mode is Indexed")
        elif count > _MOST_INDEXES:
            yield invalid("spec.completions", count, f"must be less than or equal to {_MOST_INDEXES} when Indexed")
    for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy", "podFailurePolicy"):
        if spec.get(name) is not None:
            yield forbidden(f"spec.{name}", "is not served on this machine; use backoffLimit")


def _update(spec: dict[str, Any], old: dict[str, Any]) -> Iterator[FieldError]:
    for name in ("completionMode", "selector", "podReplacementPolicy"):
        yield from immutable(spec.get(name), old.get(name), f"spec.{name}")
    if spec.get("completionMode") != "Indexed":
        yield from immutable(spec.get("completions"), old.get("completions"), "spec.completions")
    if spec.get("template") != old.get("template") and not (old.get("suspend") and spec.get("suspend")):
        yield from immutable(spec.get("template"), old.get("template"), "spec.template")
