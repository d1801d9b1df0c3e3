"""How long configuration takes from nothing: no fragment is known, no resource encoded.

    python benchmarks/generate.py

A view of 1,000 Services with plain rules; the same in mutual TLS; the same with a VirtualService and a DestinationRule
each that use most of what there is (`rich`), and that under an EnvoyFilter for every cluster, or by delegates. A
gateway with 1,000 hosts, and one host whose 1,000 paths stand in as many VirtualServices. Then one rule changes, and
only what depends on it is made again.

There are two references, both over the same data in the same run: protobuf parsing and encoding the same messages once
each, and Python's JSON parser reading the same objects.
"""

from __future__ import annotations

import copy
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from push import endpoints, service, virtual_service

from plait.mesh.node import ProxyNode
from plait.xds.engine import Engine, Upsert
from plait.xds.resource import CDS, EDS, LDS, RDS, Resource

NAMESPACE, MANY, ROUNDS = "shop", 1000, 5
_NEVER = 1_000_000
TYPES = {CDS: Cluster, EDS: ClusterLoadAssignment, LDS: Listener, RDS: RouteConfiguration}
ISTIO = "networking.istio.io/v1"
SIDECAR = ProxyNode(kind="sidecar", ip="10.1.0.1", pod="caller", namespace=NAMESPACE, labels=(("app", "caller"),))
EDGE = ProxyNode(kind="router", ip="10.1.0.2", pod="edge", namespace="istio-system", labels=(("istio", "edge"),))


def services(count: int) -> list[dict[str, Any]]:
    return [obj for number in range(count) for obj in (service(number), endpoints(number, 1))]


def destination_rule(number: int) -> dict[str, Any]:
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    spec = {
        "host": f"s{number}",
        "subsets": subsets,
        "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 9}}},
    }
    metadata = {"name": f"s{number}", "namespace": NAMESPACE}
    return {"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": metadata, "spec": spec}


def gateway(hosts: list[str]) -> dict[str, Any]:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts}
    metadata = {"name": "edge", "namespace": NAMESPACE}
    spec = {"selector": {"istio": "edge"}, "servers": [server]}
    return {"apiVersion": ISTIO, "kind": "Gateway", "metadata": metadata, "spec": spec}


def edge_rule(number: int, host: str, path: str) -> dict[str, Any]:
    route = {"destination": {"host": f"s{number % 100}", "port": {"number": 80}}}
    spec = {
        "hosts": [host],
        "gateways": ["edge"],
        "http": [{"match": [{"uri": {"prefix": path}}], "route": [route]}],
    }
    metadata = {"name": f"e{number}", "namespace": NAMESPACE, "creationTimestamp": f"2026-01-01T00:{number // 60:02}"}
    return {"apiVersion": ISTIO, "kind": "VirtualService", "metadata": metadata, "spec": spec}


def rich_rule(number: int, round_: int = 0) -> dict[str, Any]:
    """A VirtualService with most of what a route can say."""
    to = [
        {"destination": {"host": f"s{number}", "subset": version, "port": {"number": 80}}, "weight": weight}
        for version, weight in (("v1", 90), ("v2", 10))
    ]
    first = {
        "match": [
            {"uri": {"prefix": f"/r{round_}"}, "headers": {"x-user": {"exact": "jason"}}, "method": {"exact": "GET"}}
        ],
        "rewrite": {"uri": "/"},
        "timeout": "3s",
        "retries": {"attempts": 2, "perTryTimeout": "1s", "retryOn": "5xx,reset"},
        "fault": {"delay": {"percentage": {"value": 1}, "fixedDelay": "0.1s"}},
        "headers": {"request": {"set": {"x-a": "b"}}, "response": {"remove": ["x-c"]}},
        "corsPolicy": {"allowOrigins": [{"exact": "https://example.com"}], "allowMethods": ["GET"], "maxAge": "24h"},
        "route": to,
    }
    last = {"mirror": {"host": f"s{(number + 1) % MANY}"}, "mirrorPercentage": {"value": 5}, "route": to}
    metadata = {"name": f"s{number}", "namespace": NAMESPACE}
    spec = {"hosts": [f"s{number}"], "http": [first, last]}
    return {"apiVersion": ISTIO, "kind": "VirtualService", "metadata": metadata, "spec": spec}


def rich_destination(number: int) -> dict[str, Any]:
    """A DestinationRule with most of what a destination can say."""
    made = destination_rule(number)
    made["spec"]["trafficPolicy"] = {
        "loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "ttl": "0s"}}},
        "connectionPool": {
            "tcp": {"maxConnections": 9, "connectTimeout": "1s"},
            "http": {"http1MaxPendingRequests": 9},
        },
        "outlierDetection": {"consecutive5xxErrors": 5, "interval": "10s", "baseEjectionTime": "30s"},
        "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "ISTIO_MUTUAL"}}],
    }
    return made


def delegated(number: int) -> list[dict[str, Any]]:
    """A VirtualService whose routes stand in another."""
    root, leaf = rich_rule(number), rich_rule(number)
    leaf["metadata"]["name"] += "-leaf"
    del leaf["spec"]["hosts"]
    for route in leaf["spec"]["http"]:
        route.pop("match", None)
    delegate = {"name": leaf["metadata"]["name"], "namespace": NAMESPACE}
    root["spec"]["http"] = [{"match": [{"uri": {"prefix": "/"}}], "delegate": delegate}]
    leaf["spec"]["http"] = leaf["spec"]["http"][:1]
    return [root, leaf]


