"""What a proxy sees: names, precedence, references. Each test is one rule of Istio's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

from plait.api.meta import ObjectKey
from plait.mesh.config import MeshConfig
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.resource import CDS, EDS, LDS, RDS

A = "a.shop.svc.cluster.local"


@pytest.fixture
def see(k8s: SimpleNamespace) -> Any:
    """see(objects, node, type) -> messages by name."""
    modules = {
        CDS: (cluster_pb2, "Cluster"),
        EDS: (endpoint_pb2, "ClusterLoadAssignment"),
        LDS: (listener_pb2, "Listener"),
        RDS: (route_pb2, "RouteConfiguration"),
    }

    def look(objects: Any, node: Any, type_url: str) -> dict[str, Any]:
        return k8s.read(k8s.view_of(objects, node), *modules[type_url])

    return look


def hosts(routes: Any) -> dict[str, list[str]]:
    return {host.name: list(host.domains) for host in routes.virtual_hosts}


def targets(routes: Any, host: str) -> list[str]:
    (found,) = (item for item in routes.virtual_hosts if host in item.domains)
    return [route.route.cluster or route.redirect.path_redirect for route in found.routes]


def addresses(assignment: Any) -> list[str]:
    return [
        endpoint.endpoint.address.socket_address.address
        for group in assignment.endpoints
        for endpoint in group.lb_endpoints
    ]


def to(k8s: SimpleNamespace, *args: Any, **more: Any) -> Any:
    return [{"route": [k8s.to(*args, **more)]}]


def test_short_names_hold_in_the_services_own_namespace_only(k8s: SimpleNamespace, see: Any) -> None:
    world = [k8s.service("a", ip="10.42.128.1")]
    near = hosts(see(world, k8s.sidecar("shop"), RDS)["80"])
    far = hosts(see(world, k8s.sidecar("bank"), RDS)["80"])
    assert near[f"{A}:80"] == [A, "a", "a.shop", "a.shop.svc", "10.42.128.1"]
    assert far[f"{A}:80"] == [A, "a.shop", "a.shop.svc", "10.42.128.1"]


def test_a_name_belongs_to_one_virtual_host(k8s: SimpleNamespace, see: Any) -> None:
    rule = k8s.virtual_service("x", hosts=["a.shop", "x.example"], http=to(k8s, "a"))
    found = hosts(
        see([k8s.service("a", ip="10.42.128.1"), k8s.service("b", ip="10.42.128.1"), rule], k8s.sidecar(), RDS)["80"]
    )
    claimed = [name for names in found.values() for name in names]
    assert len(claimed) == len(set(claimed))
    assert found["a.shop:80"] == ["a.shop"]
    assert found["x.example:80"] == ["x.example"]


def test_the_oldest_rule_for_a_host_holds_and_an_exact_host_beats_a_wildcard(k8s: SimpleNamespace, see: Any) -> None:
    young = k8s.virtual_service("young", hosts=["a"], created="2026-02-02", http=to(k8s, "a", "young"))
    old = k8s.virtual_service("old", hosts=["a"], created="2026-02-01", http=to(k8s, "a", "old"))
    oldest = k8s.virtual_service("wild", hosts=["*.shop.svc.cluster.local"], created="2025", http=to(k8s, "a", "wild"))
    world = [k8s.service("a"), k8s.service("b", ip="10.42.128.7"), young, old, oldest]
    routes = see(world, k8s.sidecar(), RDS)["80"]
    assert targets(routes, A) == [f"outbound|80|old|{A}"]
    assert targets(routes, "b.shop.svc.cluster.local") == [f"outbound|80|wild|{A}"]


def test_a_rule_that_says_nothing_for_this_caller_leaves_the_default_route(k8s: SimpleNamespace, see: Any) -> None:
    http = [{"match": [{"sourceLabels": {"app": "x"}}], "route": [k8s.to("a", "v2")]}]
    world = [k8s.service("a"), k8s.virtual_service("a", hosts=["a"], http=http)]
    assert targets(see(world, k8s.sidecar(app="x"), RDS)["80"], A) == [f"outbound|80|v2|{A}"]
    assert targets(see(world, k8s.sidecar(app="y"), RDS)["80"], A) == [f"outbound|80||{A}"]


def test_a_destination_without_a_port_means_the_only_port_else_the_listeners(k8s: SimpleNamespace, see: Any) -> None:
    two = [{"name": "http", "port": 80}, {"name": "tcp", "port": 81}]
    world = [
        k8s.service("a"),
        k8s.service("db", ip="10.42.128.3", ports=[{"name": "tcp", "port": 3306}]),
        k8s.service("two", ip="10.42.128.4", ports=two),
        k8s.virtual_service("a", hosts=["a"], http=[{"route": [k8s.to("db", weight=1), k8s.to("two", weight=1)]}]),
    ]
    (host,) = (h for h in see(world, k8s.sidecar(), RDS)["80"].virtual_hosts if A in h.domains)
    shares = [share.name for share in host.routes[0].route.weighted_clusters.clusters]
    assert shares == ["outbound|3306||db.shop.svc.cluster.local", "outbound|80||two.shop.svc.cluster.local"]


def test_the_callers_rule_beats_the_services_and_that_the_root_namespaces(k8s: SimpleNamespace, see: Any) -> None:
    def limit(name: str, namespace: str, number: int, **spec: Any) -> Any:
        pool = {"connectionPool": {"tcp": {"maxConnections": number}}}
        return k8s.destination_rule(name, namespace, host=A, trafficPolicy=pool, **spec)

    caller, service, root = limit("x", "bank", 1), limit("x", "shop", 2), limit("x", "istio-system", 3)
    hidden = limit("x", "shop", 4, exportTo=["."])

    def limit_seen(*rules: Any, node: Any = None) -> int:
        clusters = see([k8s.service("a"), *rules], node or k8s.sidecar("bank"), CDS)
        return int(clusters[f"outbound|80||{A}"].circuit_breakers.thresholds[0].max_connections.value)

    assert limit_seen(caller, service, root) == 1
    assert limit_seen(service, root) == 2
    assert limit_seen(hidden, root) == 3
    assert limit_seen(hidden) == 0xFFFFFFFF
    assert limit_seen(hidden, node=k8s.sidecar("shop")) == 4
    # The root namespace's own rules for everybody do not hide the service's from its proxies.
    edge = [k8s.gateway(), k8s.virtual_service("e", hosts=["*"], gateways=["edge"], http=to(k8s, "a"))]
    assert limit_seen(service, root, *edge, node=k8s.router()) == 2


def test_rules_of_one_host_are_merged_and_the_oldest_wins(k8s: SimpleNamespace, see: Any) -> None:
    random, robin = ({"loadBalancer": {"simple": name}} for name in ("RANDOM", "ROUND_ROBIN"))
    world = [
        k8s.service("a"),
        k8s.destination_rule("old", host="a", subsets=["v1"], created="2026-01-01"),
        k8s.destination_rule("mid", host="a", subsets=["v1", "v2"], created="2026-01-02", trafficPolicy=random),
        k8s.destination_rule("new", host="a", subsets=["v3"], created="2026-01-03", trafficPolicy=robin),
    ]
    clusters = see(world, k8s.sidecar(), CDS)
    assert sorted(name.split("|")[2] for name in clusters if name.endswith(A)) == ["", "v1", "v2", "v3"]
    assert clusters[f"outbound|80||{A}"].lb_policy == cluster_pb2.Cluster.RANDOM


def test_a_ports_settings_replace_the_whole_policy(k8s: SimpleNamespace, see: Any) -> None:
    policy = {
        "loadBalancer": {"simple": "RANDOM"},
        "connectionPool": {"tcp": {"maxConnections": 1}},
        "portLevelSettings": [{"port": {"number": 80}, "connectionPool": {"tcp": {"maxConnections": 2}}}],
    }
    rule = k8s.destination_rule("a", host="a", subsets=["v1"], trafficPolicy=policy)
    for name in ("", "v1"):
        cluster = see([k8s.service("a"), rule], k8s.sidecar(), CDS)[f"outbound|80|{name}|{A}"]
        assert cluster.lb_policy == cluster_pb2.Cluster.LEAST_REQUEST
        assert cluster.circuit_breakers.thresholds[0].max_connections.value == 2


def test_subsets_take_endpoints_by_the_labels_of_their_pods(k8s: SimpleNamespace, see: Any) -> None:
    slices = k8s.endpoints("a", pods={"a-1": "10.42.0.11", "a-2": "10.42.0.12"})
    slices["endpoints"][1].pop("targetRef")
    world = [
        k8s.service("a"),
        k8s.pod("a-1", ip="10.42.0.11", app="a", version="v1"),
        k8s.pod("a-2", ip="10.42.0.12", app="a", version="v2"),
        slices,
        k8s.destination_rule("a", host="a", subsets=["v1", "v2", "v3"]),
    ]
    found = see(world, k8s.sidecar(), EDS)
    assert addresses(found[f"outbound|80||{A}"]) == ["10.42.0.11", "10.42.0.12"]
    assert addresses(found[f"outbound|80|v1|{A}"]) == ["10.42.0.11"]
    assert addresses(found[f"outbound|80|v2|{A}"]) == ["10.42.0.12"]
    assert addresses(found[f"outbound|80|v3|{A}"]) == []


def test_endpoints_that_are_not_ready_get_no_traffic_and_an_empty_set_is_still_sent(k8s: SimpleNamespace) -> None:
    engine = Engine()
    engine.apply([Upsert(k8s.service("a")), Upsert(k8s.endpoints("a", pods={"a-1": "10.42.0.11"}))])
    engine.attach(k8s.sidecar())
    engine.take()
    empty = k8s.endpoints("a", pods={"a-1": "10.42.0.11"})
    empty["endpoints"][0]["conditions"]["ready"] = False
    engine.apply([Upsert(empty)])
    (update,) = engine.take()
    assert update.type_url == EDS
    assert update.removed == ()
    (assignment,) = k8s.read((update,), endpoint_pb2, "ClusterLoadAssignment").values()
    assert addresses(assignment) == []
    engine.apply([Remove("discovery.k8s.io", "EndpointSlice", "shop", "a-1")])
    assert engine.take() == ()


def test_a_headless_database_has_a_listener_for_each_endpoint_that_keeps_the_address(
    k8s: SimpleNamespace, see: Any
) -> None:
    ports = [{"name": "tcp-db", "port": 3306}]
    slices = k8s.endpoints("db", pods={"x": "10.42.0.21", "y": "10.42.0.22"}, ports=[{"name": "tcp-db", "port": 3306}])
    world = [k8s.service("db", ip="None", ports=ports), slices]
    listeners = see(world, k8s.sidecar(), LDS)
    assert sorted(listeners) == ["10.42.0.21_3306", "10.42.0.22_3306", "virtualInbound", "virtualOutbound"]
    # The server speaks first: nothing may wait for the client's first byte.
    assert not listeners["10.42.0.21_3306"].listener_filters
    cluster = see(world, k8s.sidecar(), CDS)["outbound|3306||db.shop.svc.cluster.local"]
    assert cluster.type == cluster_pb2.Cluster.ORIGINAL_DST
    assert list(see(world, k8s.sidecar(), EDS)) == ["local_cluster"]


def test_inbound_ports_are_found_by_number_and_by_name(k8s: SimpleNamespace, see: Any) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "tcp", "port": 9000}]
    world = [k8s.service("a", ports=ports), k8s.pod("a-1", ip="10.42.0.11", app="a")]
    clusters = see(world, k8s.sidecar(app="a"), CDS)
    assert [name for name in clusters if name.startswith("inbound")] == ["inbound|8080||", "inbound|9000||"]
    assert "inbound|8080||" not in see(world, k8s.sidecar(app="b"), CDS)


def test_a_gateways_port_is_translated_by_its_own_service(k8s: SimpleNamespace, see: Any) -> None:
    ports = [{"name": "http2", "port": 80, "targetPort": 8080}]
    own = k8s.service("gw", "istio-system", ports=ports, selector={"istio": "ingressgateway"})
    rule = k8s.virtual_service("e", hosts=["*"], gateways=["edge"], http=to(k8s, "a"))
    world = [k8s.service("a"), k8s.gateway(), rule]
    assert sorted(see(world, k8s.router(), LDS)) == ["0.0.0.0_80"]
    assert sorted(see([*world, own], k8s.router(), LDS)) == ["0.0.0.0_8080"]
    # Named after the port of the Gateway, as callers of its Service know it.
    assert hosts(see([*world, own], k8s.router(), RDS)["http.8080"]) == {"*:80": ["*"]}
    assert see(world, k8s.router(istio="other"), LDS) == {}


def test_a_gateway_serves_what_its_hosts_and_the_rules_have_in_common(k8s: SimpleNamespace, see: Any) -> None:
    gateway = k8s.gateway(hosts=["bank/*.example", "shop/only.example", "open.example"])
    world = [
        k8s.service("a"),
        gateway,
        k8s.virtual_service(
            "e", hosts=["x.example", "only.example", "open.example"], gateways=["edge"], http=to(k8s, "a")
        ),
    ]
    routes = see(world, k8s.router(), RDS)["http.80"]
    assert sorted(hosts(routes)) == ["only.example:80", "open.example:80"]


def test_a_gateway_gets_only_clusters_its_routes_name(k8s: SimpleNamespace, see: Any) -> None:
    world = [
        k8s.service("a"),
        k8s.service("unused", ip="10.42.128.8"),
        k8s.gateway(),
        k8s.virtual_service("e", hosts=["*"], gateways=["edge"], http=to(k8s, "a", "v1")),
        k8s.destination_rule("a", host="a", subsets=["v1", "v2"]),
    ]
    assert sorted(see(world, k8s.router(), CDS)) == ["BlackHoleCluster", f"outbound|80|v1|{A}"]


def test_proxies_of_one_template_share_views_and_others_do_not(k8s: SimpleNamespace) -> None:
    engine = Engine()
    first = engine.attach(k8s.sidecar("shop", pod="one", app="a"))
    assert engine.attach(k8s.sidecar("shop", pod="two", app="a")) == first
    other = engine.attach(k8s.sidecar("shop", pod="three", app="b"))
    assert other[0] == first[0]
    assert other[1] != first[1]


def test_a_rule_that_looks_at_callers_moves_them_to_views_of_their_own(k8s: SimpleNamespace) -> None:
    engine = Engine()
    node = k8s.sidecar("shop", app="x")
    engine.apply([Upsert(k8s.service("a"))])
    before = engine.attach(node)
    engine.take()
    http = [{"match": [{"sourceLabels": {"app": "x"}}], "route": [k8s.to("a", "v2")]}]
    engine.apply([Upsert(k8s.virtual_service("a", hosts=["a"], http=http))])
    ((moved, views),) = engine.moved()
    assert moved == node
    assert views[0] != before[0]
    assert views[1] == before[1]
    assert {update.view for update in engine.take()} == {views[0]}
    engine.apply([Remove("networking.istio.io", "VirtualService", "shop", "a")])
    assert engine.moved() == ((node, before),)


def test_a_bad_object_leaves_the_last_good_one_serving(k8s: SimpleNamespace) -> None:
    engine = Engine()
    engine.apply([Upsert(k8s.service("a")), Upsert(k8s.virtual_service("a", hosts=["a"], http=to(k8s, "a", "v1")))])
    engine.attach(k8s.sidecar())
    engine.take()
    engine.apply([Upsert(k8s.virtual_service("a", hosts=["a"], http=[{"route": []}]))])
    assert engine.take() == ()
    key = ObjectKey("VirtualService", "shop", "a")
    assert engine.problems()[key][0].path == "spec.http[0]"
    engine.apply([Upsert(k8s.virtual_service("a", hosts=["a"], http=to(k8s, "a")))])
    assert len(engine.take()) == 1
    assert key not in engine.problems()


def test_a_resource_is_traced_to_the_objects_it_was_made_from(k8s: SimpleNamespace) -> None:
    engine = Engine()
    rule = k8s.virtual_service("a", hosts=["a"], http=to(k8s, "a", "v1"))
    engine.apply([Upsert(k8s.service("a")), Upsert(rule), Upsert(k8s.destination_rule("d", host="a", subsets=["v1"]))])
    engine.attach(k8s.sidecar())
    engine.take()
    assert engine.origin_of(RDS, "80") == ("VirtualService/shop/a",)
    # The Service too: whose certificates are taken depends on who is behind it.
    assert engine.origin_of(CDS, f"outbound|80|v1|{A}") == ("DestinationRule/shop/d", "Service/shop/a")
    assert engine.origin_of(CDS, "none") == ()


def test_a_listener_is_traced_to_the_entries_whose_ports_it_serves(k8s: SimpleNamespace) -> None:
    engine = Engine()
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 90, "name": "tcp", "protocol": "TCP"}]
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "e", "namespace": "shop"},
        "spec": {"hosts": ["out.example"], "addresses": ["10.9.9.9"], "ports": ports, "resolution": "NONE"},
    }
    shared = {
        **entry,
        "metadata": {"name": "s", "namespace": "shop"},
        "spec": {**entry["spec"], "hosts": ["*.a.example"]},
    }
    del shared["spec"]["addresses"]
    engine.apply([Upsert(entry), Upsert(shared)])
    engine.attach(k8s.sidecar())
    engine.take()
    assert engine.origin_of(LDS, "10.9.9.9_90") == ("ServiceEntry/shop/e",)
    assert engine.origin_of(LDS, "0.0.0.0_443") == ("ServiceEntry/shop/s",)


def test_a_listener_that_a_sidecar_binds_is_traced_to_it(k8s: SimpleNamespace) -> None:
    port = {"number": 9080, "name": "http", "protocol": "HTTP"}
    listener = {"port": port, "bind": "0.0.0.0", "captureMode": "NONE", "defaultEndpoint": "127.0.0.1:8080"}
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "own", "namespace": "shop"},
        "spec": {"ingress": [listener]},
    }
    engine = Engine()
    engine.apply([Upsert(sidecar)])
    engine.attach(k8s.sidecar())
    (name,) = (
        resource.name
        for update in engine.take()
        if update.type_url == LDS
        for resource in update.upserts
        if resource.name.endswith("9080")
    )
    assert engine.origin_of(LDS, name) == ("Sidecar/shop/own",)


def test_a_bound_port_without_an_address_is_at_each_workloads_own(k8s: SimpleNamespace) -> None:
    listener: dict[str, Any] = {"port": {"number": 9080, "name": "http", "protocol": "HTTP"}}
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "own", "namespace": "shop"},
        "spec": {"ingress": [listener]},
    }
    engine = Engine()
    engine.apply([Upsert(sidecar)])
    node = k8s.sidecar()
    before = engine.attach(node)
    engine.take()
    bound = {**sidecar, "spec": {"ingress": [{**listener, "captureMode": "NONE"}]}}
    engine.apply([Upsert(bound)])
    ((_, views),) = engine.moved()
    assert views[0] == before[0]
    told = {item.name for update in engine.take() if update.type_url == LDS for item in update.upserts}
    assert f"{node.ip}_9080" in told
    engine.apply([Upsert(sidecar)])
    assert engine.moved() == ((node, before),)


def test_registry_only_refuses_unknown_hosts(k8s: SimpleNamespace) -> None:
    engine = Engine(MeshConfig(outbound_traffic_policy="REGISTRY_ONLY"))
    engine.apply([Upsert(k8s.service("a"))])
    engine.attach(k8s.sidecar())
    routes = k8s.read(engine.take(), route_pb2, "RouteConfiguration")["80"]
    (last,) = (host for host in routes.virtual_hosts if host.domains[0] == "*")
    assert last.name == "block_all"
    assert last.routes[0].direct_response.status == 502


def test_entries_of_one_host_that_differ_give_only_what_its_cluster_can_have(k8s: SimpleNamespace, see: Any) -> None:
    """The oldest says how the host is resolved; Envoy would refuse all endpoints with a name among addresses."""
    listed = [{"address": "10.1.0.1"}]
    sockets = [{"address": "unix:///s"}]
    static = k8s.service_entry("a", hosts=["x.example"], resolution="STATIC", endpoints=listed)
    dns = k8s.service_entry("b", hosts=["x.example"], resolution="DNS")
    name = "outbound|80||x.example"
    assert addresses(see([static, dns], k8s.sidecar(), EDS)[name]) == ["10.1.0.1"]
    first = k8s.service_entry("a", hosts=["x.example"], resolution="DNS")
    unix = k8s.service_entry("b", hosts=["x.example"], resolution="STATIC", endpoints=sockets)
    assert addresses(see([first, unix], k8s.sidecar(), CDS)[name].load_assignment) == ["x.example"]


def test_weights_are_what_envoy_can_add_up(k8s: SimpleNamespace, see: Any) -> None:
    most = 2**32 - 1
    listed = [{"address": f"10.1.0.{n}", "weight": most} for n in range(1, 4)]
    entry = k8s.service_entry("a", hosts=["x.example"], resolution="STATIC", endpoints=listed)
    (group,) = see([entry], k8s.sidecar(), EDS)["outbound|80||x.example"].endpoints
    assert group.load_balancing_weight.value <= most
    assert len({member.load_balancing_weight.value for member in group.lb_endpoints}) == 1


def test_labels_of_callers_that_the_meshs_zones_look_at_tell_views_apart(k8s: SimpleNamespace, see: Any) -> None:
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "zoneAwareLbSetting: {failoverPriority: [rack]}"},
    }
    pods = [k8s.pod("x", ip="10.42.0.21", rack="1"), k8s.pod("y", ip="10.42.0.22", rack="2")]
    slices = k8s.endpoints("a", pods={"x": "10.42.0.21", "y": "10.42.0.22"})
    found = see([settings, k8s.service("a"), slices, *pods], k8s.sidecar(rack="2"), EDS)
    groups = found["outbound|80||a.shop.svc.cluster.local"].endpoints
    first = {group.priority: group.lb_endpoints[0].endpoint.address.socket_address.address for group in groups}
    assert first == {0: "10.42.0.22", 1: "10.42.0.21"}
