"""EnvoyFilters: what they match, in which order they hold, and what a bad one does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from plait.api.envoyfilter import EnvoyFilter
from plait.api.meta import ObjectKey
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.patch.problems import patch_problems, problems_of_patches
from plait.xds.resource import CDS, ECDS, LDS, RDS
from plait.xds.slots import EMPTY

A, B = "a.shop.svc.cluster.local", "b.shop.svc.cluster.local"
ROUTER = "envoy.filters.http.router"
MANAGER = "envoy.filters.network.http_connection_manager"
KINDS = {
    CDS: (cluster_pb2, "Cluster"),
    LDS: (listener_pb2, "Listener"),
    RDS: (route_pb2, "RouteConfiguration"),
}


def patch(apply_to: str, operation: str, value: Any = None, **match: Any) -> dict[str, Any]:
    body = {"operation": operation, **({"value": value} if value is not None else {})}
    return {"applyTo": apply_to, "match": match, "patch": body}


def envoy_filter(
    name: str, *patches: Any, namespace: str = "shop", created: str = "2026-01-01T00:00:00Z", **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"configPatches": list(patches), **spec},
    }


def lua(name: str, code: str = "-- nothing") -> dict[str, Any]:
    return {
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    }


def insert(name: str, operation: str = "INSERT_BEFORE", at: str = ROUTER, **match: Any) -> dict[str, Any]:
    inside = {"filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": at}}}}
    return patch("HTTP_FILTER", operation, lua(name), listener=inside, **match)


@pytest.fixture
def world(k8s: SimpleNamespace) -> list[dict[str, Any]]:
    return [
        k8s.service("a", ip="10.42.128.1"),
        k8s.service("b", ip="10.42.128.2", ports=[{"name": "tcp", "port": 3306, "targetPort": 3306}]),
        k8s.pod("caller", ip="10.42.0.2", app="a"),
    ]


@pytest.fixture
def see(k8s: SimpleNamespace, world: list[dict[str, Any]]) -> Any:
    """see(type, *filters, app=…) -> messages by name."""

    def look(type_url: str, *filters: Any, node: Any = None) -> dict[str, Any]:
        found = k8s.view_of([*world, *filters], node or k8s.sidecar(app="a"))
        messages: dict[str, Any] = k8s.read(found, *KINDS[type_url])
        return messages

    return look


def manager(listener: Any, chain: int = 0) -> Any:
    return HttpConnectionManager.FromString(listener.filter_chains[chain].filters[-1].typed_config.value)


def http_filters(listener: Any, chain: int = 0) -> list[str]:
    return [item.name for item in manager(listener, chain).http_filters]


def test_filters_are_inserted_where_the_match_points(see: Any) -> None:
    found = see(
        LDS,
        envoy_filter(
            "f",
            insert("before"),
            insert("after-fault", "INSERT_AFTER", "envoy.filters.http.fault"),
            insert("nowhere", "INSERT_BEFORE", "no.such.filter"),
            patch("HTTP_FILTER", "INSERT_FIRST", lua("first")),
            patch("HTTP_FILTER", "ADD", lua("added")),
            patch("HTTP_FILTER", "INSERT_BEFORE", lua("front")),
        ),
    )
    names = http_filters(found["0.0.0.0_80"])
    assert names[:2] == ["front", "first"]
    assert names[-3:] == ["before", "added", ROUTER]
    assert names[names.index("envoy.filters.http.fault") + 1] == "after-fault"
    assert "nowhere" not in names


def test_a_filter_is_merged_replaced_and_removed(see: Any) -> None:
    def at(name: str) -> dict[str, Any]:
        return {"filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": name}}}}

    found = see(
        LDS,
        envoy_filter(
            "f",
            insert("mine"),
            patch("HTTP_FILTER", "MERGE", {"typed_config": {**lua("x")["typed_config"], "stat_prefix": "s"}},
                  listener=at("mine")),
            patch("HTTP_FILTER", "REMOVE", listener=at("envoy.filters.http.cors")),
            patch("HTTP_FILTER", "REPLACE", lua("other"), listener=at("envoy.filters.http.fault")),
        ),
    )  # fmt: skip
    names = http_filters(found["0.0.0.0_80"])
    assert "envoy.filters.http.cors" not in names
    assert "envoy.filters.http.fault" not in names
    assert "other" in names
    mine = next(item for item in manager(found["0.0.0.0_80"]).http_filters if item.name == "mine")
    read = Lua.FromString(mine.typed_config.value)
    assert (read.stat_prefix, read.default_source_code.inline_string) == ("s", "-- nothing")


def test_what_is_new_is_there_before_others_are_merged_whatever_the_order(see: Any) -> None:
    """Istio's order of work: filters are added, then merged; routes are changed, then added."""
    late = {"filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": "mine"}}}}
    value = {"typed_config": {**lua("x")["typed_config"], "stat_prefix": "s"}}
    found = see(
        LDS, envoy_filter("a", patch("HTTP_FILTER", "MERGE", value, listener=late)), envoy_filter("b", insert("mine"))
    )
    mine = next(item for item in manager(found["0.0.0.0_80"]).http_filters if item.name == "mine")
    assert Lua.FromString(mine.typed_config.value).stat_prefix == "s"
    top = {"name": "top", "match": {"prefix": "/top"}, "route": {"cluster": "x"}}
    vhost = {"vhost": {"name": f"{A}:80"}}
    routes = see(
        RDS,
        envoy_filter(
            "f",
            patch("HTTP_ROUTE", "INSERT_FIRST", top, routeConfiguration=vhost),
            patch("HTTP_ROUTE", "MERGE", {"route": {"timeout": "7s"}}, routeConfiguration=vhost),
            patch("HTTP_ROUTE", "INSERT_FIRST", {**top, "name": "never"},
                  routeConfiguration={"vhost": {"name": f"{A}:80", "route": {"name": "no-such"}}}),
        ),
    )["80"]  # fmt: skip
    (host,) = (host for host in routes.virtual_hosts if host.name == f"{A}:80")
    assert [(route.name, route.route.timeout.seconds) for route in host.routes] == [("top", 0), ("default", 7)]


