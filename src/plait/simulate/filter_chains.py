"""Which filter chain of a listener takes a connection: Envoy's rules, in Envoy's order.

Envoy (FilterChainManager): destination port, destination address, server name, transport protocol, application
protocol, direct source address, kind of source, source address. At each step the most specific value that some chain
names is taken, and there is no way back to a less specific one if a later step finds nothing; the default chain takes
what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a listener knows of a connection when it chooses. `protocols` are those of ALPN, or what was sniffed."""

    address: str
    port: int
    transport: str = "raw_buffer"
    server_name: str = ""
    protocols: tuple[str, ...] = ()
    source: str = "10.0.0.1"


class AmbiguousError(Exception):
    """Several chains match alike, which Envoy refuses when it reads the listener."""


def choose(listener: Listener, connection: Connection) -> FilterChain | None:
    """The chain that takes the connection, None where none does. Raises AmbiguousError."""
    chains: Sequence[FilterChain] = listener.filter_chains
    for step in (_by_port, _by_address, _by_name, _by_transport, _by_protocol, _by_peer, _by_kind, _by_source):
        chains = step(chains, connection)
    if len(chains) > 1:
        raise AmbiguousError(", ".join(chain.name for chain in chains))
    if chains:
        return chains[0]
    return listener.default_filter_chain if listener.HasField("default_filter_chain") else None


def _some(chains: Iterable[FilterChain], holds: Callable[[Any], bool]) -> list[FilterChain]:
    return [chain for chain in chains if holds(chain.filter_chain_match)]


def _by_port(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    own = _some(chains, lambda m: m.HasField("destination_port") and m.destination_port.value == connection.port)
    return own or _some(chains, lambda m: not m.HasField("destination_port"))


def _by_address(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    return _longest(chains, connection.address, lambda match: match.prefix_ranges)


def _by_source(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    return _longest(chains, connection.source, lambda match: match.source_prefix_ranges)


def _by_peer(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    return _longest(chains, connection.source, lambda match: match.direct_source_prefix_ranges)


def _by_kind(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    """Envoy: the same address on both ends, or loopback, is the host's own; all else is from elsewhere."""
    own = connection.source == connection.address or ip_address(connection.source).is_loopback
    wanted = FilterChainMatch.SAME_IP_OR_LOOPBACK if own else FilterChainMatch.EXTERNAL
    named = _some(chains, lambda match: match.source_type == wanted)
    return named or _some(chains, lambda match: match.source_type == FilterChainMatch.ANY)


def _longest(chains: Sequence[FilterChain], text: str, ranges: Callable[[Any], Any]) -> list[FilterChain]:
    """Those with the longest range that holds the address; chains without ranges have one of no length."""
    address = ip_address(text)
    lengths = [(_length(ranges(chain.filter_chain_match), address), chain) for chain in chains]
    best = max((length for length, _ in lengths), default=-1)
    return [chain for length, chain in lengths if length == best] if best >= 0 else []


def _length(ranges: Any, address: _Address) -> int:
    if not ranges:
        return 0
    found = [
        each.prefix_len.value
        for each in ranges
        if address in ip_network(f"{each.address_prefix}/{each.prefix_len.value}", strict=False)
    ]
    return max(found, default=-1)


def _by_name(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    name = connection.server_name.lower()
    if name:
        labels = name.split(".")
        for wanted in (name, *("*." + ".".join(labels[at:]) for at in range(1, len(labels)))):
            own = _some(chains, lambda match, wanted=wanted: wanted in match.server_names)  # type: ignore[misc]
            if own:
                return own
    return _some(chains, lambda match: not match.server_names)


def _by_transport(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    own = _some(chains, lambda match: match.transport_protocol == connection.transport)
    return own or _some(chains, lambda match: not match.transport_protocol)


def _by_protocol(chains: Sequence[FilterChain], connection: Connection) -> list[FilterChain]:
    for protocol in connection.protocols:
        own = _some(chains, lambda match, p=protocol: p in match.application_protocols)  # type: ignore[misc]
        if own:
            return own
    return _some(chains, lambda match: not match.application_protocols)
