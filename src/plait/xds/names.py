"""Every name of an Envoy object is made here. They are Istio's, since users meet them (istio-api.md, part 2)."""

from __future__ import annotations

from typing import Final

VIRTUAL_OUTBOUND: Final = "virtualOutbound"
VIRTUAL_INBOUND: Final = "virtualInbound"
PASSTHROUGH_CLUSTER: Final = "PassthroughCluster"
BLACKHOLE_CLUSTER: Final = "BlackHoleCluster"
INBOUND_PASSTHROUGH_CLUSTER: Final = "InboundPassthroughCluster"
PASSTHROUGH_CHAIN: Final = "PassthroughFilterChain"
OUTBOUND_BLACKHOLE_CHAIN: Final = "virtualOutbound-blackhole"
OUTBOUND_CATCHALL_CHAIN: Final = "virtualOutbound-catchall-tcp"
INBOUND_BLACKHOLE_CHAIN: Final = "virtualInbound-blackhole"
INBOUND_CATCHALL_CHAIN: Final = "virtualInbound"
ALLOW_ANY: Final = "allow_any"
BLOCK_ALL: Final = "block_all"
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 (a listener's address inside the pod, as in Istio's names)


def outbound_cluster(host: str, port: int, subset: str = "") -> str:
    """A port of a service, or of one of its subsets."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """The workload's own application; `port` is the container's."""
    return f"inbound|{port}||"


def listener(address: str, port: int) -> str:
    """Every listener but the two virtual ones; also an inbound filter chain."""
    return f"{address}_{port}"


def sidecar_routes(port: int) -> str:
    """The route configuration that all HTTP services of a port share."""
    return str(port)


def service_routes(host: str, port: int) -> str:
    """The route configuration of one service whose protocol is found out by looking."""
    return f"{host}:{port}"


def gateway_routes(port: int, bind: str = "") -> str:
    """The route configuration of all plain HTTP servers of a gateway's port."""
    return f"http.{port}.{bind}" if bind else f"http.{port}"


def virtual_host(host: str, port: int) -> str:
    """A service's or a rule's host on a port."""
    return f"{host}:{port}"


def blackhole_host(port: int) -> str:
    """What a gateway port without routes answers with 404."""
    return f"blackhole:{port}"


def inbound_virtual_host(port: int) -> str:
    """The one virtual host of inbound HTTP; `port` is the Service's."""
    return f"inbound|http|{port}"
