"""Which AuthorizationPolicies hold for a workload."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.decode import decode
from plait.mesh.authorization import policies_for
from plait.snapshot.chosen import GATEWAY_NAME
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

_API = "gateway.networking.k8s.io"
#: name, namespace, spec beside an empty list of rules, creation
POLICIES: list[tuple[str, str, dict[str, Any], str]] = [
    ("everywhere", "istio-system", {}, "2026-01-05T00:00:00Z"),
    ("every-web", "istio-system", {"selector": {"matchLabels": {"app": "web"}}}, "2026-01-04T00:00:00Z"),
    ("shop", "shop", {}, "2026-01-03T00:00:00Z"),
    ("web", "shop", {"selector": {"matchLabels": {"app": "web", "version": "v1"}}}, "2026-01-02T00:00:00Z"),
    ("others", "other", {}, "2026-01-01T00:00:00Z"),
    ("edge", "shop", {"targetRefs": [{"group": _API, "kind": "Gateway", "name": "edge"}]}, "2026-01-06T00:00:00Z"),
    ("service", "shop", {"targetRef": {"group": "", "kind": "Service", "name": "web"}}, "2026-01-07T00:00:00Z"),
]


def reader() -> Reader:
    changes = []
    for name, namespace, spec, created in POLICIES:
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
        obj = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
        decoded = decode(obj)
        assert decoded.key is not None
        assert decoded.value is not None, decoded.problems
        changes.append(ObjectChange(decoded.key, decoded.value))
    snapshot, _ = advance(Snapshot(), changes)
    return Reader(snapshot.get, snapshot.domain)


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("shop", (("app", "web"), ("version", "v1")), ["every-web", "everywhere", "web", "shop"]),
        ("shop", (("app", "web"), ("version", "v2")), ["every-web", "everywhere", "shop"]),
        ("shop", (), ["everywhere", "shop"]),
        ("other", (("app", "web"),), ["every-web", "everywhere", "others"]),
        ("empty", (), ["everywhere"]),
        ("istio-system", (("app", "web"),), ["every-web", "everywhere"]),
        # Of a Gateway of the Gateway API.
        ("shop", ((GATEWAY_NAME, "edge"),), ["everywhere", "shop", "edge"]),
        ("other", ((GATEWAY_NAME, "edge"),), ["everywhere", "others"]),
    ],
)
def test_a_workload_has_those_of_the_mesh_its_namespace_and_its_own(
    namespace: str, labels: Labels, expected: list[str]
) -> None:
    assert [key.name for key in policies_for(reader(), namespace, labels, "istio-system")] == expected
