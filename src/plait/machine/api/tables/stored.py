"""Cells of kinds that are stored without effect: what was written, and nothing about what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.selectors import selector_text
from plait.machine.api.times import age

Json = dict[str, Any]
Cells = list[Any]

_NONE = "<none>"
_METRICS_SHOWN = 2
_CLASS = "volume.beta.kubernetes.io/storage-class"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def claim(obj: Json, now: float) -> Cells:
    """Name, status, volume with capacity and modes, classes, age; wide: mode."""
    spec, status, meta = obj.get("spec", {}), obj.get("status", {}), metadata(obj)
    bound = bool(spec.get("volumeName"))
    annotations = meta.get("annotations") or {}
    return [
        meta["name"],
        "Terminating" if meta.get("deletionTimestamp") else status.get("phase", ""),
        spec.get("volumeName", ""),
        str(at_path(status, "capacity", "storage", default=0)) if bound else "",
        ",".join(short for mode, short in _MODES.items() if bound and mode in (status.get("accessModes") or ())),
        annotations.get(_CLASS, spec.get("storageClassName", "")),
        spec.get("volumeAttributesClassName", "<unset>"),
        age(meta.get("creationTimestamp"), now),
        spec.get("volumeMode", "<unset>"),
    ]


def quota(obj: Json, now: float) -> Cells:
    """Name, bounds of requests and of limits, age."""
    hard = {**at_path(obj, "spec", "hard", default={}), **at_path(obj, "status", "hard", default={})}
    used = at_path(obj, "status", "used", default={})
    told = {name: f"{name}: {used.get(name, '<unknown>')}/{most}" for name, most in sorted(hard.items())}
    return [
        metadata(obj)["name"],
        ", ".join(text for name, text in told.items() if not name.startswith("limits.")),
        ", ".join(text for name, text in told.items() if name.startswith("limits.")),
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def autoscaler(obj: Json, now: float) -> Cells:
    """Name, reference, targets, bounds, replicas, age; how far the targets are reached is unknown."""
    spec = obj.get("spec", {})
    target = spec.get("scaleTargetRef") or {}
    return [
        metadata(obj)["name"],
        f"{target.get('kind')}/{target.get('name')}",
        _metrics(spec.get("metrics") or ()),
        str(spec.get("minReplicas", 1)),
        spec.get("maxReplicas", 0),
        at_path(obj, "status", "currentReplicas", default=0),
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def _metrics(metrics: Sequence[Json]) -> str:
    more = len(metrics) - _METRICS_SHOWN
    shown = ", ".join(map(_metric, metrics[:_METRICS_SHOWN]))
    return (f"{shown} + {more} more..." if more > 0 else shown) or _NONE


def _metric(metric: Json) -> str:
    kind = str(metric.get("type", ""))
    source: Json = metric.get(kind[:1].lower() + kind[1:]) or {}
    target = source.get("target") or {}
    average = target.get("averageValue")
    if kind in {"Resource", "ContainerResource"}:
        wanted = average or (f"{target['averageUtilization']}%" if target.get("averageUtilization") else "<auto>")
        return f"{source.get('name')}: <unknown>/{wanted}"
    if average:
        return f"<unknown>/{average}" + ("" if kind == "Pods" else " (avg)")
    return f"<unknown>/{target.get('value', '<unknown>')}"


def binding(obj: Json, now: float) -> Cells:
    """Name, role, age."""
    role = obj.get("roleRef") or {}
    return [
        metadata(obj)["name"],
        f"{role.get('kind')}/{role.get('name')}",
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def disruption_budget(obj: Json, now: float) -> Cells:
    """Name, the two bounds, disruptions allowed, age."""
    spec = obj.get("spec", {})
    return [
        metadata(obj)["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        at_path(obj, "status", "disruptionsAllowed", default=0),
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def network_policy(obj: Json, now: float) -> Cells:
    """Name, pods, age."""
    return [
        metadata(obj)["name"],
        selector_text(at_path(obj, "spec", "podSelector")) or _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
    ]
