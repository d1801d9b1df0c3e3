"""The promise of the core: whatever happens in whatever order, the incremental result is the result from scratch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.api.decode import decode
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.fragments import VIEW_TYPES

NAMESPACES = ("shop", "bank", "istio-system")
GROUPS = {
    "Service": "",
    "Pod": "",
    "ConfigMap": "",
    "EndpointSlice": "discovery.k8s.io",
    "PeerAuthentication": "security.istio.io",
}


def settings_of_mesh(text: str) -> dict[str, Any]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}


def universe(k8s: SimpleNamespace) -> list[dict[str, Any]]:
    """Objects that touch one another; several versions of some, so that an upsert is also a change."""
    tcp = [{"name": "tcp-db", "port": 3306}]
    both = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "odd", "port": 9000, "targetPort": 9000}]
    named = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "odd", "port": 9000, "protocol": "TCP"}]
    match = {"headers": {"end-user": {"exact": "jason"}}}
    caller = {"match": [{"sourceLabels": {"app": "x"}}], "route": [k8s.to("db", "v1")]}
    listed = [{"address": "10.0.0.11"}, {"address": "198.51.100.2"}]
    chosen = {"labels": {"app": "a"}}
    served = [{"port": {"number": 9080, "name": "http", "protocol": "HTTP"}, "defaultEndpoint": "127.0.0.1:80"}]
    meshed = {"security.istio.io/tlsMode": "istio"}
    hashed = {"consistentHash": {"httpHeaderName": "x-user"}}
    objects = [
        k8s.service("a", ip="10.42.128.1"),
        k8s.service("a", ip="10.42.128.1", ports=both),
        k8s.service("a", ip="10.42.128.1", annotations={"networking.istio.io/exportTo": "."}),
        k8s.service("a", "bank", ip="10.42.128.2"),
        k8s.service("db", ip="None", ports=tcp),
        k8s.service("db", ip="10.42.128.3", ports=tcp),
        k8s.service("istio-ingressgateway", "istio-system", ip="10.42.128.4", selector={"istio": "ingressgateway"}),
        k8s.pod("a-1", ip="10.42.0.11", app="a", version="v1"),
        k8s.pod("a-1", ip="10.42.0.11", app="a", version="v2"),
        k8s.pod("a-2", ip="10.42.0.12", app="a", version="v2"),
        k8s.endpoints("a", pods={"a-1": "10.42.0.11"}),
        k8s.endpoints("a", pods={"a-1": "10.42.0.11", "a-2": "10.42.0.12"}, ports=named),
        k8s.endpoints("a", pods={}),
        k8s.endpoints("db", pods={"db-1": "10.42.0.21"}, ports=[{"name": "tcp-db", "port": 3306, "protocol": "TCP"}]),
        k8s.virtual_service("a", hosts=["a"], http=[{"match": [match], "route": [k8s.to("a", "v2")]}]),
        k8s.virtual_service(
            "a", hosts=["a"], http=[{"route": [k8s.to("a", "v1", weight=9), k8s.to("a", "v2", weight=1)]}]
        ),
        k8s.virtual_service(
            "a", hosts=["a"], http=[{"match": [{"sourceLabels": {"app": "x"}}], "route": [k8s.to("db")]}]
        ),
        k8s.virtual_service("older", hosts=["a", "out.example"], created="2025", http=[{"route": [k8s.to("a")]}]),
        k8s.virtual_service("wild", "bank", hosts=["*.shop.svc.cluster.local"], http=[{"redirect": {"uri": "/moved"}}]),
        k8s.virtual_service("mine", hosts=["a"], exportTo=["."], http=[{"route": [k8s.to("a", "v1")]}]),
        k8s.virtual_service("edge", hosts=["*"], gateways=["edge"], http=[{"route": [k8s.to("a", "v1")]}]),
        k8s.virtual_service("edge", hosts=["shop.example"], gateways=["edge"], http=[{"route": [k8s.to("db")]}]),
        k8s.destination_rule("a", host="a", subsets=["v1", "v2"]),
        k8s.service_entry("api", hosts=["api.example"], resolution="DNS"),
        k8s.service_entry("api", hosts=["api.example"], exportTo=["."], resolution="STATIC", endpoints=listed),
        k8s.service_entry("api", "bank", hosts=["api.example", "a.shop.svc.cluster.local"], resolution="DNS"),
        k8s.service_entry("files", hosts=["*.files.example"], protocol="TLS", resolution="NONE"),
        k8s.service_entry("both", hosts=["both.example"], resolution="STATIC", workloadSelector=chosen),
        k8s.workload_entry("vm", address="10.9.0.1", app="a"),
        k8s.workload_entry("vm", address="10.9.0.2", app="b"),
        k8s.sidecar_object("default", hosts=["./*", "bank/api.example"]),
        k8s.sidecar_object("default", hosts=["*/a.shop.svc.cluster.local"], outboundTrafficPolicy={}),
        k8s.sidecar_object("default", "istio-system", hosts=["*/*.example"]),
        k8s.sidecar_object("default", "istio-system", hosts=["*/*", "~bank/*", "~/db.shop.svc.cluster.local"]),
        k8s.sidecar_object("web", hosts=["~/*"], workloadSelector=chosen, ingress=served),
        k8s.destination_rule("a", host="a", subsets=["v1"]),
        k8s.destination_rule("limits", host="a", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 2}}}),
        k8s.destination_rule("a", "bank", host="a.shop.svc.cluster.local", subsets=["v2"]),
        k8s.destination_rule(
            "root", "istio-system", host="*.local", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}}
        ),
        k8s.pod("a-1", ip="10.42.0.11", app="a", version="v1", **meshed),
        k8s.pod("a-2", ip="10.42.0.12", app="a", version="v2", **meshed),
        k8s.pod("db-1", ip="10.42.0.21", app="db", **meshed),
        k8s.workload_entry("vm", address="10.9.0.1", app="a", **meshed),
        k8s.peer_authentication("default", "istio-system", "STRICT"),
        k8s.peer_authentication("default", "istio-system", "DISABLE"),
        k8s.peer_authentication("default", "shop", "PERMISSIVE"),
        k8s.peer_authentication("a", "shop", "UNSET", app="a"),
        k8s.peer_authentication("a", "shop", "DISABLE", app="a"),
        k8s.destination_rule("mutual", host="db", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}),
        k8s.destination_rule("mutual", host="db", trafficPolicy={"tls": {"mode": "DISABLE"}}),
        k8s.gateway("edge"),
        k8s.gateway("edge", hosts=["shop/*"], tls={"httpsRedirect": True}),
        k8s.gateway("other", "bank", hosts=["*.example"]),
        k8s.gateway("tcp", hosts=["*"], port={"number": 80, "name": "tcp", "protocol": "TCP"}),
        k8s.gateway("tcp", hosts=["*"], port={"number": 3306, "name": "tcp", "protocol": "TCP"}),
        k8s.virtual_service("db", hosts=["db", "a"], http=[], tcp=[{"route": [k8s.to("a", "v1", port=80)]}]),
        k8s.virtual_service("db", hosts=["db"], http=[], tcp=[caller, {"route": [k8s.to("db", "v1")]}]),
        k8s.virtual_service("edge-db", hosts=["*"], gateways=["tcp"], http=[], tcp=[{"route": [k8s.to("db", "v1")]}]),
        k8s.destination_rule("db", host="db", subsets=["v1"], trafficPolicy={"loadBalancer": hashed}),
        settings_of_mesh("accessLogFile: /dev/stdout\nenableAutoMtls: false\ntrustDomainAliases: [old.example]"),
        settings_of_mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"),
        settings_of_mesh("connectTimeout: 3s\ndefaultHttpRetryPolicy: {attempts: 0}"),
    ]
    for obj in objects:
        assert decode(obj).value is not None, decode(obj).problems
    return objects


def nodes(k8s: SimpleNamespace) -> list[Any]:
    return [
        k8s.sidecar("shop", app="a", version="v1"),
        k8s.sidecar("shop", pod="x", app="x"),
        k8s.sidecar("bank", app="a"),
        k8s.router(),
        k8s.router(istio="other"),
    ]


def key_of(obj: dict[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]


OBJECTS = 62
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.integers(0, OBJECTS - 1)),
        st.tuples(st.just("upsert"), st.integers(0, OBJECTS - 1)),
        st.tuples(st.just("remove"), st.integers(0, OBJECTS - 1)),
        st.tuples(st.just("attach"), st.integers(0, 4)),
        st.tuples(st.just("detach"), st.integers(0, 4)),
        st.tuples(st.just("take"), st.just(0)),
    ),
    max_size=60,
)


def from_scratch(world: dict[Any, dict[str, Any]], attached: dict[Any, int]) -> dict[str, dict[str, dict[str, str]]]:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in reversed(list(world.values())))
    for node in attached:
        engine.attach(node)
    engine.take()
    return collect(engine)


def collect(engine: Engine) -> dict[str, dict[str, dict[str, str]]]:
    return {
        view: {url: {item.name: item.version for item in engine.resources(view, url)} for url in VIEW_TYPES}
        for view in engine.views()
    }


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_incremental_result_is_the_result_from_scratch_and_updates_lead_there(
    k8s: SimpleNamespace, steps: list[tuple[str, int]]
) -> None:
    objects, proxies = universe(k8s), nodes(k8s)
    assert len(objects) == OBJECTS
    engine, ledger = Engine(), k8s.ledger()
    world: dict[Any, dict[str, Any]] = {}
    attached: dict[Any, int] = {}
    for action, number in [*steps, ("take", 0)]:
        if action == "upsert":
            obj = objects[number]
            world[key_of(obj)] = obj
            engine.apply([Upsert(obj)])
        elif action == "remove":
            kind, namespace, name = key_of(objects[number])
            world.pop((kind, namespace, name), None)
            engine.apply([Remove(GROUPS.get(kind, "networking.istio.io"), kind, namespace, name)])
        elif action == "attach":
            attached[proxies[number]] = attached.get(proxies[number], 0) + 1
            engine.attach(proxies[number])
        elif action == "detach" and proxies[number] in attached:
            attached[proxies[number]] -= 1
            if not attached[proxies[number]]:
                del attached[proxies[number]]
            engine.detach(proxies[number])
        elif action == "take":
            engine.moved()
            ledger.receive(engine.take())
            live = set(engine.views())
            # A receiver forgets views that nobody has.
            ledger.views = {view: types for view, types in ledger.views.items() if view in live}
            expected = from_scratch(world, attached)
            assert ledger.views == expected
            assert collect(engine) == expected
        live = set(engine.views())
        ledger.views = {view: types for view, types in ledger.views.items() if view in live}
    for node, count in attached.items():
        for _ in range(count):
            engine.detach(node)
    engine.take()
    assert len(engine._memo) == 0
    assert engine.views() == ()
