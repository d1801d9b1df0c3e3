"""What a workload serves -> the listener `virtualInbound` and the clusters of the application's own ports.

One filter chain per declared port. An application's port without a Service passes through. Chains for mutual TLS will
stand beside the plain ones of the same port: `_chains` makes all chains of one port.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import msgspec
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import INBOUND
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    ListenerFilter,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector

from plait.api.destinationrule import ConnectionPool, TrafficPolicy
from plait.mesh.config import MeshConfig
from plait.mesh.entry_endpoints import UNIX
from plait.mesh.inbound import InboundPort
from plait.snapshot.keys import SERVICE
from plait.snapshot.protocols import Protocol
from plait.xds import names
from plait.xds.cluster import (
    HTTP_OPTIONS,
    circuit_breakers,
    connect_timeout_of,
    http_options,
    passthrough_cluster,
    set_keepalive,
)
from plait.xds.encode import duration, packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.listener import HTTP_INSPECTOR, PLAIN_HTTP, TLS_INSPECTOR, sniffing_timeout, tcp_proxy
from plait.xds.manners import PLAIN, Manners
from plait.xds.origin import origin_metadata
from plait.xds.tls import downstream_tls

CAPTURE_PORT: Final = 15006
ORIGINAL_DST: Final = "envoy.filters.listener.original_dst"
#: The source address of the sidecar's own calls to the application: capture exempts it.
LOCAL_ADDRESS: Final = "127.0.0.6"


def virtual_inbound(
    ports: tuple[InboundPort, ...], *, detection_timeout: timedelta, manners: Manners = PLAIN
) -> Listener:
    """The listener of the capture port.

    Only ports without a declared protocol, and those where TLS ends, are looked into; which those are is a property of
    the listener, so a change of them drains it.
    """
    listener = Listener(name=names.VIRTUAL_INBOUND, traffic_direction=INBOUND)
    listener.address.socket_address.address = names.ANY_ADDRESS
    listener.address.socket_address.port_value = CAPTURE_PORT
    listener.listener_filters.append(ListenerFilter(name=ORIGINAL_DST, typed_config=packed(OriginalDst())))
    for name, config, looked_into in (
        (TLS_INSPECTOR, TlsInspector(), [port.port for port in ports if port.tls is not None]),
        (HTTP_INSPECTOR, HttpInspector(), [port.port for port in ports if port.protocol is Protocol.AUTO]),
    ):
        if looked_into:
            inspector = ListenerFilter(name=name, typed_config=packed(config))
            inspector.filter_disabled.not_match.CopyFrom(_any_port(looked_into))
            listener.listener_filters.append(inspector)
    listener.listener_filters_timeout.CopyFrom(duration(detection_timeout.total_seconds()))
    listener.continue_on_listener_filters_timeout = True
    loop = FilterChain(name=names.INBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    listener.filter_chains.append(loop)
    for port in ports:
        listener.filter_chains.extend(_chains(port, manners))
    rest = tcp_proxy(names.INBOUND_PASSTHROUGH_CLUSTER, manners=manners)
    listener.filter_chains.append(FilterChain(name=names.INBOUND_CATCHALL_CHAIN, filters=[rest]))
    return listener


def _any_port(ports: list[int]) -> ListenerFilterChainMatchPredicate:
    """Matches connections to any of `ports`; the end of a range is exclusive."""
    rules = []
    for port in ports:
        rule = ListenerFilterChainMatchPredicate()
        rule.destination_port_range.start, rule.destination_port_range.end = port, port + 1
        rules.append(rule)
    if len(rules) == 1:
        return rules[0]
    result = ListenerFilterChainMatchPredicate()
    result.or_match.rules.extend(rules)
    return result


def _chains(port: InboundPort, manners: Manners) -> Iterator[FilterChain]:
    """All filter chains of one port; they share a name and differ by match."""
    if port.protocol is Protocol.AUTO:
        http = _chain(port, _http(port, manners), manners)
        http.name += "-http"
        # No transport protocol: Envoy never goes back to a chain that names none once one that does has its port, and
        # what is no HTTP would find no chain at all.
        http.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
        yield http
    if port.protocol.is_http:
        yield _chain(port, _http(port, manners), manners)
    else:
        policy = TrafficPolicy(connection_pool=port.pool)
        connections = tcp_proxy(names.inbound_cluster(port.port), policy=policy, manners=manners)
        yield _chain(port, connections, manners)


def _chain(port: InboundPort, network_filter: Filter, manners: Manners) -> FilterChain:
    chain = FilterChain(
        name=names.listener(port.bind or names.ANY_ADDRESS, port.port),
        filters=[network_filter],
        metadata=origin_metadata(port.origin),
    )
    chain.filter_chain_match.destination_port.value = port.port
    if port.tls is not None:
        chain.filter_chain_match.transport_protocol = "tls"
        chain.transport_socket.CopyFrom(downstream_tls(port.tls, manners.tls, http=port.protocol.is_http))
    return chain


def _http(port: InboundPort, manners: Manners) -> Filter:
    cluster = names.inbound_cluster(port.port)
    host = VirtualHost(name=names.inbound_virtual_host(port.service_port), domains=["*"])
    host.metadata.CopyFrom(origin_metadata(port.origin))
    route = host.routes.add(name="default", metadata=origin_metadata(port.origin))
    route.match.prefix = "/"
    route.route.cluster = cluster
    route.route.timeout.CopyFrom(duration(0))
    routes = RouteConfiguration(name=cluster, virtual_hosts=[host])
    routes.validate_clusters.value = False
    prefix = f"inbound_{names.listener(names.ANY_ADDRESS, port.port)}"
    return http_connection_manager("inbound", stat_prefix=prefix, routes=routes, manners=manners)


def inbound_cluster(port: InboundPort, *, mesh: MeshConfig) -> Cluster:
    """The application on `port`, called at the address the caller called: it may listen on the pod's address only."""
    cluster = Cluster(
        name=names.inbound_cluster(port.port), type=Cluster.ORIGINAL_DST, lb_policy=Cluster.CLUSTER_PROVIDED
    )
    timeout = connect_timeout_of(port.pool, mesh.connect_timeout)
    cluster.connect_timeout.CopyFrom(duration(timeout.total_seconds()))
    cluster.circuit_breakers.CopyFrom(circuit_breakers(port.pool))
    set_keepalive(cluster, port.pool, mesh.tcp_keepalive)
    service = port.origin.object
    cluster.metadata.CopyFrom(origin_metadata(port.origin, svc=f"{port.host}|{service.name}|{service.namespace}"))
    if mesh.inbound_stat_name:
        cluster.alt_stat_name = names.stat_name(
            mesh.inbound_stat_name, host=port.host, service=service.name if service.kind == SERVICE else "",
            namespace=service.namespace, port=port.service_port, port_name=port.name, target=port.port,
        )  # fmt: skip
    _to_endpoint(cluster, port.endpoint or (f"127.0.0.1:{port.port}" if mesh.inbound_to_localhost else ""))
    options = http_options(port.protocol, TrafficPolicy(connection_pool=_as_declared(port.pool)), upgrade=False)
    if options is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    return cluster


