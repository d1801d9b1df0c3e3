"""References that lead nowhere and rules that cannot act are accepted, and said."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.problem import Level
from plait.xds.engine import Engine, Upsert


def service(name: str, ports: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": "10.0.0.1", "ports": ports},
    }


def istio(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def problems(*objects: dict[str, Any]) -> list[tuple[Level, str]]:
    base = [
        service("web", [{"name": "http", "port": 80}]),
        service("db", [{"name": "tcp-db", "port": 3306}]),
        service("two", [{"name": "http", "port": 80}, {"name": "http-b", "port": 81}]),
    ]
    base.append(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"addresses": ["10.0.1.1"]}],
            "ports": [{"name": "http", "port": 8080}],
        }
    )
    engine = Engine()
    engine.apply(Upsert(obj) for obj in (*base, *objects))
    return [(problem.level, problem.path) for found in engine.problems().values() for problem in found]


def rule(destination: dict[str, Any], hosts: tuple[str, ...] = ("web",), **spec: Any) -> dict[str, Any]:
    return istio("VirtualService", "r", hosts=list(hosts), http=[{"route": [{"destination": destination}]}], **spec)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (rule({"host": "web"}), []),
        (rule({"host": "gone"}), [(Level.WARNING, "spec.http[0].route[0].destination.host")]),
        (rule({"host": "web", "subset": "v9"}), [(Level.WARNING, "spec.http[0].route[0].destination.subset")]),
        (rule({"host": "web", "port": {"number": 9}}), [(Level.WARNING, "spec.http[0].route[0].destination.port")]),
        (rule({"host": "two"}), [(Level.INFO, "spec.http[0].route[0].destination")]),
        (rule({"host": "db"}), [(Level.WARNING, "spec.http[0].route[0].destination.host")]),
        (rule({"host": "web"}, hosts=("db",)), [(Level.WARNING, "spec.hosts[0]")]),
        (rule({"host": "web"}, gateways=["edge"]), [(Level.WARNING, "spec.gateways[0]")]),
        (istio("DestinationRule", "d", host="gone"), [(Level.WARNING, "spec.host")]),
        (
            istio("DestinationRule", "d", host="web", subsets=[{"name": "v1", "labels": {"a": "b"}}]),
            [(Level.WARNING, "spec.subsets[0].labels")],
        ),
        # Nothing runs yet: that its subsets have no pods either goes without saying.
        (istio("DestinationRule", "d", host="two", subsets=[{"name": "v1", "labels": {"a": "b"}}]), []),
    ],
)
def test_dangling_references_and_idle_rules_are_warnings(obj: Any, expected: Any) -> None:
    assert problems(obj) == expected


def test_a_problem_names_what_to_write_instead() -> None:
    engine = Engine()
    engine.apply(
        [Upsert(service("web", [{"name": "http", "port": 80}])), Upsert(rule({"host": "web", "subset": "v2"}))]
    )
    ((problem,),) = engine.problems().values()
    assert str(problem) == (
        "VirtualService/shop/r: spec.http[0].route[0].destination.subset: "
        "web.shop.svc.cluster.local has no subset 'v2': requests get 503, as "
        "no DestinationRule holds for it here (a DestinationRule with this subset)"
    )


def test_problems_go_when_their_cause_goes_and_are_not_looked_for_again() -> None:
    engine = Engine()
    engine.apply([Upsert(rule({"host": "web"}))])
    assert engine.problems()
    engine.apply([Upsert(service("web", [{"name": "http", "port": 80}]))])
    assert not engine.problems()
    before = engine.computed["check"]
    engine.problems()
    assert engine.computed["check"] == before
