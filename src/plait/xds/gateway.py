"""Listeners of a gateway proxy. Unlike a sidecar's they bind their ports."""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from plait.api.destinationrule import TrafficPolicy
from plait.mesh.gateways import GatewayListener
from plait.mesh.origin import Origin
from plait.mesh.tcp_routes import TCPWay
from plait.xds import names
from plait.xds.http_connection import Logs, http_connection_manager
from plait.xds.listener import way_chain
from plait.xds.origin import origin_metadata


def gateway_listener(listener: GatewayListener, *, logs: Logs = ()) -> Listener:
    """The plain HTTP listener of one address; its origin is the oldest Gateway that asks for it."""
    result = _listener(listener)
    routes = names.gateway_routes(listener.port, listener.bind)
    first = listener.servers[0]
    prefix = f"outbound_{result.name}"
    manager = http_connection_manager("gateway", stat_prefix=prefix, route_name=routes, logs=logs)
    result.filter_chains.append(
        FilterChain(filters=[manager], metadata=origin_metadata(Origin(first.gateway, first.path)))
    )
    return result


def gateway_tcp_listener(
    listener: GatewayListener, ways: tuple[tuple[TCPWay, TrafficPolicy | None], ...], *, logs: Logs = ()
) -> Listener:
    """The listener of one address for connections; `ways` with the policy towards where each leads."""
    result = _listener(listener)
    result.filter_chains.extend(way_chain(way, policy=policy, logs=logs) for way, policy in ways)
    return result


def _listener(listener: GatewayListener) -> Listener:
    address = listener.bind or names.ANY_ADDRESS
    result = Listener(name=names.listener(address, listener.port), traffic_direction=OUTBOUND)
    result.address.socket_address.address = address
    result.address.socket_address.port_value = listener.port
    return result