def test_without_a_name_nothing_is_removed_and_only_filters_of_the_type_are_merged(see: Any) -> None:
    value = {
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "max_connect_attempts": 7,
        }
    }
    before = see(LDS)
    after = see(
        LDS,
        envoy_filter(
            "f",
            patch("HTTP_FILTER", "REMOVE", context="SIDECAR_OUTBOUND"),
            patch("NETWORK_FILTER", "REMOVE", context="SIDECAR_OUTBOUND"),
            patch("NETWORK_FILTER", "MERGE", value, context="SIDECAR_OUTBOUND"),
        ),
    )
    assert manager(after["0.0.0.0_80"]) == manager(before["0.0.0.0_80"])
    (chain,) = after["10.42.128.2_3306"].filter_chains
    assert TcpProxy.FromString(chain.filters[0].typed_config.value).max_connect_attempts.value == 7


@pytest.mark.parametrize(
    ("anchor", "operation", "follower"),
    [
        ("istio.metadata_exchange", "INSERT_AFTER", "envoy.filters.http.fault"),
        ("istio.alpn", "INSERT_BEFORE", "envoy.filters.http.fault"),
        ("istio.stats", "INSERT_BEFORE", ROUTER),
        ("envoy.filters.http.jwt_authn", "INSERT_BEFORE", ""),
    ],
)
def test_filters_that_istio_has_everywhere_are_places_here_too(
    see: Any, anchor: str, operation: str, follower: str
) -> None:
    names = http_filters(see(LDS, envoy_filter("f", insert("x", operation, anchor)))["0.0.0.0_80"])
    assert (names[names.index("x") + 1] if "x" in names else "") == follower


def test_merging_sets_false_and_zero_and_appends_lists(see: Any) -> None:
    value = {
        "name": MANAGER,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager",
            "generate_request_id": False,
            "stream_idle_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        },
    }
    chosen = {"filterChain": {"filter": {"name": MANAGER}}}
    before = manager(see(LDS)["0.0.0.0_80"])
    after = manager(see(LDS, envoy_filter("f", patch("NETWORK_FILTER", "MERGE", value, listener=chosen)))["0.0.0.0_80"])
    assert after.HasField("generate_request_id")
    assert not after.generate_request_id.value
    assert after.HasField("stream_idle_timeout")
    assert len(after.upgrade_configs) == len(before.upgrade_configs) + 1
    assert after.stat_prefix == before.stat_prefix


