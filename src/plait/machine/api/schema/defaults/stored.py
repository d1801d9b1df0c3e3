"""Defaults of kinds that are stored without effect: what is read back is what any cluster would answer."""

from __future__ import annotations

from typing import Any, Final

from plait.machine.api.schema.defaults.setting import entries, part, put, section

_RBAC: Final = "rbac.authorization.k8s.io"
_CPU_PERCENT: Final = 80
#: Scaling up: by four pods or by all there are, whichever is more; down: to the least at once.
_UP: Final = (("Pods", 4), ("Percent", 100))
_DOWN: Final = (("Percent", 100),)
_PERIOD_SECONDS: Final = 15


def default_autoscaler(autoscaler: dict[str, Any]) -> None:
    """One pod at least, 80 % of the CPU that was asked for, and the rules of a `behavior` that has some."""
    spec = section(autoscaler, "spec")
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if isinstance(behavior := spec.get("behavior"), dict):
        for name, policies in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            rules = section(behavior, name)
            put(rules, selectPolicy="Max")
            if name == "scaleUp" and rules.get("stabilizationWindowSeconds") is None:
                rules["stabilizationWindowSeconds"] = 0
            if rules.get("policies") is None:
                rules["policies"] = [
                    {"type": kind, "value": value, "periodSeconds": _PERIOD_SECONDS} for kind, value in policies
                ]


def default_network_policy(policy: dict[str, Any]) -> None:
    """About ingress, and about egress where it has rules for it; of all pods if of none; ports are TCP."""
    spec = section(policy, "spec")
    section(spec, "podSelector")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in entries(spec, direction):
            for port in entries(rule, "ports"):
                put(port, protocol="TCP")


def default_claim(claim: dict[str, Any]) -> None:
    """A file system, for which no volume has been found."""
    put(section(claim, "spec"), volumeMode="Filesystem")
    put(section(claim, "status"), phase="Pending")


def default_limit_range(limits: dict[str, Any]) -> None:
    """Of containers: the usual limit is the largest, and the usual request the usual limit, or the least."""
    for item in entries(part(limits, "spec"), "limits"):
        if item.get("type") == "Container":
            usual = {**part(item, "max"), **part(item, "default")}
            request = {**part(item, "min"), **usual, **part(item, "defaultRequest")}
            item |= {name: value for name, value in (("default", usual), ("defaultRequest", request)) if value}


def default_priority_class(priority: dict[str, Any]) -> None:
    """Others give way."""
    put(priority, preemptionPolicy="PreemptLowerPriority")


def default_binding(binding: dict[str, Any]) -> None:
    """Roles, users and groups are in the group of permissions."""
    put(section(binding, "roleRef"), apiGroup=_RBAC)
    for subject in entries(binding, "subjects"):
        if subject.get("kind") in {"User", "Group"}:
            put(subject, apiGroup=_RBAC)
