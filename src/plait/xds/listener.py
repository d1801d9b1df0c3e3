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
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import (
    ON_DOWNSTREAM_DATA,
    ON_DOWNSTREAM_TLS_HANDSHAKE,
    TcpProxy,
)

from plait.api.destinationrule import TrafficPolicy, Tunnel
from plait.api.durations import parse_duration
from plait.api.validate.gateway import PROXY_PORTS
from plait.mesh.origin import Origin
from plait.mesh.tcp_routes import TCPWay
from plait.xds import names
from plait.xds.access import OPEN, Access
from plait.xds.encode import duration, packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.manners import PLAIN, Manners
from plait.xds.mesh_tls import offering_bytes
from plait.xds.origin import origin_metadata
from plait.xds.upstream_tls import begins_tls

CAPTURE_PORT: Final = 15001
TCP_PROXY: Final = "envoy.filters.network.tcp_proxy"
HTTP_INSPECTOR: Final = "envoy.filters.listener.http_inspector"
TLS_INSPECTOR: Final = "envoy.filters.listener.tls_inspector"
#: What the inspector calls plain HTTP.
PLAIN_HTTP: Final = ("http/1.0", "http/1.1", "h2c")
#: What is kept of a client that has spoken while its server is called.
_EARLY_BYTES: Final = 65536
#: Ports of the sidecar itself; a second listener for them on any address would be refused.
RESERVED_PORTS: Final = PROXY_PORTS


def tcp_proxy(
    destinations: str | tuple[tuple[str, int], ...],
    *,
    policy: TrafficPolicy | None = None,
    manners: Manners = PLAIN,
    after_handshake: bool = False,
    after_data: bool = False,
) -> Filter:
    """Bytes to a cluster, or to several by weight, within the limits that `policy` sets for connections.

    `after_handshake`: nobody is called before the client has shown its certificate; `after_data`: before it has spoken.
    """
    shares = ((destinations, 1),) if isinstance(destinations, str) else destinations
    proxy = TcpProxy(stat_prefix=shares[0][0], access_log=manners.logs)
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
    if policy is not None and policy.tunnel is not None:
        _tunnel(proxy, policy.tunnel)
    if after_handshake:
        proxy.upstream_connect_mode = ON_DOWNSTREAM_TLS_HANDSHAKE
        proxy.max_early_data_bytes.value = 0
    elif after_data:
        proxy.upstream_connect_mode = ON_DOWNSTREAM_DATA
        proxy.max_early_data_bytes.value = _EARLY_BYTES
    return Filter(name=TCP_PROXY, typed_config=packed(proxy))


def _tunnel(proxy: TcpProxy, tunnel: Tunnel) -> None:
    """Connections go inside a request to a forward proxy: CONNECT, or POST (Istio: DestinationRule.tunnel)."""
    host = f"[{tunnel.target_host}]" if ":" in tunnel.target_host else tunnel.target_host
    proxy.tunneling_config.hostname = f"{host}:{tunnel.target_port}"
    proxy.tunneling_config.use_post = tunnel.protocol == "POST"