def test_a_context_and_a_port_choose_the_listeners(see: Any, world: list[dict[str, Any]]) -> None:
    inbound = see(LDS, envoy_filter("f", insert("x", context="SIDECAR_INBOUND")))
    assert "x" not in http_filters(inbound["0.0.0.0_80"])
    chains = {chain.name: chain for chain in inbound["virtualInbound"].filter_chains}
    assert any(b"x" in item.typed_config.value for item in chains["0.0.0.0_8080"].filters)
    narrow = patch("HTTP_FILTER", "INSERT_FIRST", lua("x"), context="SIDECAR_INBOUND", listener={"portNumber": 9999})
    assert see(LDS, envoy_filter("f", narrow))["virtualInbound"] == see(LDS)["virtualInbound"]
    wrong = patch("HTTP_FILTER", "INSERT_FIRST", lua("x"), listener={"portNumber": 81})
    assert see(LDS, envoy_filter("f", wrong))["0.0.0.0_80"] == see(LDS)["0.0.0.0_80"]


def test_clusters_are_chosen_by_their_parts(see: Any) -> None:
    value = {"connect_timeout": "3s"}
    for match, hit in (
        ({"service": A}, True),
        ({"service": A, "portNumber": 80}, True),
        ({"portNumber": 81}, False),
        ({"name": f"outbound|80||{A}"}, True),
        ({"subset": "v1"}, False),
        ({"service": B}, False),
    ):
        found = see(CDS, envoy_filter("f", patch("CLUSTER", "MERGE", value, cluster=match, context="SIDECAR_OUTBOUND")))
        assert (found[f"outbound|80||{A}"].connect_timeout.seconds == 3) == hit, match


@pytest.mark.parametrize("socket", ["envoy.transport_sockets.tls", "envoy.transport_sockets.alts"])
def test_a_socket_is_merged_into_that_of_the_endpoints_it_is_for(see: Any, k8s: SimpleNamespace, socket: str) -> None:
    tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    limit = {"common_tls_context": {"tls_params": {"tls_maximum_protocol_version": "TLSv1_2"}}}
    value = {"connect_timeout": "3s", "transport_socket": {"name": socket, "typed_config": {"@type": tls, **limit}}}
    mutual = k8s.pod("a-1", ip="10.42.0.3", app="a", **{"security.istio.io/tlsMode": "istio"})
    objects = [mutual, k8s.endpoints("a", pods={"a-1": "10.42.0.3"})]
    name = f"outbound|80||{A}"
    before = see(CDS, *objects)[name]
    chosen = {"cluster": {"service": A}, "context": "SIDECAR_OUTBOUND"}
    after = see(CDS, *objects, envoy_filter("f", patch("CLUSTER", "MERGE", value, **chosen)))[name]
    assert after.connect_timeout.seconds == 3
    assert not after.HasField("transport_socket")
    assert [each.name for each in after.transport_socket_matches] == ["tlsMode-istio", "tlsMode-disabled"]
    assert after.transport_socket_matches[1] == before.transport_socket_matches[1]
    contexts = [
        UpstreamTlsContext.FromString(each.transport_socket_matches[0].transport_socket.typed_config.value)
        for each in (before, after)
    ]
    if "tls" in socket:
        contexts[0].common_tls_context.tls_params.tls_maximum_protocol_version = TlsParameters.TLSv1_2
    assert contexts[1] == contexts[0]


@pytest.mark.parametrize(("port", "hit"), [(8080, True), (80, False)])
def test_routes_of_a_gateway_go_by_the_port_that_its_server_declares(
    see: Any, k8s: SimpleNamespace, port: int, hit: bool
) -> None:
    ports = [{"name": "http", "port": 8080, "targetPort": 80}]
    service = k8s.service("istio-ingressgateway", "istio-system", ports=ports, selector={"istio": "ingressgateway"})
    declared = {"number": 8080, "name": "http", "protocol": "HTTP"}
    routed = k8s.virtual_service("a", hosts=["*"], http=[{"route": [k8s.to("a")]}], gateways=["edge"])
    value = {"name": "more", "domains": ["more.example"]}
    chosen = {"routeConfiguration": {"portNumber": port}, "context": "GATEWAY"}
    added = envoy_filter("f", patch("VIRTUAL_HOST", "ADD", value, **chosen), namespace="istio-system")
    found = see(RDS, service, k8s.gateway(port=declared), routed, added, node=k8s.router())
    assert ("more" in [host.name for host in found["http.80"].virtual_hosts]) == hit