def every_cluster() -> dict[str, Any]:
    """An EnvoyFilter that holds for all."""
    patch = {
        "applyTo": "CLUSTER",
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": {"per_connection_buffer_limit_bytes": 65536}},
    }
    metadata = {"name": "buffers", "namespace": NAMESPACE}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": metadata,
        "spec": {"configPatches": [patch]},
    }


def rich() -> list[dict[str, Any]]:
    rules = [obj for number in range(MANY) for obj in (rich_rule(number), rich_destination(number))]
    return [*services(MANY), *rules]


def patched() -> list[dict[str, Any]]:
    return [*rich(), every_cluster()]


def delegates() -> list[dict[str, Any]]:
    return [*services(MANY), *(obj for number in range(MANY) for obj in (*delegated(number), rich_destination(number)))]


def view() -> list[dict[str, Any]]:
    rules = [obj for number in range(MANY) for obj in (virtual_service(number, 0), destination_rule(number))]
    return [*services(MANY), *rules]


def mutual() -> list[dict[str, Any]]:
    """The plain rules, and behind each Service a pod of its own service account that takes part in mutual TLS."""
    return [*view(), *(meshed(number) for number in range(MANY))]


def meshed(number: int) -> dict[str, Any]:
    """The pod of a Service's endpoint."""
    name = f"p{number}"
    labels = {"app": f"s{number}", "version": "v1", "security.istio.io/tlsMode": "istio"}
    address = endpoints(number, 1)["endpoints"][0]["addresses"][0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"serviceAccountName": f"s{number}", "containers": []},
        "status": {"podIP": address, "phase": "Running"},
    }


def hosts() -> list[dict[str, Any]]:
    rules = [edge_rule(number, f"h{number}.example", "/") for number in range(MANY)]
    return [*services(100), gateway([f"h{number}.example" for number in range(MANY)]), *rules]


def paths() -> list[dict[str, Any]]:
    rules = [edge_rule(number, "one.example", f"/p{number}") for number in range(MANY)]
    return [*services(100), gateway(["one.example"]), *rules]


def protobuf_alone(made: list[Resource]) -> float:
    """Seconds to parse and to encode the messages of these resources."""
    elements = [DeltaDiscoveryResponse.FromString(item.encoded).resources[0].resource for item in made]
    pairs = [(TYPES[element.type_url], element.value) for element in elements if element.type_url in TYPES]
    began = time.process_time()
    for kind, value in pairs:
        kind.FromString(value).SerializeToString(deterministic=True)
    return time.process_time() - began


def one_change(engine: Engine, objects: list[dict[str, Any]]) -> float:
    """Seconds until a change of the last VirtualService's first route is through."""
    rule = copy.deepcopy(next(obj for obj in reversed(objects) if obj["kind"] == "VirtualService"))
    rule["spec"]["http"][0]["timeout"] = "7s"
    began = time.process_time()
    engine.apply([Upsert(rule)])
    if not engine.take():
        raise RuntimeError("the change changed nothing")
    return time.process_time() - began


def measure(make: Callable[[], list[dict[str, Any]]], node: ProxyNode) -> dict[str, Any]:
    text = json.dumps(make())
    reading, indexing, generating, encoding, changing, size = [], [], [], [], [], 0
    for _ in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        objects = json.loads(text)
        reading.append(time.process_time() - began)
        engine = Engine()
        began = time.process_time()
        engine.apply([Upsert(obj) for obj in objects])
        indexing.append(time.process_time() - began)
        engine.attach(node)
        began = time.process_time()
        updates = engine.take()
        generating.append(time.process_time() - began)
        made = [item for update in updates for item in update.upserts]
        size = sum(len(item.encoded) for item in made)
        encoding.append(protobuf_alone(made))
        # As istiod does when its first state is in: a full collection would cost more than the change.
        gc.collect()
        gc.freeze()
        changing.append(one_change(engine, objects))
        gc.unfreeze()
    encode_ms, change_ms = (statistics.median(values) * 1000 for values in (encoding, changing))
    json_ms, index_ms, make_ms = (statistics.median(values) * 1000 for values in (reading, indexing, generating))
    return {
        "objects": len(objects),
        "resources_kb": round(size / 1000),
        "decode_validate_index_ms": round(index_ms, 1),
        "generate_ms": round(make_ms, 1),
        "one_rule_changes_ms": round(change_ms, 2),
        "protobuf_alone_ms": round(encode_ms, 2),
        "ratio_generate_to_protobuf": round(make_ms / encode_ms, 1),
        "json_parse_ms": round(json_ms, 2),
        "ratio_generate_to_json_parse": round(make_ms / json_ms, 1),
    }


def main() -> None:
    # As in istiod: full collections wait until nothing else is to be done. One of them is 100 ms here.
    gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
    figures = {
        "view_of_1000_services": measure(view, SIDECAR),
        "the_same_in_mutual_tls": measure(mutual, replace(SIDECAR, certificates=True)),
        "the_same_rich": measure(rich, SIDECAR),
        "rich_with_an_envoy_filter": measure(patched, SIDECAR),
        "rich_by_delegates": measure(delegates, SIDECAR),
        "gateway_with_1000_hosts": measure(hosts, EDGE),
        "one_host_with_1000_paths": measure(paths, EDGE),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
