"""PeerAuthentications: which mode holds for a workload and its ports, and which object says so."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.decode import decode
from plait.mesh.peers import DEFAULT, PeerMode, peer_policies
from plait.snapshot.reader import recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

WEB = (("app", "web"), ("version", "v1"))


def policy(name: str, namespace: str, mode: str | None, *, age: int = 1, ports: Any = None, **labels: str) -> Any:
    spec: dict[str, Any] = {"mtls": {"mode": mode}} if mode else {}
    if labels:
        spec["selector"] = {"matchLabels": labels}
    if ports:
        spec["portLevelMtls"] = {port: {"mode": value} for port, value in ports.items()}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-{30 - age:02}T00:00:00Z"}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def mode(*objects: Any, namespace: str = "shop", labels: Any = WEB, port: int = 8080) -> tuple[str, str]:
    changes = []
    for obj in objects:
        found = decode(obj)
        assert found.key is not None
        assert found.value is not None, found.problems
        changes.append(ObjectChange(found.key, found.value))
    snapshot, _ = advance(Snapshot(), changes)
    reader, _ = recording(snapshot)
    result = peer_policies(reader, namespace, "istio-system").of(labels).at(port)
    return result.mode, str(result.origin) if result.origin else ""


def test_without_any_it_is_permissive() -> None:
    assert mode() == ("PERMISSIVE", "")
    assert PeerMode() == DEFAULT


MESH = policy("default", "istio-system", "STRICT")
SHOP = policy("default", "shop", "PERMISSIVE")
CASES: dict[str, tuple[list[Any], dict[str, Any], tuple[str, str]]] = {
    "the mesh's": ([MESH], {}, ("STRICT", "PeerAuthentication/istio-system/default spec.mtls")),
    "the namespace's before it": ([MESH, SHOP], {}, ("PERMISSIVE", "PeerAuthentication/shop/default spec.mtls")),
    "another namespace's does not count": (
        [MESH, SHOP], {"namespace": "bank"}, ("STRICT", "PeerAuthentication/istio-system/default spec.mtls"),
    ),
    "one that leaves it open inherits": (
        [MESH, policy("default", "shop", "UNSET")], {},
        ("STRICT", "PeerAuthentication/istio-system/default spec.mtls"),
    ),
    "the workload's own": (
        [MESH, SHOP, policy("web", "shop", "DISABLE", app="web")], {},
        ("DISABLE", "PeerAuthentication/shop/web spec.mtls"),
    ),
    "one for other labels": (
        [MESH, policy("web", "shop", "DISABLE", app="other")], {},
        ("STRICT", "PeerAuthentication/istio-system/default spec.mtls"),
    ),
    "of several of one level the oldest": (
        [policy("b", "shop", "DISABLE", age=3), policy("a", "shop", "STRICT", age=2)], {},
        ("DISABLE", "PeerAuthentication/shop/b spec.mtls"),
    ),
    "the oldest that leaves it open does not give way to a younger one": (
        [policy("b", "shop", "UNSET", age=3), policy("a", "shop", "STRICT", age=2)], {}, ("PERMISSIVE", ""),
    ),
    "a port's own": (
        [policy("web", "shop", "STRICT", app="web", ports={"8080": "DISABLE"})], {},
        ("DISABLE", "PeerAuthentication/shop/web spec.portLevelMtls[8080]"),
    ),
    "another port": (
        [policy("web", "shop", "STRICT", app="web", ports={"8080": "DISABLE"})], {"port": 81},
        ("STRICT", "PeerAuthentication/shop/web spec.mtls"),
    ),
    "a port that leaves it open": (
        [MESH, policy("web", "shop", None, app="web", ports={"8080": "UNSET"})], {},
        ("STRICT", "PeerAuthentication/istio-system/default spec.mtls"),
    ),
    "a selector in the root namespace selects nobody": (
        [policy("web", "istio-system", "STRICT", app="web")], {"namespace": "istio-system"}, ("PERMISSIVE", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_most_specific_one_that_says_something_holds(case: str) -> None:
    objects, asked, expected = CASES[case]
    assert mode(*objects, **asked) == expected
    assert mode(*reversed(objects), **asked) == expected