@pytest.mark.parametrize("host", [A, "a-canary.shop.svc.cluster.local"])
def test_an_inbound_cluster_goes_by_the_services_it_serves(see: Any, k8s: SimpleNamespace, host: str) -> None:
    chosen = {"service": host}
    found = see(
        CDS,
        k8s.service("a-canary", ip="10.42.128.4", selector={"app": "a"}),
        envoy_filter(
            "f", patch("CLUSTER", "MERGE", {"connect_timeout": "3s"}, cluster=chosen, context="SIDECAR_INBOUND")
        ),
    )
    assert found["inbound|8080||"].connect_timeout.seconds == 3
    assert found[f"outbound|80||{A}"].connect_timeout.seconds == 10


def test_clusters_and_listeners_are_added_and_removed(see: Any) -> None:
    extra = {"name": "extra", "type": "STATIC", "connect_timeout": "1s"}
    filters = (
        envoy_filter(
            "f",
            patch("CLUSTER", "ADD", extra),
            patch("CLUSTER", "REMOVE", cluster={"service": B}),
            patch("LISTENER", "REMOVE", listener={"portNumber": 3306}),
            patch("LISTENER", "ADD", {"name": "mine", "bind_to_port": False}, context="SIDECAR_OUTBOUND"),
        ),
    )
    clusters, listeners = see(CDS, *filters), see(LDS, *filters)
    assert "extra" in clusters
    assert f"outbound|3306||{B}" not in clusters
    assert f"outbound|80||{A}" in clusters
    assert "mine" in listeners
    assert "10.42.128.2_3306" not in listeners


def test_routes_and_virtual_hosts_are_patched(see: Any, k8s: SimpleNamespace) -> None:
    vhost = {"vhost": {"name": f"{A}:80"}}
    found = see(
        RDS,
        envoy_filter(
            "f",
            patch("ROUTE_CONFIGURATION", "MERGE", {"request_headers_to_remove": ["x"]},
                  routeConfiguration={"name": "80"}),
            patch("VIRTUAL_HOST", "MERGE", {"include_attempt_count_in_response": True}, routeConfiguration=vhost),
            patch("VIRTUAL_HOST", "ADD", {"name": "new", "domains": ["new.example"]},
                  routeConfiguration={"portNumber": 80}),
            patch("HTTP_ROUTE", "MERGE", {"route": {"timeout": "7s"}},
                  routeConfiguration={"vhost": {"name": f"{A}:80", "route": {"action": "ROUTE"}}}),
            patch("HTTP_ROUTE", "INSERT_FIRST",
                  {"name": "top", "match": {"prefix": "/top"}, "direct_response": {"status": 204}},
                  routeConfiguration=vhost),
        ),
    )["80"]  # fmt: skip
    hosts = {host.name: host for host in found.virtual_hosts}
    assert list(found.request_headers_to_remove) == ["x"]
    assert hosts[f"{A}:80"].include_attempt_count_in_response
    assert not hosts["allow_any"].include_attempt_count_in_response
    assert [route.name for route in hosts[f"{A}:80"].routes] == ["top", "default"]
    assert hosts[f"{A}:80"].routes[1].route.timeout.seconds == 7
    assert "new" in hosts


def test_routes_of_the_application_are_inside_the_inbound_listener(see: Any) -> None:
    found = see(
        LDS,
        envoy_filter(
            "f",
            patch(
                "HTTP_ROUTE",
                "MERGE",
                {"route": {"timeout": "7s"}},
                context="SIDECAR_INBOUND",
                routeConfiguration={"portNumber": 8080, "vhost": {"name": "inbound|http|80"}},
            ),
        ),
    )
    chains = {chain.name: chain for chain in found["virtualInbound"].filter_chains}
    inside = HttpConnectionManager.FromString(chains["0.0.0.0_8080"].filters[-1].typed_config.value)
    assert inside.route_config.virtual_hosts[0].routes[0].route.timeout.seconds == 7


def test_the_order_is_priority_then_root_then_age(see: Any) -> None:
    names = http_filters(
        see(
            LDS,
            envoy_filter("own-new", insert("own-new"), created="2026-03-01T00:00:00Z"),
            envoy_filter("own-old", insert("own-old"), created="2026-02-01T00:00:00Z"),
            envoy_filter("root", insert("root"), namespace="istio-system", created="2026-04-01T00:00:00Z"),
            envoy_filter("early", insert("early"), priority=-1, created="2026-05-01T00:00:00Z"),
            envoy_filter("elsewhere", insert("elsewhere"), namespace="bank"),
        )["0.0.0.0_80"]
    )
    assert [name for name in names if "." not in name] == ["early", "root", "own-old", "own-new"]


