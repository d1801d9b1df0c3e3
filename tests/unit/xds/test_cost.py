"""One change costs what depends on it. Counted in computed fragments, so that no clock is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.resource import CDS, EDS, LDS, RDS

SERVICES = 1000
NAMESPACES = 10


def host(number: int) -> str:
    return f"svc-{number}.ns-{number % NAMESPACES}.svc.cluster.local"


def objects(k8s: SimpleNamespace, number: int) -> Iterator[dict[str, Any]]:
    name, namespace = f"svc-{number}", f"ns-{number % NAMESPACES}"
    address = f"10.42.{number // 250}.{number % 250 + 1}"
    yield k8s.service(name, namespace, ip=f"10.43.{number // 250}.{number % 250 + 1}")
    yield k8s.pod(f"{name}-1", namespace, ip=address, app=name, version="v1")
    yield k8s.endpoints(name, namespace, pods={f"{name}-1": address})
    yield k8s.destination_rule(name, namespace, host=name, subsets=["v1", "v2"])
    yield k8s.virtual_service(name, namespace, hosts=[name], http=[{"route": [k8s.to(name, "v1")]}])


@pytest.fixture(scope="module")
def mesh(k8s: SimpleNamespace) -> Engine:
    """1,000 services, seen by sidecars of three namespaces and a gateway with one route."""
    engine = Engine()
    engine.apply(Upsert(obj) for number in range(SERVICES) for obj in objects(k8s, number))
    edge = k8s.virtual_service(
        "edge", "ns-0", hosts=["*"], gateways=["edge"], http=[{"route": [k8s.to("svc-0", "v1")]}]
    )
    engine.apply([Upsert(k8s.gateway("edge", "ns-0")), Upsert(edge)])
    for namespace in ("ns-0", "ns-1", "elsewhere"):
        engine.attach(k8s.sidecar(namespace, app="caller"))
    engine.attach(k8s.router())
    engine.take()
    return engine


@contextmanager
def counting(engine: Engine) -> Iterator[Counter[str]]:
    before = Counter(engine.computed)
    spent: Counter[str] = Counter()
    yield spent
    spent.update(engine.computed)
    spent.subtract(before)
    for kind in [kind for kind, number in spent.items() if number == 0]:
        del spent[kind]


def test_an_endpoint_change_computes_only_the_endpoint_sets_of_its_service(mesh: Engine, k8s: SimpleNamespace) -> None:
    with counting(mesh) as spent:
        mesh.apply([Upsert(k8s.endpoints("svc-7", "ns-7", pods={}))])
        updates = mesh.take()
    # The service itself and its two subsets, and whose certificates are taken: as before. The three views share them.
    assert spent == {"endpoints": 3, "servers": 1}
    assert {update.type_url for update in updates} == {EDS}
    # v2 had no endpoints before, so it is unchanged and not sent.
    assert {item.name for update in updates for item in update.upserts} == {
        f"outbound|80||{host(7)}",
        f"outbound|80|v1|{host(7)}",
    }
    assert len(updates) == 3


def test_a_route_change_computes_one_virtual_host_and_joins_each_views_routes(
    mesh: Engine, k8s: SimpleNamespace
) -> None:
    with counting(mesh) as spent:
        changed = k8s.virtual_service("svc-8", "ns-8", hosts=["svc-8"], http=[{"route": [k8s.to("svc-8", "v2")]}])
        mesh.apply([Upsert(changed)])
        updates = mesh.take()
    assert spent == {"virtual-host": 1, "host-element": 1, "host-block": 1, "routes": 3}
    assert {update.type_url for update in updates} == {RDS}


def test_a_policy_change_computes_the_clusters_of_its_host(mesh: Engine, k8s: SimpleNamespace) -> None:
    with counting(mesh) as spent:
        limits = {"connectionPool": {"tcp": {"maxConnections": 3}}}
        rule = k8s.destination_rule("svc-9", "ns-9", host="svc-9", subsets=["v1", "v2"], trafficPolicy=limits)
        mesh.apply([Upsert(rule)])
        updates = mesh.take()
    assert spent == {"cluster": 3}
    assert {update.type_url for update in updates} == {CDS}


def test_a_new_service_computes_its_own_resources_and_the_lists(mesh: Engine, k8s: SimpleNamespace) -> None:
    with counting(mesh) as spent:
        mesh.apply([Upsert(k8s.service("new", "ns-3", ip="10.43.99.1"))])
        updates = mesh.take()
    assert spent["cluster"] == spent["endpoints"] == spent["virtual-host"] == 1
    assert sum(spent.values()) < 45
    assert sum(len(update.upserts) for update in updates) == 9
    mesh.apply([Remove("", "Service", "ns-3", "new")])
    removed = mesh.take()
    assert sum(len(update.removed) for update in removed) == 6


def test_an_object_written_again_without_a_change_costs_nothing(mesh: Engine, k8s: SimpleNamespace) -> None:
    with counting(mesh) as spent:
        again = k8s.service("svc-5", "ns-5", ip="10.43.0.6")
        again["metadata"]["resourceVersion"] = "4711"
        again["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
        mesh.apply([Upsert(again)])
        assert mesh.take() == ()
    assert spent == {}


def test_a_second_proxy_of_a_view_costs_nothing(mesh: Engine, k8s: SimpleNamespace) -> None:
    with counting(mesh) as spent:
        first = k8s.sidecar("ns-1", pod="another", app="caller")
        mesh.attach(first)
        assert mesh.take() == ()
        mesh.detach(first)
    assert spent == {}


def test_settings_of_the_mesh_that_mean_nothing_new_cost_one_look(mesh: Engine) -> None:
    metadata = {"name": "istio", "namespace": "istio-system"}
    same = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": "connectTimeout: 10s"}}
    with counting(mesh) as spent:
        mesh.apply([Upsert(same)])
        assert mesh.take() == ()
    assert spent == {"mesh": 1}
    mesh.apply([Remove("", "ConfigMap", "istio-system", "istio")])
    assert mesh.take() == ()


def test_access_logs_reach_listeners_only(mesh: Engine) -> None:
    metadata = {"name": "istio", "namespace": "istio-system"}
    logs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"mesh": "accessLogFile: /dev/stdout"},
    }
    mesh.apply([Upsert(logs)])
    assert {update.type_url for update in mesh.take()} == {LDS}
    mesh.apply([Remove("", "ConfigMap", "istio-system", "istio")])
    assert {update.type_url for update in mesh.take()} == {LDS}


def test_a_rule_for_connections_computes_the_listener_of_its_service(mesh: Engine, k8s: SimpleNamespace) -> None:
    database = k8s.service("db", "ns-4", ip="10.43.98.1", ports=[{"name": "tcp-db", "port": 3306}])
    tcp = [{"route": [k8s.to("db", "v1")]}]
    mesh.apply([Upsert(database), Upsert(k8s.virtual_service("db", "ns-4", hosts=["db"], http=[], tcp=tcp))])
    mesh.take()
    with counting(mesh) as spent:
        tcp = [{"route": [k8s.to("db", "v2")]}]
        mesh.apply([Upsert(k8s.virtual_service("db", "ns-4", hosts=["db"], http=[], tcp=tcp))])
        updates = mesh.take()
    assert spent == {"listener-service": 1}
    assert {(update.type_url, item.name) for update in updates for item in update.upserts} == {(LDS, "10.43.98.1_3306")}


def test_what_is_hashed_is_a_matter_of_clusters(mesh: Engine, k8s: SimpleNamespace) -> None:
    def hashing(name: str) -> Upsert:
        policy = {"loadBalancer": {"consistentHash": {"httpHeaderName": name}}}
        return Upsert(k8s.destination_rule("svc-6", "ns-6", host="svc-6", subsets=["v1", "v2"], trafficPolicy=policy))

    # That anything is hashed is the route's business too, which decides where to ask again.
    with counting(mesh) as spent:
        mesh.apply([hashing("x-user")])
        updates = mesh.take()
    assert {update.type_url for update in updates} == {CDS, RDS}
    assert {kind: count for kind, count in spent.items() if kind != "routes"} == {
        "cluster": 3, "host-block": 1, "host-element": 1, "virtual-host": 1,
    }  # fmt: skip
    with counting(mesh) as spent:
        mesh.apply([hashing("x-session")])
        updates = mesh.take()
    assert spent == {"cluster": 3}
    assert {update.type_url for update in updates} == {CDS}
