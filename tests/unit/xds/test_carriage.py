"""Which objects a publication carries, and to which views."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from plait.api.meta import ObjectKey
from plait.xds.engine import Engine, Remove, Upsert


def numbered(obj: dict[str, Any], generation: int) -> Upsert:
    obj["metadata"]["generation"] = generation
    return Upsert(obj)


@pytest.fixture
def engine(k8s: SimpleNamespace) -> Engine:
    """Two namespaces with a service each that only their own sidecars see, and a gateway."""
    made = Engine()
    for namespace in ("red", "blue"):
        made.apply(
            [
                Upsert(k8s.service("web", namespace, annotations={"networking.istio.io/exportTo": "."})),
                Upsert(k8s.endpoints("web", namespace, pods={"web-1": "10.1.0.1"})),
            ]
        )
        made.attach(k8s.sidecar(namespace, app="caller"))
    made.apply([Upsert(k8s.gateway("edge", "red"))])
    made.attach(k8s.router())
    made.take()
    made.carried()
    return made


def rule(k8s: SimpleNamespace, namespace: str, path: str, generation: int) -> Upsert:
    http = [{"match": [{"uri": {"prefix": path}}], "route": [k8s.to("web")]}]
    return numbered(k8s.virtual_service("web", namespace, hosts=["web"], http=http, exportTo=["."]), generation)


def take(engine: Engine) -> dict[str, tuple[int, set[str], bool]]:
    engine.take()
    return {str(c.object): (c.generation, set(c.views), c.endpoints_only) for c in engine.carried()}


def test_one_object_answers_for_everything(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1)])
    assert take(engine) == {"VirtualService/red/web": (1, {"out/red"}, False)}
    assert engine.carried() == ()


def test_several_objects_answer_for_what_they_changed(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1), rule(k8s, "blue", "/a", 1)])
    take(engine)
    engine.apply([rule(k8s, "red", "/b", 2)])
    engine.apply([rule(k8s, "blue", "/b", 2), Upsert(k8s.endpoints("web", "red", pods={"web-1": "10.1.0.2"}))])
    assert take(engine) == {
        "VirtualService/red/web": (2, {"out/red"}, False),
        "VirtualService/blue/web": (2, {"out/blue"}, False),
    }


def test_a_gateway_and_its_first_rule_both_concern_the_proxies_of_the_gateway(
    engine: Engine, k8s: SimpleNamespace
) -> None:
    inside = k8s.virtual_service("web", "blue", hosts=["*"], gateways=["door"], http=[{"route": [k8s.to("web")]}])
    engine.apply([numbered(k8s.gateway("door", "blue"), 1), numbered(inside, 1), Upsert(k8s.service("new", "green"))])
    found = take(engine)
    (view,) = found["Gateway/blue/door"][1]
    assert view.startswith("gw/")
    assert found["VirtualService/blue/web"][1] == {view}


def test_what_makes_no_difference_concerns_nobody(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1)])
    take(engine)
    again = rule(k8s, "red", "/a", 2)
    again.obj["metadata"]["labels"] = {"team": "x"}
    engine.apply([again])
    assert take(engine) == {"VirtualService/red/web": (2, set(), False)}
    nowhere = k8s.virtual_service("web", "green", hosts=["web"], http=[{"route": [k8s.to("web")]}], exportTo=["."])
    engine.apply([numbered(nowhere, 1)])
    assert take(engine) == {"VirtualService/green/web": (1, set(), False)}


def test_deletions_and_other_kinds_are_not_carried(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1)])
    engine.apply([Remove("networking.istio.io", "VirtualService", "red", "web"), Upsert(k8s.service("new", "red"))])
    assert take(engine) == {}


def test_where_an_object_has_a_part_can_be_asked(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1), rule(k8s, "blue", "/a", 1)])
    engine.take()
    assert engine.concerned(ObjectKey("VirtualService", "red", "web")) == {"out/red"}
    assert engine.concerned(ObjectKey("VirtualService", "red", "missing")) == frozenset()


def test_the_path_of_a_refused_resource_is_known(engine: Engine, k8s: SimpleNamespace) -> None:
    engine.apply([rule(k8s, "red", "/a", 1)])
    rds = next(u for u in engine.take() if u.view == "out/red")
    key = ObjectKey("VirtualService", "red", "web")
    assert engine.path_of(key, rds.type_url, rds.upserts[0].name, rds.upserts[0].version) == "spec.http[0]"


def test_of_a_refused_cluster_without_a_subset_the_policy_is_the_path(engine: Engine, k8s: SimpleNamespace) -> None:
    spec = {"host": "web", "trafficPolicy": {"tls": {"mode": "SIMPLE", "caCertificates": "/absent.pem"}}}
    metadata = {"name": "web", "namespace": "red"}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}
    engine.apply([numbered({**kind, "metadata": metadata, "spec": spec}, 1)])
    cds = next(u for u in engine.take() if u.view == "out/red" and u.type_url.endswith(".Cluster"))
    key = ObjectKey("DestinationRule", "red", "web")
    assert engine.path_of(key, cds.type_url, cds.upserts[0].name, cds.upserts[0].version) == "spec.trafficPolicy"


def timeout_patch(generation: int, **labels: str) -> Upsert:
    """An EnvoyFilter for the workloads of `red` with these labels."""
    patch = {
        "applyTo": "CLUSTER",
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": {"connect_timeout": "7s"}},
    }
    spec = {"workloadSelector": {"labels": labels}, "configPatches": [patch]}
    metadata = {"name": "slow", "namespace": "red"}
    kind = {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter"}
    return numbered({**kind, "metadata": metadata, "spec": spec}, generation)


def proxies_of(engine: Engine, nodes: list[Any], views: set[str]) -> set[str]:
    found = {node: set(engine.attach(node)) for node in nodes}
    for node in nodes:
        engine.detach(node)
    return {node.pod for node, seen in found.items() if seen & views}


def test_a_patch_for_one_workload_of_six_concerns_one(engine: Engine, k8s: SimpleNamespace) -> None:
    """All six move to views by a label that nothing looked at before; five of them have what they had."""
    nodes = [k8s.sidecar("red", f"p{n}", app="caller", tier=f"t{n}") for n in range(6)]
    for node in nodes:
        engine.attach(node)
    engine.take()
    engine.carried()
    engine.apply([timeout_patch(1, tier="t3")])
    ((generation, views, _),) = take(engine).values()
    assert generation == 1
    assert proxies_of(engine, nodes, views) == {"p3"}
    key = ObjectKey("EnvoyFilter", "red", "slow")
    assert engine.concerned(key) == views
    # Selecting others, by a label that is looked at already: those that lose it and those that get it.
    engine.apply([timeout_patch(2, tier="t4")])
    ((_, views, _),) = take(engine).values()
    assert proxies_of(engine, nodes, views) == {"p3", "p4"}
