"""Every name of an Envoy object is made here. They are Istio's, since users meet them (istio-api.md, part 2)."""

from __future__ import annotations

from typing import Final

VIRTUAL_OUTBOUND: Final = "virtualOutbound"
VIRTUAL_INBOUND: Final = "virtualInbound"
PASSTHROUGH_CLUSTER: Final = "PassthroughCluster"
DYNAMIC_DNS_CLUSTER: Final = "AllowAnyDynamicDNSCluster"
BLACKHOLE_CLUSTER: Final = "BlackHoleCluster"
INBOUND_PASSTHROUGH_CLUSTER: Final = "InboundPassthroughCluster"
LOCAL_CLUSTER: Final = "local_cluster"
"""The cluster that a proxy itself is one of: its endpoints say where its own kind is, nothing is sent to it."""
PASSTHROUGH_CHAIN: Final = "PassthroughFilterChain"
OUTBOUND_BLACKHOLE_CHAIN: Final = "virtualOutbound-blackhole"
OUTBOUND_CATCHALL_CHAIN: Final = "virtualOutbound-catchall-tcp"
INBOUND_BLACKHOLE_CHAIN: Final = "virtualInbound-blackhole"
INBOUND_CATCHALL_CHAIN: Final = "virtualInbound"
INBOUND_CATCHALL_HTTP_CHAIN: Final = "virtualInbound-catchall-http"
HTTP_PROXY: Final = "http_proxy"
"""The route configuration of an egress listener that serves as an HTTP proxy."""
ALLOW_ANY: Final = "allow_any"
ALLOW_ANY_DYNAMIC_DNS: Final = "allow_any_dynamic_dns"
BLOCK_ALL: Final = "block_all"
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 (a listener's address inside the pod, as in Istio's names)

PROBE: Final = "plait_probe"
"""The listener and route of a proxy through which istiod asks what it runs with: no part of the mesh."""
PROBE_PORT: Final = 15004
"""Its port: one of those that Istio keeps for its sidecars (there the debug port)."""


def stat_name(
    pattern: str, *, host: str, service: str, namespace: str, port: int, port_name: str, target: int = 0,
    subset: str = "",
) -> str:  # fmt: skip
    """The name of a cluster in statistics by a pattern of the mesh's settings, ended by `;` (Istio).

    `service` and `namespace` are a Kubernetes Service's; of other hosts the host itself stands for both names.
    """
    for variable, value in (
        ("%SERVICE_FQDN%", host),
        ("%SERVICE_NAME%", service or host),
        ("%SERVICE_PORT_NAME%", port_name),
        ("%SERVICE_PORT%", str(port)),
        ("%SERVICE%", f"{service}.{namespace}" if service else host),
        ("%TARGET_PORT%", str(target) if target else ""),
        ("%SUBSET_NAME%", subset),
    ):
        pattern = pattern.replace(variable, value)
    return f"{pattern};"


def outbound_cluster(host: str, port: int, subset: str = "") -> str:
    """A port of a service, or of one of its subsets."""
    return f"outbound|{port}|{subset}|{host}"


def sni(host: str, port: int, subset: str = "") -> str:
    """The name that mutual TLS asks a port of a service for, and its cluster at a gateway that goes by that name."""
    return f"outbound_.{port}_.{subset}_.{host}"


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


def secure_gateway_routes(port: int, port_name: str, gateway: str, namespace: str, bind: str = "") -> str:
    """The route configuration of one server of a Gateway at which TLS ends; `port` is the Gateway's."""
    name = f"https.{port}.{port_name}.{gateway}.{namespace}"
    return f"{name}.{bind}" if bind else name


def virtual_host(host: str, port: int) -> str:
    """A service's or a rule's host on a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def blackhole_host(port: int) -> str:
    """What a gateway port without routes answers with 404."""
    return f"blackhole:{port}"


def inbound_virtual_host(port: int) -> str:
    """The one virtual host of inbound HTTP; `port` is the Service's."""
    return f"inbound|http|{port}"


#: By which name the agent gives a workload's own certificate (SDS).
WORKLOAD_CERTIFICATE: Final = "default"
ROOT_CERTIFICATES: Final = "ROOTCA"
"""By which name the agent gives the authorities of the mesh."""
SDS_CLUSTER: Final = "sds-grpc"
"""The cluster of the bootstrap that leads to the agent's socket."""
