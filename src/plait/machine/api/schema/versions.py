"""One stored object, several versions: most differ in `apiVersion` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.machine.api.schema.normal import copied

if TYPE_CHECKING:
    from plait.machine.api.schema.kinds import ServedKind


_OLD_AUTOSCALER: Final = "autoscaling/v1"


def to_storage(kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
    """A copy in the stored version.

    A Deployment of an old group gets the selector it did not have to name (its template's labels) and loses rollbackTo;
    its other defaults are those of apps/v1. An autoscaler's one percentage of old becomes a metric.
    """
    given = obj.get("apiVersion")
    made: dict[str, Any] = copied(obj)
    made["apiVersion"] = kind.api_version
    if kind.kind == "Deployment" and given != kind.api_version:
        spec = made.get("spec")
        if isinstance(spec, dict):
            spec.pop("rollbackTo", None)
            labels = _template_labels(spec)
            if not spec.get("selector") and labels:
                spec["selector"] = {"matchLabels": dict(labels)}
    if given == _OLD_AUTOSCALER and isinstance(spec := made.get("spec"), dict):
        percent = spec.pop("targetCPUUtilizationPercentage", None)
        if percent is not None:
            target = {"type": "Utilization", "averageUtilization": percent}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return made


def to_version(kind: ServedKind, obj: dict[str, Any], api_version: str) -> dict[str, Any]:
    """A stored object as a client of another version sees it (a shallow copy)."""
    if api_version == kind.api_version:
        return obj
    made = {**obj, "apiVersion": api_version}
    if api_version == _OLD_AUTOSCALER and isinstance(spec := made.get("spec"), dict):
        metrics = spec.get("metrics") or ()
        made["spec"] = {name: value for name, value in spec.items() if name not in {"metrics", "behavior"}}
        percents = [percent for metric in metrics if (percent := _cpu_percent(metric)) is not None]
        if percents:
            made["spec"]["targetCPUUtilizationPercentage"] = percents[0]
    return made


def _cpu_percent(metric: dict[str, Any]) -> int | None:
    resource = metric.get("resource") or {}
    percent: int | None = (resource.get("target") or {}).get("averageUtilization")
    return percent if resource.get("name") == "cpu" else None


def _template_labels(spec: dict[str, Any]) -> dict[str, Any]:
    value: Any = spec
    for name in ("template", "metadata", "labels"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
