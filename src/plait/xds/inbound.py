"""What a workload serves -> the listener `virtualInbound` and the clusters of the application's own ports.

One filter chain per declared port. An application's port without a Service passes through. Chains for mutual TLS will
stand beside the plain ones of the same port: `_chains` makes all chains of one port.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

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
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from plait.mesh.inbound import InboundPort
from plait.snapshot.protocols import Protocol
from plait.xds import names
from plait.xds.cluster import HTTP_OPTIONS, circuit_breakers, passthrough_cluster
from plait.xds.encode import duration, packed
from plait.xds.http_connection import Logs, http_connection_manager
from plait.xds.listener import HTTP_INSPECTOR, PLAIN_HTTP, tcp_proxy
from plait.xds.origin import origin_metadata

CAPTURE_PORT: Final = 15006
ORIGINAL_DST: Final = "envoy.filters.listener.original_dst"
#: The source address of the sidecar's own calls to the application: capture exempts it.
LOCAL_ADDRESS: Final = "127.0.0.6"


def virtual_inbound(ports: tuple[InboundPort, ...], *, detection_timeout: timedelta, logs: Logs = ()) -> Listener:
    """The listener of the capture port.

    Only ports without a declared protocol are looked into; which those are is a property of the listener, so a change
    of them drains it.
    """
    listener = Listener(name=names.VIRTUAL_INBOUND, traffic_direction=INBOUND)
    listener.address.socket_address.address = names.ANY_ADDRESS
    listener.address.socket_address.port_value = CAPTURE_PORT
    listener.listener_filters.append(ListenerFilter(name=ORIGINAL_DST, typed_config=packed(OriginalDst())))
    sniffed = [port.port for port in ports if port.protocol is Protocol.AUTO]
    if sniffed:
        inspector = ListenerFilter(name=HTTP_INSPECTOR, typed_config=packed(HttpInspector()))
        inspector.filter_disabled.not_match.CopyFrom(_any_port(sniffed))
        listener.listener_filters.append(inspector)
    listener.listener_filters_timeout.CopyFrom(duration(detection_timeout.total_seconds()))
    listener.continue_on_listener_filters_timeout = True
    loop = FilterChain(name=names.INBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    listener.filter_chains.append(loop)
    for port in ports:
        listener.filter_chains.extend(_chains(port, logs))
    rest = tcp_proxy(names.INBOUND_PASSTHROUGH_CLUSTER, logs=logs)
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


def _chains(port: InboundPort, logs: Logs) -> Iterator[FilterChain]:
    """All filter chains of one port; they share a name and differ by match."""
    if port.protocol is Protocol.AUTO:
        http = _chain(port, _http(port, logs))
        http.name += "-http"
        # No transport protocol: Envoy never goes back to a chain that names none once one that does has its port, and
        # what is no HTTP would find no chain at all.
        http.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
        yield http
    if port.protocol.is_http:
        yield _chain(port, _http(port, logs))
    else:
        yield _chain(port, tcp_proxy(names.inbound_cluster(port.port), logs=logs))


def _chain(port: InboundPort, network_filter: Filter) -> FilterChain:
    chain = FilterChain(
        name=names.listener(names.ANY_ADDRESS, port.port),
        filters=[network_filter],
        metadata=origin_metadata(port.origin),
    )
    chain.filter_chain_match.destination_port.value = port.port
    return chain


def _http(port: InboundPort, logs: Logs) -> Filter:
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
    return http_connection_manager("inbound", stat_prefix=prefix, routes=routes, logs=logs)


def inbound_cluster(port: InboundPort, *, connect_timeout: timedelta) -> Cluster:
    """The application on `port`, called at the address the caller called: it may listen on the pod's address only."""
    cluster = Cluster(
        name=names.inbound_cluster(port.port), type=Cluster.ORIGINAL_DST, lb_policy=Cluster.CLUSTER_PROVIDED
    )
    cluster.connect_timeout.CopyFrom(duration(connect_timeout.total_seconds()))
    cluster.circuit_breakers.CopyFrom(circuit_breakers(None))
    service = port.origin.object
    cluster.metadata.CopyFrom(origin_metadata(port.origin, svc=f"{port.host}|{service.name}|{service.namespace}"))
    _from_local(cluster)
    options = HttpProtocolOptions()
    if port.protocol is Protocol.HTTP2:
        options.explicit_http_config.http2_protocol_options.SetInParent()
    elif port.protocol is Protocol.AUTO:
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        options.use_downstream_protocol_config.http2_protocol_options.SetInParent()
    else:
        return cluster
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    return cluster


def inbound_passthrough(connect_timeout: timedelta) -> Cluster:
    """Ports that no Service declares."""
    cluster = passthrough_cluster(names.INBOUND_PASSTHROUGH_CLUSTER, connect_timeout)
    _from_local(cluster)
    return cluster


def _from_local(cluster: Cluster) -> None:
    cluster.upstream_bind_config.source_address.address = LOCAL_ADDRESS
    cluster.upstream_bind_config.source_address.port_value = 0
