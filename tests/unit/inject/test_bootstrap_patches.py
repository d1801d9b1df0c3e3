"""EnvoyFilters for bootstraps: whose proxies they are for, in which order, and how they are merged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from plait.api.envoyfilter import EnvoyFilter
from plait.inject import bootstrap_patches, patched, with_patches

Json = dict[str, Any]


def rule(name: str, value: Json | None, *, namespace: str = "shop", created: str = "", **spec: Any) -> EnvoyFilter:
    match = spec.pop("match", None)
    operation = spec.pop("operation", "MERGE")
    patch = {"applyTo": "BOOTSTRAP", "match": match, "patch": {"operation": operation, "value": value}}
    meta = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return msgspec.convert({"metadata": meta, "spec": {"configPatches": [patch], **spec}}, EnvoyFilter)


def pod(*args: str, **labels: str) -> Json:
    proxy = {"name": "istio-proxy", "args": list(args or ("proxy", "sidecar")), "env": [{"name": "A", "value": "b"}]}
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}, proxy]}}


def chosen(*rules: EnvoyFilter, of: Json | None = None) -> list[str]:
    found = bootstrap_patches(rules, of or pod(app="web"), namespace="shop", root_namespace="istio-system")
    return [patch.origin for patch in found]


def test_the_order_is_priority_then_root_then_age() -> None:
    value = {"stats_flush_interval": "1s"}
    found = chosen(
        rule("new", value, created="2026-02-01T00:00:00Z"),
        rule("old", value, created="2026-01-01T00:00:00Z"),
        rule("root", value, namespace="istio-system", created="2026-03-01T00:00:00Z"),
        rule("early", value, priority=-1, created="2026-04-01T00:00:00Z"),
    )
    assert found == ["shop/early", "istio-system/root", "shop/old", "shop/new"]


@pytest.mark.parametrize(
    ("spec", "hit"),
    [
        ({}, True),
        ({"workloadSelector": {"labels": {"app": "web"}}}, True),
        ({"workloadSelector": {"labels": {"app": "other"}}}, False),
        ({"match": {"context": "SIDECAR_OUTBOUND"}}, True),
        ({"match": {"context": "GATEWAY"}}, False),
        ({"match": {"proxy": {"proxyVersion": r"^1\.3.*"}}}, True),
        ({"match": {"proxy": {"proxyVersion": r"^1\.9.*"}}}, False),
        ({"match": {"proxy": {"metadata": {"NAMESPACE": "bank"}}}}, False),
        ({"operation": "ADD"}, False),
        ({"namespace": "bank"}, False),
    ],
)
def test_whom_a_patch_is_for(spec: Json, hit: bool) -> None:
    assert bool(chosen(rule("f", {"stats_flush_interval": "1s"}, **spec))) == hit


def test_a_gateway_takes_those_for_gateways() -> None:
    found = rule("f", {"stats_flush_interval": "1s"}, match={"context": "GATEWAY"})
    assert chosen(found, of=pod("proxy", "router")) == ["shop/f"]


def test_patches_travel_in_the_proxys_environment_and_are_merged_there() -> None:
    value = {
        "stats_flush_interval": "1s",
        "static_resources": {"clusters": [{"name": "mine"}]},
        "tracing": {"http": {"typed_config": {"@type": "b", "x": 1}}},
    }
    patches = bootstrap_patches([rule("f", value)], pod(), namespace="shop", root_namespace="istio-system")
    made = with_patches(pod(), patches)
    app, proxy = made["spec"]["containers"]
    assert app == {"name": "app"}
    env = {item["name"]: item["value"] for item in proxy["env"]}
    assert env["A"] == "b"
    before = {
        "node": {"id": "x"},
        "static_resources": {"clusters": [{"name": "xds-grpc"}], "listeners": []},
        "tracing": {"http": {"typed_config": {"@type": "a", "y": 2}}},
    }
    after, origins = patched(before, env)
    assert origins == ("shop/f",)
    assert after == {
        "node": {"id": "x"},
        "stats_flush_interval": "1s",
        "static_resources": {"clusters": [{"name": "xds-grpc"}, {"name": "mine"}], "listeners": []},
        "tracing": {"http": {"typed_config": {"@type": "b", "x": 1}}},
    }
    assert patched(before, {}) == (before, ())
