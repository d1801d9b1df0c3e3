"""What people see of an Envoy, from a dump that a real Envoy gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.cli.proxy_target import table
from plait.proxy import dump as dumps
from plait.proxy.clusters import ClusterName, cluster_matches, cluster_rows, cluster_type, endpoint_rows
from plait.proxy.listeners import ListenerRow, listener_kind, listener_matches, listener_rows
from plait.proxy.origins import origin
from plait.proxy.routes import RouteRow, match, route_rows

DATA = Path(__file__).with_name("testdata")
HOST = "catalogue.shop.svc.cluster.local"


@pytest.fixture(scope="module")
def dump():
    return json.loads((DATA / "config_dump.json").read_text())


@pytest.fixture(scope="module")
def statuses():
    return json.loads((DATA / "clusters.json").read_text())


def resources(entries):
    return [entry.resource for entry in entries]


def test_clusters_are_taken_apart_and_name_their_rule(dump):
    rows = cluster_rows(resources(dumps.clusters(dump)))
    assert (HOST, "80", "v1", "outbound", "EDS", "catalogue.shop") in rows
    assert ("", "8080", "-", "inbound", "ORIGINAL_DST", "") in rows
    assert ("BlackHoleCluster", "-", "-", "-", "STATIC", "") in rows


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"fqdn": HOST}, 3),
        ({"fqdn": HOST, "subset": "v2"}, 1),
        ({"port": 3306}, 1),
        ({"direction": "inbound"}, 1),
        ({"fqdn": "nobody"}, 0),
    ],
)
def test_clusters_are_filtered(dump, filters, count):
    assert len([c for c in resources(dumps.clusters(dump)) if cluster_matches(c, **filters)]) == count


def test_listeners_have_a_row_per_chain(dump):
    rows = listener_rows(resources(dumps.listeners(dump)))
    assert ListenerRow("0.0.0.0", "80", "Trans: raw_buffer; App: http/1.0,http/1.1,h2c", "Route: 80") in rows
    assert ListenerRow("0.0.0.0", "15001", "Addr: *:15001", "Non-HTTP/Non-TCP") in rows
    assert ListenerRow("0.0.0.0", "15001", "ALL", "PassthroughCluster") in rows
    assert ListenerRow("0.0.0.0", "15006", "Addr: *:8080", "Cluster: inbound|8080||") in rows
    mysql = "Cluster: outbound|3306||catalogue-db.shop.svc.cluster.local"
    assert ListenerRow("10.42.128.9", "3306", "ALL", mysql) in rows


def test_listeners_are_filtered(dump):
    found = resources(dumps.listeners(dump))
    assert {listener_kind(each) for each in found if listener_matches(each, port=3306)} == {"TCP"}
    assert {each["name"] for each in found if listener_matches(each, kind="TCP")} >= {"virtualOutbound"}
    assert [each["name"] for each in found if listener_matches(each, address="10.42.128.9")] == ["10.42.128.9_3306"]


def test_routes_keep_their_order_and_name_their_virtual_service(dump):
    rows = [row for row in route_rows(resources(dumps.routes(dump))) if row.host.startswith(HOST)]
    assert [(row.match, row.virtual_service) for row in rows] == [
        ("/new* (end-user)", "catalogue.shop"),
        ("/*", "catalogue.shop"),
    ]
    assert rows[0].domains == f"{HOST}, catalogue + 3 more..."


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ({"prefix": "/"}, "/*"),
        ({"path": "/exact"}, "/exact"),
        ({"path_separated_prefix": "/api"}, "PathPrefix:/api"),
        ({"safe_regex": {"regex": "^/v[0-9]"}}, "regex ^/v[0-9]"),
        ({"connect_matcher": {}}, "CONNECT"),
        ({"prefix": "/", "query_parameters": [{"name": "q"}]}, "/* (?q)"),
    ],
)
def test_matches(rule, shown):
    assert match(rule) == shown


def test_host_without_routes_and_direct_responses_show_their_status():
    configuration = {
        "name": "http.8080",
        "virtual_hosts": [
            {"name": "none", "domains": ["*"]},
            {
                "name": "fixed",
                "domains": ["a"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 301}}],
            },
        ],
    }
    assert route_rows([configuration]) == [
        RouteRow("http.8080", "none", "*", "/*", "404"),
        RouteRow("http.8080", "fixed", "a", "/*", "301"),
    ]


def test_endpoints(statuses):
    rows = endpoint_rows(statuses, cluster=f"outbound|80|v2|{HOST}")
    assert rows == [("10.42.0.6:8080", "HEALTHY", "OK", f"outbound|80|v2|{HOST}")]
    assert len(endpoint_rows(statuses, address="10.42.0.5")) == 2
    assert endpoint_rows(statuses, status="unhealthy") == []
    assert len(endpoint_rows(statuses, port=8080, status="healthy")) == 5


def test_ejected_and_unhealthy_endpoints_say_so():
    host = {
        "address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
        "health_status": {"failed_outlier_check": True, "eds_health_status": "DRAINING"},
    }
    (row,) = endpoint_rows({"cluster_statuses": [{"name": "c", "host_statuses": [host]}]})
    assert row == ("10.0.0.1:80", "DRAINING", "FAILED", "c")


def test_origins_of_plait_and_of_istio():
    plait = {"metadata": {"filter_metadata": {"plait": {"origin": "VirtualService/shop/a spec.http[0]"}}}}
    path = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/a"
    istio = {"metadata": {"filter_metadata": {"istio": {"config": path}}}}
    assert origin(plait) == origin(istio) == ("VirtualService", "a.shop")
    assert origin({}) == ("", "")


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("outbound|80|v1|a.b", ("outbound", 80, "v1", "a.b")),
        ("outbound_.80_.v1_.a.b", ("outbound", 80, "v1", "a.b")),
        ("inbound|8080||", ("inbound", 8080, "", "")),
        ("xds-grpc", ("", None, "", "xds-grpc")),
        ("prometheus_stats", ("", None, "", "prometheus_stats")),
    ],
)
def test_cluster_names(name, parsed):
    assert ClusterName.parse(name) == parsed


@pytest.mark.parametrize(
    ("cluster", "shown"),
    [
        ({}, "STATIC"),
        ({"type": "EDS"}, "EDS"),
        ({"cluster_type": {"name": "envoy.cluster.dns", "typed_config": {}}}, "STRICT_DNS"),
        (
            {"cluster_type": {"name": "envoy.cluster.dns", "typed_config": {"all_addresses_in_single_endpoint": True}}},
            "LOGICAL_DNS",
        ),
        ({"cluster_type": {"name": "my.own"}}, "my.own"),
    ],
)
def test_cluster_types(cluster, shown):
    assert cluster_type(cluster) == shown


def test_bootstrap_and_warming(dump):
    assert dumps.bootstrap(dump)["node"]["id"].startswith("sidecar~10.0.0.1~front-end-1.shop~")
    assert dumps.waiting(dump) == []
    warming = {
        "configs": [
            {
                "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
                "dynamic_warming_clusters": [{"cluster": {"name": "slow"}}],
            }
        ]
    }
    assert dumps.waiting(warming) == ["slow"]


def test_table_is_as_wide_as_its_cells():
    assert table(("A", "LONG NAME"), [("xyz", "1"), ("", "2")]) == "A       LONG NAME\nxyz     1\n        2"


def test_the_probe_and_its_secret_are_not_shown():
    probe = {"configs": [
        {"@type": "x.ListenersConfigDump", "dynamic_listeners": [{"name": "plait_probe"}, {"name": "0.0.0.0_80"}]},
        {"@type": "x.RoutesConfigDump", "dynamic_route_configs": [
            {"route_config": {"name": "plait_probe", "virtual_hosts": ["secret"]}}, {"route_config": {"name": "80"}}]},
        {"@type": "x.ClustersConfigDump"},
    ]}  # fmt: skip
    shown = dumps.without_probe(probe)
    assert "secret" not in str(shown)
    assert "plait_probe" not in str(shown)
    assert [each["route_config"]["name"] for each in shown["configs"][1]["dynamic_route_configs"]] == ["80"]
    assert [each["name"] for each in shown["configs"][0]["dynamic_listeners"]] == ["0.0.0.0_80"]
