"""Policies of Istio 1.0 as PeerAuthentications."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.former_policies import peers_of


def policy(spec: dict[str, Any], kind: str = "MeshPolicy", name: str = "default") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": "shop"} if kind == "Policy" else {})
    return {"apiVersion": "authentication.istio.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({"peers": [{"mtls": {}}]}, "STRICT"),
        ({"peers": [{"mtls": {"mode": "STRICT"}}]}, "STRICT"),
        ({"peers": [{"mtls": {"mode": "PERMISSIVE"}}]}, "PERMISSIVE"),
        ({"peers": [{"mtls": {"mode": "PERMISSIVE"}}, {"mtls": {}}]}, "PERMISSIVE"),
        ({"peers": [{"mtls": {"allowTls": False}}], "principalBinding": "USE_PEER"}, "STRICT"),
        ({}, "DISABLE"),
    ],
)
@pytest.mark.parametrize(("kind", "namespace"), [("MeshPolicy", "istio-system"), ("Policy", "shop")])
def test_what_they_say_is_said_by_a_mode(spec: dict[str, Any], mode: str, kind: str, namespace: str) -> None:
    peers, problems = peers_of(policy(spec, kind), root="istio-system")
    assert problems == ()
    assert peers is not None
    assert (peers.namespace, peers.spec) == (namespace, {"mtls": {"mode": mode}})
    assert f"namespace: {namespace}}}, spec: {{mtls: {{mode: {mode}}}}}" in peers.yaml


@pytest.mark.parametrize(
    ("spec", "path", "fix"),
    [
        ({"peers": [{"mtls": {}}, {}]}, "spec.peers[1]", "mtls: {}"),
        ({"peers": [{"mtls": {"allowTls": True}}]}, "spec.peers[0].mtls.allowTls", "mode: PERMISSIVE"),
        ({"peers": [{"jwt": {"issuer": "me"}}]}, "spec.peers[0].jwt", "RequestAuthentication"),
        ({"peerIsOptional": True}, "spec.peerIsOptional", "PERMISSIVE"),
        ({"origins": [{"jwt": {"issuer": "me"}}]}, "spec.origins", "RequestAuthentication"),
        ({"principalBinding": "USE_ORIGIN"}, "spec.principalBinding", "requestPrincipals"),
        ({"peers": [{"jwt": {}}]}, "spec.peers[0].jwt.issuer", "iss claim"),
    ],
)
def test_what_cannot_be_said_is_told_with_todays_kind(spec: dict[str, Any], path: str, fix: str) -> None:
    peers, problems = peers_of(policy(spec), root="istio-system")
    assert peers is None
    assert fix in {problem.path: problem.fix for problem in problems}[path]


def test_a_policy_for_one_service_is_not_converted() -> None:
    spec = {"targets": [{"name": "carts", "ports": [{"number": 80}]}], "peers": [{"mtls": {}}]}
    peers, (problem,) = peers_of(policy(spec, "Policy", "carts"), root="istio-system")
    assert peers is None
    assert problem.path == "spec.targets[0]"
    assert problem.fix.endswith("selector.matchLabels of the pods of 'carts', and portLevelMtls")


def test_the_policy_of_the_mesh_has_one_name() -> None:
    peers, (problem,) = peers_of(policy({}, name="strict"), root="istio-system")
    assert peers is None
    assert problem.path == "metadata.name"
