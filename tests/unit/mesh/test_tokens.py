"""RequestAuthentications: which of them are for a workload, and where the keys of their rules are to be fetched."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.decode import decode
from plait.mesh.tokens import token_policies, token_rules
from plait.snapshot.reader import recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance
from plait.snapshot.tokens import key_sources

WEB = (("app", "web"), ("version", "v1"))
EDGE = (("gateway.networking.k8s.io/gateway-name", "edge"), ("istio", "gw"))
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}


def policy(name: str, namespace: str = "shop", *issuers: str, **spec: Any) -> dict[str, Any]:
    rules = [{"issuer": issuer, "jwks": '{"keys": [{"kty": "oct", "k": "YQ"}]}'} for issuer in issuers or (name,)]
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"jwtRules": rules, **spec},
    }


def snapshot_of(*objects: dict[str, Any]) -> Snapshot:
    changes = []
    for obj in objects:
        found = decode(obj)
        assert found.key is not None
        assert found.value is not None, found.problems
        changes.append(ObjectChange(found.key, found.value))
    return advance(Snapshot(), changes)[0]


def rules(*objects: dict[str, Any], namespace: str = "shop", labels: Any = WEB) -> list[str]:
    reader, _ = recording(snapshot_of(*objects))
    found = token_rules(reader, token_policies(reader, namespace, "istio-system").of(labels))
    return [f"{each.origin.object.name}:{each.rule.issuer}" for each in found]


def selecting(**labels: str) -> dict[str, Any]:
    return {"selector": {"matchLabels": labels}}


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = {
    "none": ([], {}, []),
    "the namespace's": ([policy("a")], {}, ["a:a"]),
    "another namespace's": ([policy("a", "bank")], {}, []),
    "the root namespace's": ([policy("a", "istio-system")], {}, ["a:a"]),
    "the root namespace's that selects": ([policy("a", "istio-system", **selecting(app="web"))], {}, ["a:a"]),
    "one that selects": ([policy("a", **selecting(app="web", version="v1"))], {}, ["a:a"]),
    "one that selects others": ([policy("a", **selecting(app="web", version="v2"))], {}, []),
    "all that choose it, by issuer": (
        [policy("b", "shop", "z", "c"), policy("a", "istio-system", "y", "b")], {}, ["a:b", "b:c", "a:y", "b:z"],
    ),
    "of one issuer the root namespace's first": (
        [policy("own", "shop", "i"), policy("mesh", "istio-system", "i")], {}, ["mesh:i", "own:i"],
    ),
    "a Gateway's": ([policy("a", targetRefs=[GATEWAY])], {"labels": EDGE}, ["a:a"]),
    "a Gateway's, for another workload": ([policy("a", targetRef=GATEWAY)], {}, []),
    "a Gateway's of another namespace": ([policy("a", "istio-system", targetRefs=[GATEWAY])], {"labels": EDGE}, []),
    "a Service's: there are no waypoints": (
        [policy("a", targetRefs=[{"group": "", "kind": "Service", "name": "web"}])], {}, [],
    ),
    "one without rules": ([policy("a", jwtRules=[])], {}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_which_rules_hold(case: str) -> None:
    objects, where, expected = CASES[case]
    assert rules(*objects, **where) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"issuer": "https://i", "jwks": '{"keys": [{"kty": "oct", "k": "YQ"}]}'}, None),
        ({"issuer": "i", "jwksUri": "https://k/x"}, ("https://k/x", False, "spec.jwtRules[0].jwksUri")),
        ({"issuer": "i", "jwks_uri": "https://k/x"}, ("https://k/x", False, "spec.jwtRules[0].jwksUri")),
        ({"jwksUri": "https://k/x"}, ("https://k/x", False, "spec.jwtRules[0].jwksUri")),
        (
            {"issuer": "https://i/"},
            ("https://i/.well-known/openid-configuration", True, "spec.jwtRules[0].issuer"),
        ),
        ({"issuer": "me@example.com"}, None),
    ],
)
def test_where_keys_are(rule: dict[str, Any], expected: tuple[str, bool, str] | None) -> None:
    found = snapshot_of(policy("a", jwtRules=[{**rule, "timeout": "3s"}])).get(key_sources()) or ()
    assert [(*each.source, each.path) for each in found] == ([expected] if expected else [])
    assert all(each.patience == "3s" for each in found)
