"""Listeners of a gateway proxy. Unlike a sidecar's they bind their ports."""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from plait.mesh.gateways import GatewayListener
from plait.mesh.origin import Origin
from plait.xds import names
from plait.xds.http_connection import http_connection_manager
from plait.xds.origin import origin_metadata


def gateway_listener(listener: GatewayListener) -> Listener:
    """The plain HTTP listener of one address; its origin is the oldest Gateway that asks for it."""
    address = listener.bind or names.ANY_ADDRESS
    routes = names.gateway_routes(listener.port, listener.bind)
    result = Listener(name=names.listener(address, listener.port), traffic_direction=OUTBOUND)
    result.address.socket_address.address = address
    result.address.socket_address.port_value = listener.port
    first = listener.servers[0]
    result.filter_chains.append(
        FilterChain(
            filters=[http_connection_manager("gateway", stat_prefix=f"outbound_{result.name}", route_name=routes)],
            metadata=origin_metadata(Origin(first.gateway, first.path)),
        )
    )
    return result
