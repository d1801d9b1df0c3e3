"""Outbound listeners of a sidecar, in Istio's layout.

`virtualOutbound` takes every captured connection and hands it to the listener of its original destination, which binds
no port: `0.0.0.0_80` for all HTTP services of port 80, `10.0.0.7_3306` for one TCP service. A headless TCP service has
one listener per endpoint, so that the address the caller chose is kept and other traffic of that port is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Final

from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from plait.api.destinationrule import TrafficPolicy
from plait.api.durations import parse_duration
from plait.api.validate_gateway import PROXY_PORTS
from plait.mesh.origin import Origin
from plait.mesh.tcp_routes import TCPWay
from plait.xds import names
from plait.xds.encode import duration, packed
from plait.xds.http_connection import Logs, http_connection_manager
from plait.xds.origin import origin_metadata

CAPTURE_PORT: Final = 15001
TCP_PROXY: Final = "envoy.filters.network.tcp_proxy"
HTTP_INSPECTOR: Final = "envoy.filters.listener.http_inspector"
#: What the inspector calls plain HTTP.
PLAIN_HTTP: Final = ("http/1.0", "http/1.1", "h2c")
#: Ports of the sidecar itself; a second listener for them on any address would be refused.
RESERVED_PORTS: Final = PROXY_PORTS


def tcp_proxy(
    destinations: str | tuple[tuple[str, int], ...],
    *,
    stat_prefix: str = "",
    policy: TrafficPolicy | None = None,
    logs: Logs = (),
) -> Filter:
    """Bytes to a cluster, or to several by weight, within the limits that `policy` sets for connections."""
    shares = ((destinations, 1),) if isinstance(destinations, str) else destinations
    proxy = TcpProxy(stat_prefix=stat_prefix or shares[0][0], access_log=logs)
    if len(shares) == 1:
        proxy.cluster = shares[0][0]
    else:
        for name, weight in shares:
            proxy.weighted_clusters.clusters.add(name=name, weight=weight)
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


def virtual_outbound(*, registry_only: bool, logs: Logs = ()) -> Listener:
    """The listener of the capture port: what no other listener takes passes through, or is refused."""
    listener = _listener(names.VIRTUAL_OUTBOUND, names.ANY_ADDRESS, CAPTURE_PORT)
    listener.use_original_dst.value = True
    # Somebody called the capture port itself: without this the connection would go round in circles.
    loop = FilterChain(name=names.OUTBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    target = names.BLACKHOLE_CLUSTER if registry_only else names.PASSTHROUGH_CLUSTER
    rest = FilterChain(name=names.OUTBOUND_CATCHALL_CHAIN, filters=[tcp_proxy(target, logs=logs)])
    listener.filter_chains.extend((loop, rest))
    return listener


def http_listener(port: int, *, detection_timeout: timedelta, registry_only: bool, logs: Logs = ()) -> Listener:
    """All HTTP services of a port; what is not HTTP there passes through, as if the listener did not exist."""
    listener = _unbound(names.ANY_ADDRESS, port)
    listener.filter_chains.append(_http_chain(listener.name, names.sidecar_routes(port), logs))
    target = names.BLACKHOLE_CLUSTER if registry_only else names.PASSTHROUGH_CLUSTER
    rest = FilterChain(name=names.PASSTHROUGH_CHAIN, filters=[tcp_proxy(target, logs=logs)])
    listener.default_filter_chain.CopyFrom(rest)
    _sniff(listener, detection_timeout)
    return listener


def _http_chain(name: str, routes: str, logs: Logs) -> FilterChain:
    manager = http_connection_manager("outbound", stat_prefix=f"outbound_{name}", route_name=routes, logs=logs)
    chain = FilterChain(filters=[manager])
    chain.filter_chain_match.transport_protocol = "raw_buffer"
    chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
    return chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """One service's address and what becomes of connections to it.

    `ways` are those of rules; what they leave goes to `cluster`. `policy` and `origin` are the service's.
    """

    address: str
    port: int
    cluster: str
    policy: TrafficPolicy
    origin: Origin
    ways: tuple[TCPWay, ...] = ()
    logs: Logs = ()


def tcp_listener(to: Connections) -> Listener:
    """One TCP service, or one endpoint of a headless one."""
    listener = _unbound(to.address, to.port)
    *narrow, rest = tcp_chains(to)
    listener.filter_chains.extend(narrow)
    # Without conditions it is the chain of last resort.
    listener.filter_chains.append(rest)
    return listener


def sniffing_listener(to: Connections, *, routes: str, detection_timeout: timedelta) -> Listener:
    """One service whose protocol nobody declared: HTTP gets routes, anything else is passed on as bytes."""
    listener = _unbound(to.address, to.port)
    *narrow, rest = tcp_chains(to)
    # Addresses are looked at before the protocol, so a range that has a chain needs one for HTTP too.
    for subnets in dict.fromkeys(((), *(way.subnets for way in to.ways))):
        http = _http_chain(listener.name, routes, to.logs)
        http.metadata.CopyFrom(origin_metadata(to.origin))
        http.filter_chain_match.prefix_ranges.extend(_range(text) for text in subnets)
        listener.filter_chains.append(http)
    listener.filter_chains.extend(narrow)
    listener.default_filter_chain.CopyFrom(rest)
    _sniff(listener, detection_timeout)
    return listener


def tcp_chains(to: Connections) -> list[FilterChain]:
    """A chain for each way; the last takes every connection that no other takes."""
    ways = to.ways
    chains = [way_chain(way, policy=to.policy, logs=to.logs) for way in ways]
    if not ways or not ways[-1].takes_all:
        rest = tcp_proxy(to.cluster, policy=to.policy, logs=to.logs)
        chains.append(FilterChain(filters=[rest], metadata=origin_metadata(to.origin)))
    return chains


def way_chain(way: TCPWay, *, policy: TrafficPolicy | None = None, logs: Logs = ()) -> FilterChain:
    """The chain of one way of connections."""
    shares = tuple((names.outbound_cluster(c.host, c.port, c.subset), weight) for c, weight in way.destinations)
    chain = FilterChain(filters=[tcp_proxy(shares, policy=policy, logs=logs)], metadata=origin_metadata(way.origin))
    if not way.takes_all:
        chain.filter_chain_match.prefix_ranges.extend(_range(text) for text in way.subnets)
        chain.filter_chain_match.source_prefix_ranges.extend(_range(text) for text in way.sources)
    return chain


def _range(text: str) -> CidrRange:
    network = ip_network(text, strict=False)
    result = CidrRange(address_prefix=str(network.network_address))
    result.prefix_len.value = network.prefixlen
    return result


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
