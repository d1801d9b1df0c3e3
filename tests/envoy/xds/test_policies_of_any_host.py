"""Whatever a DestinationRule says of whatever kind of host: Envoy takes the clusters of all combinations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import destination_rule, istio, service

from plait.api.problem import Level
from plait.xds.resource import CDS

pytestmark = pytest.mark.envoy

KINDS = ("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS", "service", "headless")
BALANCERS: tuple[dict[str, Any], ...] = (
    {"simple": "LEAST_REQUEST", "localityLbSetting": {"failoverPriority": ["version"]}},
    {"simple": "PASSTHROUGH"},
    {"simple": "RANDOM", "localityLbSetting": {"distribute": [{"from": "*", "to": {"*": 100}}]}},
    {"simple": "ROUND_ROBIN", "warmup": {"duration": "10s"}},
    {"consistentHash": {"httpHeaderName": "x"}},
    {"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 11}}},
    {"backendUtilization": {}},
    {"zoneAwareLbSetting": {"minClusterSize": 2}},
)
TLS: tuple[dict[str, Any], ...] = (
    {},
    {"tls": {"mode": "SIMPLE"}},
    {"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}, "proxyProtocol": {"version": "V2"}},
    {"tls": {"mode": "ISTIO_MUTUAL"}},
)
POOLS: tuple[dict[str, Any], ...] = (
    {"outlierDetection": {"outlierDetectionHttpErrorCodes": [500], "minHealthPercent": 20}},
    {"connectionPool": {"http": {"useClientProtocol": True, "maxConcurrentStreams": 3}}},
    {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}, "tcp": {"idleTimeout": "3s"}}},
)
PROTOCOLS = ("HTTP", "TLS", "GRPC")


def host_of(kind: str, number: int) -> tuple[str, dict[str, Any]]:
    """(host, what defines it); of all combinations each third speaks the same protocol."""
    name, protocol = f"{kind.lower().replace('_', '-')}-{number}", PROTOCOLS[number % 3]
    if kind in {"service", "headless"}:
        address = "None" if kind == "headless" else f"10.42.128.{number + 1}"
        return f"{name}.shop.svc.cluster.local", service(name, port_name=protocol.lower(), clusterIP=address)
    spec: dict[str, Any] = {
        "hosts": [f"*.{name}.example" if kind == "DYNAMIC_DNS" else f"{name}.example"],
        "ports": [{"number": 80, "name": "port", "protocol": protocol}],
        "resolution": kind,
        "location": ("MESH_EXTERNAL", "MESH_INTERNAL")[number % 2],
    }
    if kind == "STATIC":
        spec["endpoints"] = [{"address": "192.0.2.1", "locality": "west/w1"}]
    elif kind == "NONE":
        spec["addresses"] = [f"10.9.0.{number + 1}"]
    return spec["hosts"][0], istio("ServiceEntry", name, spec)


@pytest.mark.parametrize("kind", ["sidecar", "router"])
def test_envoy_takes_every_policy_of_every_kind_of_host(
    kind: str, mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    objects, routes = [], []
    for sort in KINDS:
        for number, (balancer, tls, pool) in enumerate(product(BALANCERS, TLS, POOLS)):
            host, definition = host_of(sort, number)
            objects += [definition, destination_rule(host, {"loadBalancer": balancer, **tls, **pool})]
            if not host.startswith("*"):
                routes.append({"match": [{"uri": {"exact": f"/{host}"}}], "route": [{"destination": {"host": host}}]})
    if kind == "router":
        server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
        objects.append(istio("Gateway", "edge", {"selector": {"istio": "edge"}, "servers": [server]}))
        objects.append(istio("VirtualService", "edge", {"hosts": ["*"], "gateways": ["edge"], "http": routes}))
    labels = (("istio", "edge"),)
    node = mesh.node(kind=kind, ip="10.42.0.2", pod="caller", namespace="shop", labels=labels, certificates=True)
    proxy = mesh.proxy(objects, node)
    assert len(proxy.messages[CDS]) > len(routes)
    problems = [one for found in proxy.engine.problems().values() for one in found]
    assert not [str(one) for one in problems if one.level is Level.ERROR]
    accepted_by_envoy(proxy.bootstrap())