def _as_declared(pool: ConnectionPool | None) -> ConnectionPool | None:
    """Istio: the application is spoken to as its port says, `h2UpgradePolicy` is for callers."""
    if pool is None or pool.http is None:
        return pool
    http = msgspec.structs.replace(pool.http, h2_upgrade_policy="DO_NOT_UPGRADE")
    return msgspec.structs.replace(pool, http=http)


def _to_endpoint(cluster: Cluster, endpoint: str) -> None:
    """Send to where a Sidecar says; `0.0.0.0:PORT` is another port of the address that was called."""
    if endpoint.startswith(UNIX):
        address = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address
        address.pipe.path = endpoint.removeprefix(UNIX)
    elif endpoint and not endpoint.startswith((names.ANY_ADDRESS, "[::]")):
        host, _, number = endpoint.rpartition(":")
        address = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address
        address.socket_address.address = host.strip("[]") or "127.0.0.1"
        address.socket_address.port_value = int(number)
    else:
        if endpoint:
            cluster.original_dst_lb_config.upstream_port_override.value = int(endpoint.rpartition(":")[2])
        _from_local(cluster)
        return
    cluster.type, cluster.lb_policy = Cluster.STATIC, Cluster.ROUND_ROBIN
    cluster.load_assignment.cluster_name = cluster.name


def bound_name(port: InboundPort) -> str:
    """The name of the listener of a port that the proxy itself listens on."""
    return names.listener(port.bind or names.ANY_ADDRESS, port.port)


def bound_listener(port: InboundPort, *, detection_timeout: timedelta, manners: Manners = PLAIN) -> Listener:
    """A port of a Sidecar with captureMode NONE."""
    listener = Listener(name=bound_name(port), traffic_direction=INBOUND)
    listener.address.socket_address.address = port.bind or names.ANY_ADDRESS
    listener.address.socket_address.port_value = port.port
    for chain in _chains(port, manners):
        chain.filter_chain_match.ClearField("destination_port")
        listener.filter_chains.append(chain)
    if port.tls is not None:
        listener.listener_filters.append(ListenerFilter(name=TLS_INSPECTOR, typed_config=packed(TlsInspector())))
        sniffing_timeout(listener, detection_timeout)
    if port.protocol is Protocol.AUTO:
        listener.listener_filters.append(ListenerFilter(name=HTTP_INSPECTOR, typed_config=packed(HttpInspector())))
        sniffing_timeout(listener, detection_timeout)
    return listener


def inbound_passthrough(mesh: MeshConfig) -> Cluster:
    """Ports that no Service declares."""
    cluster = passthrough_cluster(names.INBOUND_PASSTHROUGH_CLUSTER, mesh)
    _from_local(cluster)
    return cluster


def _from_local(cluster: Cluster) -> None:
    cluster.upstream_bind_config.source_address.address = LOCAL_ADDRESS
    cluster.upstream_bind_config.source_address.port_value = 0
