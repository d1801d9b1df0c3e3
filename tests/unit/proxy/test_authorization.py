"""The table of `istioctl x authz check`."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict

from plait.mesh.node import ProxyNode
from plait.proxy.authorization import policy_rows
from plait.simulate.configuration import Configuration
from plait.xds.engine import Engine, Upsert
from plait.xds.resource import ECDS, LDS

_RULE = {"to": [{"operation": {"ports": ["80"]}}]}
_REQUESTS = {"to": [{"operation": {"methods": ["GET"]}}]}


def policy(name: str, spec: dict[str, Any], **annotations: str) -> Upsert:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return Upsert(
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    )


def rows(*policies: Upsert) -> list[tuple[str, str, int]]:
    engine = Engine()
    engine.apply(policies)
    node = ProxyNode(kind="sidecar", ip="10.42.0.1", pod="web", namespace="shop", certificates=True)
    views = engine.attach(node)
    engine.take()
    held = Configuration.of(each for view in views for kind in (LDS, ECDS) for each in engine.resources(view, kind))
    dumped = [MessageToDict(each, preserving_proto_field_name=True) for each in held.listeners.values()]
    return [(row.action, row.policy, row.rules) for row in policy_rows(dumped)]


def test_every_policy_stands_once_with_its_rules() -> None:
    assert rows(
        policy("get", {"rules": [_RULE, {}]}),
        policy("nothing", {}),
        policy("no", {"action": "DENY", "rules": [_RULE]}),
        policy("note", {"action": "AUDIT", "rules": [_RULE]}),
        policy("tried", {"action": "DENY", "rules": [_RULE]}, **{"istio.io/dry-run": "true"}),
        policy("asked", {"action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [_RULE]}),
    ) == [
        # Nobody can be asked, so it denies.
        ("DENY", "asked.shop", 1),
        ("DENY", "no.shop", 1),
        ("ALLOW", "get.shop", 2),
        ("ALLOW", "nothing.shop", 1),
        ("LOG", "note.shop", 1),
        ("DENY (dry run)", "tried.shop", 1),
    ]


def test_rules_about_requests_allow_nothing_over_connections() -> None:
    assert rows(policy("get", {"rules": [_REQUESTS]})) == [
        ("ALLOW", "_anonymous_match_nothing_", 1),
        ("ALLOW", "get.shop", 1),
    ]
    assert rows() == []
