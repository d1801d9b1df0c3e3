"""A listener that a Sidecar asks for by port, address or socket."""

from __future__ import annotations

from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import OUTBOUND
from envoy.config.listener.v3.listener_pb2 import Listener

from plait.api.sidecar import EgressListener
from plait.mesh.config import MeshConfig
from plait.mesh.egress import own_listeners
from plait.mesh.entry_endpoints import UNIX
from plait.mesh.scope import Scope
from plait.snapshot.protocols import Protocol, protocol_named
from plait.snapshot.reader import Reader
from plait.xds import names
from plait.xds.listener import Connections, connections_to, http_chain, rest_chain, sniff
from plait.xds.manners import Manners


class Place(NamedTuple):
    """Where it listens: an IP address and a port, or `unix://PATH`.

    `bound`: connections are not captured for it. `proxy`: it takes calls of any port, by the authority they ask for.
    `protocol` is what it says itself, whatever the services say.
    """

    address: str
    port: int
    protocol: Protocol
    bound: bool
    proxy: bool = False

    @property
    def name(self) -> str:
        """The listener's name."""
        return self.address if self.address.startswith(UNIX) else names.listener(self.address, self.port)

    @property
    def http(self) -> bool:
        """Whether it is served by routes."""
        return self.proxy or self.protocol.may_be_http

    @property
    def of_services(self) -> bool:
        """Whether it is one listener at the address of each service: calls of other addresses are none of its."""
        return not self.address

    @property
    def routes(self) -> str:
        """The name of its route configuration."""
        if self.address.startswith(UNIX):
            return self.address
        return names.HTTP_PROXY if self.proxy else names.sidecar_routes(self.port)


def egress_place(item: EgressListener) -> Place | None:
    """Where an egress listener listens; None without a port or a socket."""
    port = item.port
    if port is None or (not port.number and not item.bind):
        return None
    bound = item.capture_mode == "NONE"
    proxy = port.protocol.upper() == "HTTP_PROXY" or not port.number
    protocol = protocol_named(port.protocol, port.number)
    address = item.bind
    if not address and bound:
        address = "127.0.0.1"
    elif not address and (proxy or protocol.may_be_http):
        address = names.ANY_ADDRESS
    return Place(address=address, port=port.number, protocol=protocol, bound=bound or proxy, proxy=proxy)


def egress_places(reader: Reader, scope: Scope, mesh: MeshConfig) -> list[tuple[Scope, Place]]:
    """The listeners a Sidecar asks for, and the HTTP proxy of the whole mesh where the Sidecar has none of its own."""
    found = [(part, place) for part, item in own_listeners(reader, scope) if (place := egress_place(item)) is not None]
    if mesh.http_proxy_port and not any(place.proxy for _, place in found):
        everywhere = Place(
            address="127.0.0.1", port=mesh.http_proxy_port, protocol=Protocol.HTTP, bound=True, proxy=True
        )
        found.append((scope, everywhere))
    return found


def egress_listener(
    place: Place, to: Connections | None, *, mesh: MeshConfig, unknown: str, manners: Manners
) -> Listener | None:
    """HTTP by routes, or connections to one service; None when there is none.

    Istio: at an address of its own a listener that is declared to be HTTP takes nothing else.
    """
    listener = Listener(name=place.name, traffic_direction=OUTBOUND)
    if place.address.startswith(UNIX):
        listener.address.pipe.path = place.address.removeprefix(UNIX)
    else:
        listener.address.socket_address.address = place.address
        listener.address.socket_address.port_value = place.port
        listener.bind_to_port.value = place.bound
    if place.http:
        listener.filter_chains.append(http_chain(listener.name, place.routes, manners))
        if place.address != names.ANY_ADDRESS and (place.proxy or place.protocol.is_http):
            listener.filter_chains[0].ClearField("filter_chain_match")
            return listener
        listener.default_filter_chain.CopyFrom(rest_chain(unknown, manners))
        sniff(listener, mesh.detection_timeout)
        return listener
    if to is None:
        return None
    connections_to(listener, to, unknown)
    return listener
