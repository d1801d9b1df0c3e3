"""Rules for Deployments and ReplicaSets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import FieldError, forbidden, invalid, required
from plait.machine.api.schema.validation.metadata import immutable
from plait.machine.api.schema.validation.pods import validate_template
from plait.machine.api.schema.validation.values import (
    at_least,
    count_or_percent,
    one_of,
    selects,
    validate_selector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def validate_deployment(deployment: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A Deployment; its selector never changes."""
    spec = deployment.get("spec") or {}
    yield from at_least(spec.get("replicas"), 0, "spec.replicas")
    yield from _selector_and_template(spec, "deployment")
    yield from _strategy(spec.get("strategy") or {}, "spec.strategy")
    ready = spec.get("minReadySeconds", 0)
    yield from at_least(ready, 0, "spec.minReadySeconds")
    yield from at_least(spec.get("revisionHistoryLimit"), 0, "spec.revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    yield from at_least(deadline, 0, "spec.progressDeadlineSeconds")
    if deadline is not None and deadline <= ready:
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    if old is not None:
        yield from immutable(spec.get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")


def validate_replica_set(replica_set: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A ReplicaSet; its selector never changes."""
    spec = replica_set.get("spec") or {}
    yield from at_least(spec.get("replicas"), 0, "spec.replicas")
    yield from at_least(spec.get("minReadySeconds"), 0, "spec.minReadySeconds")
    yield from _selector_and_template(spec, "replicaset")
    if old is not None:
        yield from immutable(spec.get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")


def _selector_and_template(spec: dict[str, Any], what: str) -> Iterator[FieldError]:
    selector, template = spec.get("selector"), spec.get("template")
    faults: list[FieldError] = []
    if selector is None:
        faults.append(required("spec.selector"))
    else:
        faults += validate_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            faults.append(invalid("spec.selector", selector, f"empty selector is invalid for {what}"))
    yield from faults
    if not template:
        yield required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not faults and not selects(selector or {}, labels):
        yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from validate_template(template, "spec.template")


def _strategy(strategy: dict[str, Any], path: str) -> Iterator[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    yield from one_of(kind, ("Recreate", "RollingUpdate"), f"{path}.type")
    if kind == "Recreate" and rolling is not None:
        yield forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if kind != "RollingUpdate" or rolling is None:
        return
    where = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from count_or_percent(unavailable, f"{where}.maxUnavailable")
    yield from count_or_percent(surge, f"{where}.maxSurge")
    if _zero(unavailable) and _zero(surge):
        yield invalid(f"{where}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if isinstance(unavailable, str) and unavailable[:-1].isdigit() and int(unavailable[:-1]) > 100:
        yield invalid(f"{where}.maxUnavailable", unavailable, "must not be greater than 100%")


def _zero(value: int | str | None) -> bool:
    return value == 0 or (isinstance(value, str) and value.rstrip("%").isdigit() and int(value.rstrip("%")) == 0)
