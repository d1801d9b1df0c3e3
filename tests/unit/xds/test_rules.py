"""What of a rule holds for whom: weights, conditions, retries, subsets. Each test is one rule of Istio's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from plait.xds.cluster import HTTP_OPTIONS

A = "a.shop.svc.cluster.local"


@pytest.fixture
def routes(k8s: SimpleNamespace) -> Any:
    """routes(http, caller's labels) -> Envoy's routes to A."""

    def look(http: list[dict[str, Any]], **labels: str) -> list[Any]:
        world = [k8s.service("a"), k8s.virtual_service("a", hosts=["a"], http=http)]
        found = k8s.read(k8s.view_of(world, k8s.sidecar(**labels)), route_pb2, "RouteConfiguration")
        (host,) = (each for each in found["80"].virtual_hosts if A in each.domains)
        return list(host.routes)

    return look


def test_of_several_destinations_those_without_weight_get_nothing(k8s: SimpleNamespace, routes: Any) -> None:
    (route,) = routes([{"route": [k8s.to("a", "v1", weight=3), k8s.to("a", "v2"), k8s.to("a", "v3", weight=1)]}])
    shares = [(share.name, share.weight.value) for share in route.route.weighted_clusters.clusters]
    assert shares == [(f"outbound|80|v1|{A}", 3), (f"outbound|80|v3|{A}", 1)]
    (alone,) = routes([{"route": [k8s.to("a", "v1")]}])
    assert alone.route.cluster == f"outbound|80|v1|{A}"


def test_a_match_that_names_gateways_asks_nothing_about_the_caller(k8s: SimpleNamespace, routes: Any) -> None:
    source = {"sourceLabels": {"app": "x"}, "sourceNamespace": "elsewhere"}
    for named, expected in (({"gateways": ["mesh"]}, "v2"), ({"gateways": ["edge"]}, ""), ({}, "")):
        first, *_ = routes([{"match": [source | named], "route": [k8s.to("a", "v2")]}], app="y")
        assert first.route.cluster == f"outbound|80|{expected}|{A}", named


@pytest.mark.parametrize(
    ("port_name", "pool", "gateway", "speaks"),
    [
        ("", {}, False, "use_downstream_protocol_config"),
        ("", {}, True, ""),
        ("", {"useClientProtocol": True}, True, "use_downstream_protocol_config"),
        ("", {"h2UpgradePolicy": "UPGRADE"}, False, "http2"),
        ("http", {"h2UpgradePolicy": "UPGRADE"}, True, "http2"),
        ("grpc", {}, True, "http2"),
        ("grpc", {"useClientProtocol": True}, False, "use_downstream_protocol_config"),
    ],
)
def test_which_http_is_spoken_to_a_destination(
    k8s: SimpleNamespace, port_name: str, pool: dict[str, Any], gateway: bool, speaks: str
) -> None:
    world = [
        k8s.service("a", ports=[{"name": port_name, "port": 80}]),
        k8s.destination_rule("a", host="a", trafficPolicy={"connectionPool": {"http": pool}}),
        k8s.gateway("g"),
        k8s.virtual_service("a", hosts=["*"], gateways=["g"], http=[{"route": [k8s.to("a")]}]),
    ]
    node = k8s.router() if gateway else k8s.sidecar()
    cluster = k8s.read(k8s.view_of(world, node), cluster_pb2, "Cluster")[f"outbound|80||{A}"]
    options = HttpProtocolOptions()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    kind = options.WhichOneof("upstream_protocol_options") or ""
    if kind == "explicit_http_config":
        kind = "http2" if options.explicit_http_config.HasField("http2_protocol_options") else ""
    assert kind == speaks


@pytest.mark.parametrize(
    "condition",
    [
        {"method": {"exact": "GET"}},
        {"scheme": {"exact": "https"}},
        {"authority": {"exact": "a"}},
        {"headers": {"x": {"exact": "1"}}},
        {"withoutHeaders": {"x": {"exact": "1"}}},
        {"queryParams": {"x": {"exact": "1"}}},
        {"uri": {"exact": "/"}},
        {"uri": {"prefix": "/a"}},
    ],
)
def test_only_what_no_request_gets_past_ends_the_list(
    k8s: SimpleNamespace, routes: Any, condition: dict[str, Any]
) -> None:
    rest = {"route": [k8s.to("a", "v2")]}
    for uri in ({}, {"uri": {"prefix": "/"}}):
        assert len(routes([{"match": [uri | condition], "route": [k8s.to("a", "v1")]}, rest])) == 2
    for everything in ({"uri": {"prefix": "/"}}, {"uri": {"regex": ".*"}}, {"name": "all"}):
        assert len(routes([{"match": [everything], "route": [k8s.to("a", "v1")]}, rest])) == 1


def test_no_attempts_means_no_retries(k8s: SimpleNamespace, routes: Any) -> None:
    for retries, attempts in ((None, 2), ({"attempts": 5}, 5), ({"attempts": 0}, None)):
        (route,) = routes([{"route": [k8s.to("a")], **({"retries": retries} if retries is not None else {})}])
        policy = route.route.retry_policy if route.route.HasField("retry_policy") else None
        assert (policy.num_retries.value if policy else None) == attempts
        assert policy is None or not policy.retriable_status_codes


def test_a_subset_that_two_rules_define_is_the_older_rules(k8s: SimpleNamespace) -> None:
    old = k8s.destination_rule("old", host="a", created="2026-01-01")
    new = k8s.destination_rule("new", host="a", created="2026-01-02")
    for rule, version, limit in ((old, "1", 11), (new, "2", 22)):
        policy = {"connectionPool": {"tcp": {"maxConnections": limit}}}
        rule["spec"]["subsets"] = [{"name": "v", "labels": {"version": version}, "trafficPolicy": policy}]
    world = [
        k8s.service("a"),
        k8s.pod("a-1", ip="10.42.0.11", app="a", version="1"),
        k8s.pod("a-2", ip="10.42.0.12", app="a", version="2"),
        k8s.endpoints("a", pods={"a-1": "10.42.0.11", "a-2": "10.42.0.12"}),
        new,
        old,
    ]
    updates = k8s.view_of(world, k8s.sidecar())
    cluster = k8s.read(updates, cluster_pb2, "Cluster")[f"outbound|80|v|{A}"]
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == 11
    (group,) = k8s.read(updates, endpoint_pb2, "ClusterLoadAssignment")[f"outbound|80|v|{A}"].endpoints
    assert [each.endpoint.address.socket_address.address for each in group.lb_endpoints] == ["10.42.0.11"]


def test_a_copy_of_no_request_is_none(k8s: SimpleNamespace, routes: Any) -> None:
    for percentage, expected in ((None, [100]), ({"value": 50}, [50]), ({"value": 0}, [])):
        shares = {"mirrorPercentage": percentage} if percentage is not None else {}
        listed = [{"destination": {"host": "a", "subset": "v3"}, **({"percentage": percentage} if percentage else {})}]
        for copies in ({"mirror": {"host": "a", "subset": "v2"}, **shares}, {"mirrors": listed}):
            (route,) = routes([{"route": [k8s.to("a", "v1")], **copies}])
            found = [
                each.runtime_fraction.default_value.numerator
                / {0: 1, 1: 100, 2: 10_000}[each.runtime_fraction.default_value.denominator]
                for each in route.route.request_mirror_policies
            ]
            assert found == expected, (percentage, copies)


def test_at_a_gateway_the_rule_that_leaves_nothing_over_comes_last(k8s: SimpleNamespace) -> None:
    """Rules of several VirtualServices for one host are one list: the oldest's first, but for what catches all."""
    everything = k8s.virtual_service(
        "old", hosts=["shop.example"], gateways=["edge"], http=[{"route": [k8s.to("a", "rest")]}], created="2026-01-01"
    )
    narrow = k8s.virtual_service(
        "new",
        hosts=["shop.example"],
        gateways=["edge"],
        http=[{"match": [{"uri": {"prefix": "/b"}}], "route": [k8s.to("a", "b")]}],
        created="2026-01-02",
    )
    world = [k8s.service("a"), k8s.gateway(), everything, narrow]
    found = k8s.read(k8s.view_of(world, k8s.router()), route_pb2, "RouteConfiguration")["http.80"]
    (host,) = found.virtual_hosts
    assert [route.route.cluster.split("|")[2] for route in host.routes] == ["b", "rest"]


def test_a_port_of_several_services_is_what_the_oldest_says(k8s: SimpleNamespace) -> None:
    world = [k8s.pod("a-1", ip="10.42.0.2", app="a")]
    for name, created, port_name in (("young", "2026-01-03", "http"), ("zold", "2026-01-01", "tcp")):
        made = k8s.service(name, selector={"app": "a"}, ports=[{"name": port_name, "port": 80, "targetPort": 8080}])
        made["metadata"]["creationTimestamp"] = f"{created}T00:00:00Z"
        world.append(made)
    listeners = k8s.read(k8s.view_of(world, k8s.sidecar(pod="a-1", app="a")), listener_pb2, "Listener")
    chains = listeners["virtualInbound"].filter_chains
    found = [chain for chain in chains if chain.filter_chain_match.destination_port.value == 8080]
    assert {chain.filters[0].name for chain in found} == {"envoy.filters.network.tcp_proxy"}


def test_the_limits_of_a_service_hold_for_a_port_that_a_sidecar_takes_over(k8s: SimpleNamespace) -> None:
    pool = {"connectionPool": {"tcp": {"maxConnections": 7}}}
    ingress = [
        {"port": {"number": 8080, "protocol": "HTTP", "name": "http"}, "defaultEndpoint": "127.0.0.1:9"},
        {"port": {"number": 8081, "protocol": "HTTP", "name": "more"}, "defaultEndpoint": "127.0.0.1:9"},
    ]
    world = [
        k8s.pod("a-1", ip="10.42.0.2", app="a"),
        k8s.service("a", ports=[{"name": "http", "port": 80, "targetPort": 8080}]),
        k8s.destination_rule("a", host="a", trafficPolicy=pool),
        k8s.sidecar_object("s", hosts=["*/*"], ingress=ingress),
    ]
    clusters = k8s.read(k8s.view_of(world, k8s.sidecar(pod="a-1", app="a")), cluster_pb2, "Cluster")
    limits = {
        port: clusters[f"inbound|{port}||"].circuit_breakers.thresholds[0].max_connections.value
        for port in (8080, 8081)
    }
    assert limits == {8080: 7, 8081: 0xFFFFFFFF}
