"""Listeners of a gateway proxy. Unlike a sidecar's they bind their ports."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector

from plait.api.destinationrule import TrafficPolicy
from plait.mesh.destinations import Destination
from plait.mesh.gateway_servers import UNIX, GatewayListener, GatewayServer, Serving
from plait.mesh.tcp_routes import TCPWay
from plait.xds import names
from plait.xds.access import OPEN, Access
from plait.xds.encode import packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.listener import TLS_INSPECTOR, tcp_proxy, way_chain
from plait.xds.manners import PLAIN, Manners
from plait.xds.mesh_tls import ALL_PROTOCOLS
from plait.xds.origin import origin_metadata
from plait.xds.tls import downstream_tls


def listener_name(listener: GatewayListener) -> str:
    """The name of its listener."""
    return names.listener(listener.bind or names.ANY_ADDRESS, listener.port)


def routes_name(listener: GatewayListener, server: GatewayServer) -> str:
    """The route configuration of a server; empty for one that is not about requests."""
    if server.serving is Serving.HTTP:
        return names.gateway_routes(listener.port, listener.bind)
    if server.serving is Serving.HTTPS:
        gateway = server.gateway
        return names.secure_gateway_routes(server.number, server.name, gateway.name, gateway.namespace, listener.bind)
    return ""


def routes_of(listener: GatewayListener) -> tuple[str, ...]:
    """The route configurations of a listener."""
    found = (routes_name(listener, server) for server in listener.servers)
    return tuple(dict.fromkeys(name for name in found if name))


def gateway_listener(
    listener: GatewayListener,
    connections: Iterable[tuple[GatewayServer, tuple[tuple[TCPWay, TrafficPolicy | None], ...]]],
    *,
    named: Iterable[tuple[GatewayServer, Iterable[Destination]]] = (),
    manners: Manners = PLAIN,
    access: Access = OPEN,
) -> Listener | None:
    """The listener of one address; None when nothing could come through it.

    `connections` are the ways of its servers that are about connections, each with the policy towards its destination.
    `named` are what servers lead to by the names of mutual TLS. `access` decides who is let through.
    """
    result = Listener(name=listener_name(listener), traffic_direction=OUTBOUND)
    if listener.bind.startswith(UNIX):
        result.address.pipe.path = listener.bind.removeprefix(UNIX)
    else:
        result.address.socket_address.address = listener.bind or names.ANY_ADDRESS
        result.address.socket_address.port_value = listener.port
    result.listener_filters.extend(manners.before_tls())
    if listener.serving is Serving.HTTP:
        # Its origin is the oldest Gateway that asks for it.
        result.filter_chains.append(_http_chain(listener, listener.servers[0], manners, access))
        return result
    for server in listener.servers:
        if server.serving is Serving.HTTPS:
            result.filter_chains.append(_https_chain(listener, server, manners, access))
    for server, ways in connections:
        for way, policy in ways:
            chain = way_chain(way, policy=policy, manners=manners, access=access)
            if server.serving is Serving.TLS and server.tls is not None:
                chain.transport_socket.CopyFrom(downstream_tls(server.tls, manners.tls, http=False))
            elif server.serving is Serving.PASSTHROUGH and not way.names:
                chain.filter_chain_match.transport_protocol = "tls"
            result.filter_chains.append(chain)
    seen: set[str] = set()
    for server, destinations in named:
        for item in destinations:
            name = names.sni(item.host, item.port, item.subset)
            if name not in seen:
                seen.add(name)
                result.filter_chains.append(_named_chain(name, server, manners, access))
    if listener.serving.secure:
        result.listener_filters.append(ListenerFilter(name=TLS_INSPECTOR, typed_config=packed(TlsInspector())))
    return result if result.filter_chains else None


def _named_chain(name: str, server: GatewayServer, manners: Manners, access: Access) -> FilterChain:
    """Mutual TLS that asks for `name`: no other TLS gets through, and no other name leads to this cluster."""
    filters = (*access.connections, tcp_proxy(name, manners=manners))
    chain = FilterChain(name=name, filters=filters, metadata=origin_metadata(server.origin))
    chain.filter_chain_match.server_names.append(name)
    chain.filter_chain_match.transport_protocol = "tls"
    chain.filter_chain_match.application_protocols.extend(ALL_PROTOCOLS)
    return chain


def _http_chain(listener: GatewayListener, server: GatewayServer, manners: Manners, access: Access) -> FilterChain:
    manager = http_connection_manager(
        "gateway",
        stat_prefix=f"outbound_{listener_name(listener)}",
        route_name=routes_name(listener, server),
        manners=manners,
        grpc_web=server.grpc_web,
        access=access.requests,
    )
    return FilterChain(filters=[manager], metadata=origin_metadata(server.origin))


def _https_chain(listener: GatewayListener, server: GatewayServer, manners: Manners, access: Access) -> FilterChain:
    chain = _http_chain(listener, server, manners, access)
    chain.filter_chain_match.server_names.extend(server.names)
    if server.tls is not None:
        chain.transport_socket.CopyFrom(downstream_tls(server.tls, manners.tls, http=True))
    return chain