def virtual_outbound(*, unknown: str, manners: Manners = PLAIN) -> Listener:
    """The listener of the capture port: what no other listener takes goes to the cluster `unknown`."""
    listener = _listener(names.VIRTUAL_OUTBOUND, names.ANY_ADDRESS, CAPTURE_PORT)
    listener.use_original_dst.value = True
    # Somebody called the capture port itself: without this the connection would go round in circles.
    loop = FilterChain(name=names.OUTBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    rest = FilterChain(name=names.OUTBOUND_CATCHALL_CHAIN, filters=[_unknown(unknown, manners)])
    listener.filter_chains.extend((loop, rest))
    return listener


def http_listener(port: int, *, detection_timeout: timedelta, unknown: str, manners: Manners = PLAIN) -> Listener:
    """All HTTP services of a port; what is not HTTP there goes on as if the listener did not exist."""
    listener = unbound(names.ANY_ADDRESS, port)
    listener.filter_chains.append(http_chain(listener.name, names.sidecar_routes(port), manners))
    listener.default_filter_chain.CopyFrom(rest_chain(unknown, manners))
    sniff(listener, detection_timeout)
    return listener


def rest_chain(cluster: str, manners: Manners) -> FilterChain:
    """What no other chain of a listener takes."""
    return FilterChain(name=names.PASSTHROUGH_CHAIN, filters=[_unknown(cluster, manners)])


def _unknown(cluster: str, manners: Manners) -> Filter:
    """Connections that ask for no name go to where the caller meant to go."""
    to = names.PASSTHROUGH_CLUSTER if cluster == names.DYNAMIC_DNS_CLUSTER else cluster
    return tcp_proxy(to, manners=manners)


def http_chain(name: str, routes: str, manners: Manners) -> FilterChain:
    """Plain HTTP, by the route configuration `routes`."""
    manager = http_connection_manager("outbound", stat_prefix=f"outbound_{name}", route_name=routes, manners=manners)
    chain = FilterChain(filters=[manager])
    chain.filter_chain_match.transport_protocol = "raw_buffer"
    chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
    return chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """One service's address and what becomes of connections to it.

    `ways` are those of rules, each with the policy towards where it leads; what they leave goes to `cluster`, unless
    they go by names (`named`, Istio's rule for TLS): then it is no call of this service. `policy` and `origin` are the
    service's.
    """

    address: str
    port: int
    cluster: str
    policy: TrafficPolicy
    origin: Origin
    ways: tuple[tuple[TCPWay, TrafficPolicy | None], ...] = ()
    named: bool = False
    manners: Manners = PLAIN

    @property
    def takes_all(self) -> bool:
        """Whether the last of its chains takes every connection."""
        return not self.named or not self.ways or self.ways[-1][0].takes_all


def tcp_listener(to: Connections, unknown: str) -> Listener:
    """One TCP service, or one endpoint of a headless one. `unknown` is the cluster for what is no call of it."""
    listener = unbound(to.address, to.port)
    connections_to(listener, to, unknown)
    return listener


def connections_to(listener: Listener, to: Connections, unknown: str) -> None:
    """Have a listener serve one TCP service. The last chain, without conditions, is that of last resort."""
    if any(way.names for way, _ in to.ways):
        inspect_names(listener)
    listener.filter_chains.extend(tcp_chains(to))
    if not to.takes_all:
        listener.default_filter_chain.CopyFrom(rest_chain(unknown, to.manners))


def sniffing_listener(to: Connections, *, routes: str, detection_timeout: timedelta) -> Listener:
    """One service whose protocol nobody declared: HTTP gets routes, anything else is passed on as bytes.

    Istio: HTTP to addresses that a rule of connections is for is passed on as that says, as addresses are looked at
    before the protocol.
    """
    listener = unbound(to.address, to.port)
    *narrow, rest = bytes_of_unknown(to)
    http = http_chain(listener.name, routes, to.manners)
    http.metadata.CopyFrom(origin_metadata(to.origin))
    listener.filter_chains.extend((http, *narrow))
    listener.default_filter_chain.CopyFrom(rest)
    sniff(listener, detection_timeout)
    return listener


def tcp_chains(to: Connections) -> list[FilterChain]:
    """A chain for each way; the last takes every connection that no other takes, unless ways go by names."""
    chains = [way_chain(way, policy=policy, manners=to.manners) for way, policy in to.ways]
    if to.takes_all and not (to.ways and to.ways[-1][0].takes_all):
        rest = tcp_proxy(to.cluster, policy=to.policy, manners=to.manners)
        chains.append(FilterChain(filters=[rest], metadata=origin_metadata(to.origin)))
    return chains


def bytes_of_unknown(to: Connections) -> list[FilterChain]:
    """The same of a service whose protocol nobody declared: towards a proxy of the mesh they are told from HTTP."""
    chains = tcp_chains(to)
    for chain, policy in zip(chains, (*(policy for _, policy in to.ways), to.policy), strict=False):
        if policy is None or begins_tls(policy) is None:
            rest = list(chain.filters)
            del chain.filters[:]
            chain.filters.extend((offering_bytes(), *rest))
    return chains


def way_chain(
    way: TCPWay, *, policy: TrafficPolicy | None = None, manners: Manners = PLAIN, access: Access = OPEN
) -> FilterChain:
    """The chain of one way of connections, for those that `access` lets through."""
    shares = tuple((names.outbound_cluster(c.host, c.port, c.subset), weight) for c, weight in way.destinations)
    proxy = tcp_proxy(shares, policy=policy, manners=manners)
    chain = FilterChain(filters=[*access.connections, proxy], metadata=origin_metadata(way.origin))
    if not way.takes_all:
        chain.filter_chain_match.server_names.extend(way.names)
        chain.filter_chain_match.prefix_ranges.extend(address_range(text) for text in way.subnets)
        chain.filter_chain_match.source_prefix_ranges.extend(address_range(text) for text in way.sources)
    return chain


def address_range(text: str) -> CidrRange:
    """An address or a range as Envoy has it."""
    network = ip_network(text, strict=False)
    result = CidrRange(address_prefix=str(network.network_address))
    result.prefix_len.value = network.prefixlen
    return result


def sniff(listener: Listener, timeout: timedelta) -> None:
    """Look at the first bytes of a connection for HTTP."""
    listener.listener_filters.append(ListenerFilter(name=HTTP_INSPECTOR, typed_config=packed(HttpInspector())))
    sniffing_timeout(listener, timeout)


def inspect_names(listener: Listener, timeout: timedelta = timedelta()) -> None:
    """Look at the name that clients of TLS ask for. Istio: where TLS is declared it is waited for however long that
    takes, since clients speak first; `timeout` is for listeners where others are served too.
    """
    listener.listener_filters.append(ListenerFilter(name=TLS_INSPECTOR, typed_config=packed(TlsInspector())))
    sniffing_timeout(listener, timeout)


def sniffing_timeout(listener: Listener, timeout: timedelta) -> None:
    """How long a listener waits for the client's first bytes."""
    listener.listener_filters_timeout.CopyFrom(duration(timeout.total_seconds()))
    # A server that speaks first keeps the client silent: after the timeout the connection is taken as bytes.
    listener.continue_on_listener_filters_timeout = True


def unbound(address: str, port: int) -> Listener:
    """A listener that is handed its connections by `virtualOutbound`."""
    listener = _listener(names.listener(address, port), address, port)
    listener.bind_to_port.value = False
    return listener


def _listener(name: str, address: str, port: int) -> Listener:
    listener = Listener(name=name, traffic_direction=OUTBOUND)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    return listener