def test_a_selector_chooses_workloads(see: Any, k8s: SimpleNamespace) -> None:
    rule = envoy_filter("f", insert("x"), workloadSelector={"labels": {"app": "a"}})
    assert "x" in http_filters(see(LDS, rule)["0.0.0.0_80"])
    assert "x" not in http_filters(see(LDS, rule, node=k8s.sidecar(app="b"))["0.0.0.0_80"])


def test_target_refs_choose_proxies_of_a_gateway(see: Any) -> None:
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}
    rule = envoy_filter("f", insert("x"), targetRefs=[target])
    assert "x" not in http_filters(see(LDS, rule)["0.0.0.0_80"])


@pytest.mark.parametrize(("pattern", "hit"), [(r"^1\.3.*", True), (r"^1\.9.*", False), ("", True)])
def test_the_proxys_version_is_that_of_the_istio_it_is_like(see: Any, pattern: str, hit: bool) -> None:
    rule = envoy_filter("f", insert("x", proxy={"proxyVersion": pattern}))
    assert ("x" in http_filters(see(LDS, rule)["0.0.0.0_80"])) == hit


def test_metadata_of_the_proxy_is_asked(see: Any) -> None:
    assert "x" in http_filters(
        see(LDS, envoy_filter("f", insert("x", proxy={"metadata": {"NAMESPACE": "shop"}})))["0.0.0.0_80"]
    )
    assert "x" not in http_filters(
        see(LDS, envoy_filter("f", insert("x", proxy={"metadata": {"NAMESPACE": "bank"}})))["0.0.0.0_80"]
    )


def test_extension_configurations_are_added(k8s: SimpleNamespace, world: list[dict[str, Any]]) -> None:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in (*world, envoy_filter("f", patch("EXTENSION_CONFIG", "ADD", lua("mine")))))
    views = engine.attach(k8s.sidecar(app="a"))
    engine.take()
    found = [item.name for view in views for item in engine.resources(view, ECDS)]
    assert [name for name in found if name not in EMPTY] == ["mine"]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"connect_timeot": "3s"}, "connect_timeot", "no field"),
        ({"common_lb_config": {"panic": 1}}, "common_lb_config", "no field panic"),
        ({"lb_policy": "BEST"}, "lb_policy", "BEST"),
        ({"transport_socket": {"typed_config": {"@type": "a/envoy.no.such.v3.Thing"}}}, "transport_socket", "no type"),
        ({"transport_socket": {"typed_config": {"@type": "a/envoy.api.v2.auth.UpstreamTlsContext"}}},
         "transport_socket", "old API"),
    ],
)  # fmt: skip
def test_a_value_that_envoy_could_not_read_is_an_error(value: Any, path: str, words: str) -> None:
    rule = msgspec.convert(envoy_filter("f", patch("CLUSTER", "MERGE", value)), EnvoyFilter)
    (problem,) = patch_problems(ObjectKey("EnvoyFilter", "shop", "f"), rule)
    assert problem.level.value == "error"
    assert problem.path.startswith("spec.configPatches[0].patch.value")
    assert words in problem.message
    assert path in problem.path or path in problem.message


