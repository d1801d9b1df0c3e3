"""Cells of kinds that are stored without effect: what was written, and nothing about what it would do."""

from __future__ import annotations

from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.selectors import selector_text
from plait.machine.api.times import age

Json = dict[str, Any]
Cells = list[Any]

_NONE = "<none>"


def autoscaler(obj: Json, now: float) -> Cells:
    """Name, reference, targets, bounds, replicas, age; how far the targets are reached is unknown."""
    spec = obj.get("spec", {})
    target = spec.get("scaleTargetRef") or {}
    return [
        metadata(obj)["name"],
        f"{target.get('kind')}/{target.get('name')}",
        ", ".join(map(_metric, spec.get("metrics") or ())) or _NONE,
        str(spec.get("minReplicas", 1)),
        spec.get("maxReplicas", 0),
        at_path(obj, "status", "currentReplicas", default=0),
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def _metric(metric: Json) -> str:
    source: Json = metric.get(
        {"Resource": "resource", "ContainerResource": "containerResource"}.get(metric["type"], ""), {}
    )
    target = source.get("target") or {}
    wanted = f"{target['averageUtilization']}%" if target.get("averageUtilization") else target.get("averageValue")
    return f"{source.get('name')}: <unknown>/{wanted}" if source else f"<unknown>/{metric['type']}"


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
