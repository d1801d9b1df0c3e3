"""What a Sidecar leaves of the mesh, and that it costs only what it leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2

from plait.xds.engine import Engine, Remove, Upsert

ISTIO = "networking.istio.io"


@pytest.fixture
def clusters(k8s: SimpleNamespace) -> Any:
    """The hosts that a sidecar of `shop` with label app=a can call."""

    def look(*objects: dict[str, Any], **labels: str) -> list[str]:
        found = k8s.read(k8s.view_of(objects, k8s.sidecar("shop", **labels)), cluster_pb2, "Cluster")
        return sorted({name.rpartition("|")[2].partition(".svc")[0] for name in found if name.startswith("outbound|")})

    return look


def world(k8s: SimpleNamespace) -> list[dict[str, Any]]:
    return [k8s.service("a"), k8s.service("b"), k8s.service("a", "bank"), k8s.service("c", "bank")]


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["*/*"], ["a.bank", "a.shop", "b.shop", "c.bank"]),
        (["./*"], ["a.shop", "b.shop"]),
        (["bank/*"], ["a.bank", "c.bank"]),
        (["~/*"], []),
        (["./a.shop.svc.cluster.local"], ["a.shop"]),
        (["bank/a.shop.svc.cluster.local"], []),
        (["*/c.bank.svc.cluster.local"], ["c.bank"]),
        (["*/*.bank.svc.cluster.local", "./b.shop.svc.cluster.local"], ["a.bank", "b.shop", "c.bank"]),
        (["~/*", "./b.shop.svc.cluster.local"], ["b.shop"]),
    ],
)
def test_hosts_are_imported_by_namespace_and_name(
    k8s: SimpleNamespace, clusters: Any, hosts: list[str], seen: list[str]
) -> None:
    assert clusters(*world(k8s), k8s.sidecar_object("default", hosts=hosts)) == seen


def test_the_sidecar_that_selects_comes_before_its_namespaces_and_that_before_the_roots(
    k8s: SimpleNamespace, clusters: Any
) -> None:
    root = k8s.sidecar_object("default", "istio-system", hosts=["bank/*"])
    own = k8s.sidecar_object("default", hosts=["./a.shop.svc.cluster.local"])
    chosen = k8s.sidecar_object("chosen", hosts=["~/*"], workloadSelector={"labels": {"app": "a"}})
    assert clusters(*world(k8s), root) == ["a.bank", "c.bank"]
    assert clusters(*world(k8s), root, own) == ["a.shop"]
    assert clusters(*world(k8s), root, own, chosen) == ["a.shop"]
    assert clusters(*world(k8s), root, own, chosen, app="a") == []
    both = k8s.sidecar_object("both", hosts=["~/*"], workloadSelector={"labels": {"app": "a", "version": "1"}})
    assert clusters(*world(k8s), own, both, app="a") == ["a.shop"], "it carries only one of the labels"
    assert clusters(*world(k8s), own, both, app="a", version="1") == []


def test_destinations_of_imported_rules_come_along(k8s: SimpleNamespace, clusters: Any) -> None:
    to = [{"route": [k8s.to("c.bank.svc.cluster.local", port=80)]}]
    rule = k8s.virtual_service("a", hosts=["a"], http=to)
    scope = k8s.sidecar_object("default", hosts=["./a.shop.svc.cluster.local"])
    assert clusters(*world(k8s), scope, rule) == ["a.shop", "c.bank"]


def test_a_rule_is_imported_when_it_covers_an_imported_host(k8s: SimpleNamespace) -> None:
    rule = k8s.virtual_service("wild", hosts=["*.example.org"], http=[{"route": [k8s.to("a", port=80)]}])
    scope = k8s.sidecar_object("default", hosts=["*/one.example.org", "./a.shop.svc.cluster.local"])
    found = k8s.read(k8s.view_of([*world(k8s), rule, scope], k8s.sidecar("shop")), route_pb2, "RouteConfiguration")
    assert [host.name for host in found["80"].virtual_hosts if host.name != "allow_any"] == [
        "*.example.org:80",
        "a.shop.svc.cluster.local:80",
    ]


def test_proxies_move_when_a_sidecar_comes_and_goes(k8s: SimpleNamespace) -> None:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in world(k8s))
    node = k8s.sidecar("shop")
    before = engine.attach(node)
    engine.take()
    engine.apply([Upsert(k8s.sidecar_object("default", hosts=["./*"]))])
    ((moved, views),) = engine.moved()
    assert moved == node
    assert views != before
    engine.take()
    engine.apply([Remove(ISTIO, "Sidecar", "shop", "default")])
    assert engine.moved() == ((node, before),)


def test_what_a_scope_does_not_see_costs_it_nothing(k8s: SimpleNamespace) -> None:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in world(k8s))
    engine.apply([Upsert(k8s.sidecar_object("default", hosts=["./*"]))])
    engine.attach(k8s.sidecar("shop"))
    engine.take()
    before = sum(engine.computed.values())
    engine.apply([Upsert(k8s.service("new", "bank")), Upsert(k8s.endpoints("a", "bank", pods={"x": "10.0.0.9"}))])
    assert engine.take() == ()
    assert sum(engine.computed.values()) == before