LUA = "a/envoy.extensions.filters.http.lua.v3.Lua"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"connect_timeoutt": "1s", "lb_policy": "NOPE"}, ["", "lb_policy"]),
        ({"connectTimeout": "1", "lbPolicy": "NOPE", "alt_stat_name": "x"}, ["connectTimeout", "lbPolicy"]),
        ({"circuit_breakers": {"thresholds": [{"max_requests": "a"}, {}, {"priority": "X"}]}},
         ["circuit_breakers.thresholds[0].max_requests", "circuit_breakers.thresholds[2].priority"]),
        ({"typed_extension_protocol_options": {"x": {"@type": "a/envoy.no.such.v3.Thing", "y": 1},
                                               "y": {"@type": LUA, "source_codes": {"s": {"inline_sting": ""}}, "z": 1},
                                               "z": {"@type": LUA}}},
         ["typed_extension_protocol_options.x", "typed_extension_protocol_options.y.source_codes.s",
          "typed_extension_protocol_options.y"]),
        ({"type": "EDS", "cluster_type": {"name": "a"}, "lb_policy": "NOPE"}, ["lb_policy", ""]),
        ({"type": "EDS", "cluster_type": {"name": "a"}}, [""]),
        ({"metadata": {"filter_metadata": {"a": {"any": [1, None]}}}, "max_requests_per_connection": 1}, []),
        ({"metadata": 3, "name": 4}, ["metadata", "name"]),
    ],
)  # fmt: skip
def test_all_that_envoy_could_not_read_in_a_value_is_told_at_once(value: Any, found: list[str]) -> None:
    rule = msgspec.convert(envoy_filter("f", patch("CLUSTER", "MERGE", value)), EnvoyFilter)
    problems = patch_problems(ObjectKey("EnvoyFilter", "shop", "f"), rule)
    prefix = "spec.configPatches[0].patch.value"
    assert [problem.path for problem in problems] == [f"{prefix}.{path}" if path else prefix for path in found]
    assert all(problem.level.value == "error" for problem in problems)


def test_one_patch_that_cannot_be_used_does_not_hide_the_others() -> None:
    wrong = {"lb_policy": "NOPE"}
    filters = [patch("INVALID", "MERGE", wrong), patch("CLUSTER", "MERGE", wrong), {"applyTo": "CLUSTER"}]
    [problem] = problems_of_patches(envoy_filter("f", *filters))
    assert problem.path == "spec.configPatches[1].patch.value.lb_policy"


def test_only_what_a_filter_speaks_of_is_made_again(k8s: SimpleNamespace, world: list[dict[str, Any]]) -> None:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in world)
    engine.attach(k8s.sidecar(app="a"))
    engine.attach(k8s.sidecar("bank", app="c"))
    engine.take()
    counted = dict(engine.computed)
    rule = envoy_filter(
        "f", patch("CLUSTER", "MERGE", {"connect_timeout": "3s"}, cluster={"name": f"outbound|80||{A}"})
    )
    engine.apply([Upsert(rule)])
    (update,) = engine.take()
    assert [item.name for item in update.upserts] == [f"outbound|80||{A}"]
    made = {kind for kind, count in engine.computed.items() if count != counted.get(kind, 0)}
    assert made == {"list", "amendments", "patched", "ready-patches", "added", "anchored"}
    engine.apply([Remove("networking.istio.io", "EnvoyFilter", "shop", "f")])
    (update,) = engine.take()
    assert [item.name for item in update.upserts] == [f"outbound|80||{A}"]


def test_what_a_proxy_refuses_is_taken_out_of_service(k8s: SimpleNamespace, world: list[dict[str, Any]]) -> None:
    engine = Engine()
    good, bad = envoy_filter("good", insert("good")), envoy_filter("bad", insert("bad"))
    engine.apply(Upsert(obj) for obj in (*world, good))
    (out, _) = engine.attach(k8s.sidecar(app="a"))
    engine.take()
    engine.apply([Upsert(bad)])
    engine.take()

    def filters() -> list[str]:
        engine.take()
        messages = {item.name: item for item in engine.resources(out, LDS)}
        return [name for name in ("good", "bad") if name.encode() in messages["0.0.0.0_80"].encoded]

    def version() -> str:
        return next(item.version for item in engine.resources(out, LDS) if item.name == "0.0.0.0_80")

    assert filters() == ["good", "bad"]
    told = version()
    assert engine.refused(LDS, [("0.0.0.0_80", version())], "no lua today") == "EnvoyFilter/shop/bad"
    assert engine.refused(LDS, [("0.0.0.0_80", told)], "no lua today") == "", "another proxy, of the same version"
    assert filters() == ["good"]
    assert engine.refused(LDS, [("0.0.0.0_80", told)], "no lua today") == "", "a late one"
    (problem,) = engine.problems()[ObjectKey("EnvoyFilter", "shop", "bad")]
    assert "no lua today" in problem.message
    engine.apply([Upsert(bad)])
    assert filters() == ["good"], "the same once more is not tried"
    engine.apply([Upsert(envoy_filter("bad", insert("bad"), priority=3))])
    assert filters() == ["good", "bad"]
    assert engine.refused(CDS, [(f"outbound|80||{A}", "")], "whatever") == ""
