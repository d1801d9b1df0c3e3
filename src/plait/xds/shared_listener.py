"""`0.0.0.0_PORT`: HTTP services of a port beside services that have no address to tell them by.

Istio's rules. HTTP goes by the port's routes, that of services whose protocol nobody declared too; in their ranges of
addresses all is bytes. A TLS service is
told by the name that clients ask for (SNI), a range of addresses by the address; of other services without an address
the first takes every connection. What is left goes on as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Final

from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener

from plait.api.names import within_label
from plait.mesh.config import MeshConfig
from plait.snapshot.protocols import Protocol
from plait.xds import names
from plait.xds.listener import (
    Connections,
    address_range,
    bytes_of_unknown,
    http_chain,
    inspect_names,
    rest_chain,
    sniff,
    tcp_chains,
    unbound,
)
from plait.xds.manners import PLAIN, Manners
from plait.xds.resolving import resolve_what_is_asked_for


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedService:
    """One service without an address; `aliases` are further names of its host.

    `bytes`: it takes connections that are no HTTP. `dynamic`: whatever name was asked for is resolved.
    """

    host: str
    protocol: Protocol
    ranges: tuple[str, ...]
    to: Connections
    aliases: tuple[str, ...] = ()
    bytes: bool = True
    dynamic: bool = False


class _Chains:
    """Filter chains, each condition once: the first holds, since a proxy refuses a listener with two alike."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.rest: FilterChain | None = None
        self._taken: set[tuple[bytes, str, tuple[str, int]]] = set()

    def add(self, chain: FilterChain) -> None:
        """Add a chain for what is left of its names and addresses, if anything is."""
        match = chain.filter_chain_match
        if not match.ByteSize():
            # Without conditions it is the chain of last resort.
            self.rest = self.rest or chain
            return
        other = FilterChainMatch()
        other.CopyFrom(match)
        other.ClearField("server_names")
        other.ClearField("prefix_ranges")
        more = other.SerializeToString(deterministic=True)
        asked = list(match.server_names) or [""]
        places = {(each.address_prefix, each.prefix_len.value): each for each in match.prefix_ranges} or {_ANY: None}

        def free(names: Iterable[str], where: Iterable[tuple[str, int]]) -> bool:
            return self._taken.isdisjoint(product((more,), names, where))

        names_left = [name for name in asked if free((name,), places)]
        places_left = places if names_left else {at: each for at, each in places.items() if free(asked, (at,))}
        if not places_left:
            return
        names_left = names_left or asked
        self._taken.update(product((more,), names_left, places_left))
        if match.server_names and names_left != asked:
            del match.server_names[:]
            match.server_names.extend(names_left)
        if match.prefix_ranges and len(places_left) < len(match.prefix_ranges):
            kept = [each for each in places_left.values() if each is not None]
            del match.prefix_ranges[:]
            match.prefix_ranges.extend(kept)
        self.listener.filter_chains.append(chain)


#: Instead of a range: every address.
_ANY: Final = ("", 0)


def shared_listener(
    port: int,
    services: tuple[SharedService, ...],
    *,
    http: bool,
    dynamic_http: bool,
    unknown: str,
    mesh: MeshConfig,
    manners: Manners = PLAIN,
) -> Listener:
    """The listener of a port. `http`: there are HTTP services too, by the port's routes."""
    listener = unbound(names.ANY_ADDRESS, port)
    chains = _Chains(listener)
    undeclared = [service for service in services if service.protocol is Protocol.AUTO]
    if http or undeclared:
        chain = http_chain(listener.name, names.sidecar_routes(port), manners)
        if dynamic_http or any(service.dynamic for service in undeclared):
            resolve_what_is_asked_for(chain, port, mesh)
        chains.add(chain)
    for service in services:
        _add(chains, service, mesh)
    listener.default_filter_chain.CopyFrom(chains.rest or rest_chain(unknown, manners))
    # A listener without chains is refused: what is left over can be the only one.
    if not listener.filter_chains:
        listener.filter_chains.append(listener.default_filter_chain)
        listener.ClearField("default_filter_chain")
    if any(service.protocol is Protocol.TLS for service in services):
        alone = all(service.protocol is Protocol.TLS for service in services)
        inspect_names(listener, timedelta() if alone else mesh.detection_timeout)
    if http or undeclared:
        sniff(listener, mesh.detection_timeout)
    return listener


def _add(chains: _Chains, service: SharedService, mesh: MeshConfig) -> None:
    if not service.bytes:
        return
    for chain in bytes_of_unknown(service.to) if service.protocol is Protocol.AUTO else tcp_chains(service.to):
        match = chain.filter_chain_match
        if service.protocol is Protocol.TLS and not match.server_names:
            if within_label(service.host):
                # Envoy would refuse the listener of all services on the port.
                continue
            # `*` is every name, though only of clients that ask for one.
            match.server_names.extend([service.host, *service.aliases] if service.host != "*" else [])
            match.transport_protocol = "" if match.server_names else "tls"
        if not match.prefix_ranges:
            match.prefix_ranges.extend(address_range(text) for text in service.ranges)
        if service.dynamic and service.protocol is Protocol.TLS:
            resolve_what_is_asked_for(chain, service.to.port, mesh)
        chains.add(chain)
