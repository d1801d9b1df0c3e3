"""Outbound listeners of a sidecar, in Istio's layout.

`virtualOutbound` takes every captured connection and hands it to the listener of its original destination, which binds
no port: `0.0.0.0_80` for all HTTP services of port 80, `10.0.0.7_3306` for one TCP service. A headless TCP service has
one listener per endpoint, so that the address the caller chose is kept and other traffic of that port is left alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from plait.api.destinationrule import TrafficPolicy
from plait.api.durations import parse_duration
from plait.api.validate_gateway import PROXY_PORTS
from plait.mesh.origin import Origin
from plait.xds import names
from plait.xds.encode import duration, packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.origin import origin_metadata

CAPTURE_PORT: Final = 15001
TCP_PROXY: Final = "envoy.filters.network.tcp_proxy"
HTTP_INSPECTOR: Final = "envoy.filters.listener.http_inspector"
#: What the inspector calls plain HTTP.
PLAIN_HTTP: Final = ("http/1.0", "http/1.1", "h2c")
#: Ports of the sidecar itself; a second listener for them on any address would be refused.
RESERVED_PORTS: Final = PROXY_PORTS


def tcp_proxy(cluster: str, *, stat_prefix: str = "", policy: TrafficPolicy | None = None) -> Filter:
    """Bytes to `cluster`, within the limits that the destination's policy sets for connections."""
    proxy = TcpProxy(stat_prefix=stat_prefix or cluster, cluster=cluster)
    pool = policy.connection_pool if policy is not None else None
    tcp = pool.tcp if pool is not None else None
    if tcp is not None:
        for text, field in (
            (tcp.max_connection_duration, proxy.max_downstream_connection_duration),
            (tcp.idle_timeout, proxy.idle_timeout),
        ):
            value = parse_duration(text) if text else None
            if value is not None:
                field.CopyFrom(duration(value.total_seconds()))
    return Filter(name=TCP_PROXY, typed_config=packed(proxy))


def virtual_outbound(*, registry_only: bool) -> Listener:
    """The listener of the capture port: what no other listener takes passes through, or is refused."""
    listener = _listener(names.VIRTUAL_OUTBOUND, names.ANY_ADDRESS, CAPTURE_PORT)
    listener.use_original_dst.value = True
    # Somebody called the capture port itself: without this the connection would go round in circles.
    loop = FilterChain(name=names.OUTBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    target = names.BLACKHOLE_CLUSTER if registry_only else names.PASSTHROUGH_CLUSTER
    listener.filter_chains.extend((loop, FilterChain(name=names.OUTBOUND_CATCHALL_CHAIN, filters=[tcp_proxy(target)])))
    return listener


def http_listener(port: int, *, detection_timeout: timedelta, registry_only: bool) -> Listener:
    """All HTTP services of a port; what is not HTTP there passes through, as if the listener did not exist."""
    listener = _unbound(names.ANY_ADDRESS, port)
    name = names.listener(names.ANY_ADDRESS, port)
    chain = FilterChain(
        filters=[
            http_connection_manager("outbound", stat_prefix=f"outbound_{name}", route_name=names.sidecar_routes(port))
        ]
    )
    chain.filter_chain_match.transport_protocol = "raw_buffer"
    chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
    listener.filter_chains.append(chain)
    target = names.BLACKHOLE_CLUSTER if registry_only else names.PASSTHROUGH_CLUSTER
    listener.default_filter_chain.CopyFrom(FilterChain(name=names.PASSTHROUGH_CHAIN, filters=[tcp_proxy(target)]))
    _sniff(listener, detection_timeout)
    return listener


def tcp_listener(address: str, port: int, cluster: str, *, policy: TrafficPolicy, origin: Origin) -> Listener:
    """One TCP service, or one endpoint of a headless one."""
    listener = _unbound(address, port)
    chain = FilterChain(filters=[tcp_proxy(cluster, policy=policy)], metadata=origin_metadata(origin))
    listener.filter_chains.append(chain)
    return listener


def sniffing_listener(
    address: str,
    port: int,
    cluster: str,
    *,
    routes: str,
    policy: TrafficPolicy,
    origin: Origin,
    detection_timeout: timedelta,
) -> Listener:
    """One service whose protocol nobody declared: HTTP gets routes, anything else is passed on as bytes."""
    listener = _unbound(address, port)
    name = names.listener(address, port)
    http = FilterChain(
        filters=[http_connection_manager("outbound", stat_prefix=f"outbound_{name}", route_name=routes)],
        metadata=origin_metadata(origin),
    )
    http.filter_chain_match.transport_protocol = "raw_buffer"
    http.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
    listener.filter_chains.append(http)
    listener.default_filter_chain.CopyFrom(
        FilterChain(filters=[tcp_proxy(cluster, policy=policy)], metadata=origin_metadata(origin))
    )
    _sniff(listener, detection_timeout)
    return listener


def _sniff(listener: Listener, timeout: timedelta) -> None:
    listener.listener_filters.append(ListenerFilter(name=HTTP_INSPECTOR, typed_config=packed(HttpInspector())))
    listener.listener_filters_timeout.CopyFrom(duration(timeout.total_seconds()))
    # A server that speaks first keeps the client silent: after the timeout the connection is taken as bytes.
    listener.continue_on_listener_filters_timeout = True


def _unbound(address: str, port: int) -> Listener:
    listener = _listener(names.listener(address, port), address, port)
    listener.bind_to_port.value = False
    return listener


def _listener(name: str, address: str, port: int) -> Listener:
    listener = Listener(name=name, traffic_direction=OUTBOUND)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    return listener
