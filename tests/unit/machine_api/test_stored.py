"""Kinds without effect show what was written, in the columns that kubectl's users know."""

from __future__ import annotations

from typing import Any

import pytest

SCALED = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
CPU = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
ROLE = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}


@pytest.mark.parametrize(
    ("resource", "body", "cells"),
    [
        (
            "autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            {"spec": {"scaleTargetRef": SCALED, "maxReplicas": 3, "metrics": [{"type": "Resource", "resource": CPU}]}},
            {
                "Reference": "Deployment/web",
                "Targets": "cpu: <unknown>/80%",
                "MinPods": "1",
                "MaxPods": 3,
                "Replicas": 0,
            },
        ),
        ("rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {"roleRef": ROLE}, {"Role": "Role/r"}),
        (
            "policy/v1/namespaces/default/poddisruptionbudgets",
            {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
            {"Min Available": "1", "Max Unavailable": "N/A", "Allowed Disruptions": 0},
        ),
        (
            "networking.k8s.io/v1/namespaces/default/networkpolicies",
            {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
            {"Pod-Selector": "a=b"},
        ),
        (
            "autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            {"spec": {"scaleTargetRef": SCALED, "maxReplicas": 3}},
            {"Targets": "cpu: <unknown>/80%", "MinPods": "1"},
        ),
        (
            "scheduling.k8s.io/v1/priorityclasses",
            {"value": 10},
            {"Value": 10, "PreemptionPolicy": "PreemptLowerPriority"},
        ),
    ],
)
async def test_what_was_written_shows(cluster: Any, resource: str, body: Any, cells: dict[str, Any]) -> None:
    await shows(cluster, f"/apis/{resource}", body, cells)


@pytest.mark.parametrize(
    ("plural", "spec", "cells"),
    [
        (
            "persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"},
            {
                "Status": "Pending",
                "Volume": "",
                "Capacity": "",
                "Access Modes": "",
                "StorageClass": "s",
                "VolumeAttributesClass": "<unset>",
                "VolumeMode": "Filesystem",
            },
        ),
        (
            "resourcequotas",
            {"hard": {"pods": "4", "limits.cpu": "2"}},
            {"Request": "pods: <unknown>/4", "Limit": "limits.cpu: <unknown>/2"},
        ),
    ],
)
async def test_what_was_written_of_the_first_group_shows(
    cluster: Any, plural: str, spec: Any, cells: dict[str, Any]
) -> None:
    await shows(cluster, f"/api/v1/namespaces/default/{plural}", {"spec": spec}, cells)


async def shows(cluster: Any, path: str, body: Any, cells: dict[str, Any]) -> None:
    await cluster.made(path, {"metadata": {"name": "x"}, **body})
    _, table, _ = await cluster.ask("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    names = [each["name"] for each in table["columnDefinitions"]]
    (row,) = table["rows"]
    shown = dict(zip(names, row["cells"], strict=True))
    assert {name: shown[name] for name in cells} == cells
    assert shown["Name"] == "x"


async def test_an_autoscaler_is_among_all(cluster: Any) -> None:
    await cluster.kubectl("create", "deployment", "web", "--image=x:1")
    await cluster.kubectl("autoscale", "deployment", "web", "--max=3")
    out, _ = await cluster.kubectl("get", "all", "-o", "name")
    assert "horizontalpodautoscaler.autoscaling/web" in out.split()
