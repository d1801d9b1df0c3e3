"""Defaults of Deployments and ReplicaSets."""

from __future__ import annotations

from typing import Any

from plait.machine.api.schema.defaults.pods import default_template
from plait.machine.api.schema.defaults.setting import put, section


def default_deployment(deployment: dict[str, Any]) -> None:
    """One replica, a rolling update by quarters, ten old ReplicaSets, ten minutes to make progress."""
    spec = section(deployment, "spec")
    for name, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        if spec.get(name) is None:
            spec[name] = value
    strategy = section(spec, "strategy")
    put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        for name in ("maxUnavailable", "maxSurge"):
            if rolling.get(name) is None:
                rolling[name] = "25%"
    default_template(section(spec, "template"))
    section(deployment, "status")


def default_replica_set(replica_set: dict[str, Any]) -> None:
    """One replica."""
    spec = section(replica_set, "spec")
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if "template" in spec:
        default_template(section(spec, "template"))
    section(replica_set, "status").setdefault("replicas", 0)
