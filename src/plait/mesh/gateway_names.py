"""What a gateway leads to by the name alone that mutual TLS asks for (mode AUTO_PASSTHROUGH): `outbound_.80_.v1_.HOST`.

It needs no VirtualService and no certificate: a connection goes on untouched, and TLS is between the two sidecars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from plait.api.meta import ObjectKey
from plait.mesh.destination_rules import subset_labels
from plait.mesh.destinations import Destination
from plait.mesh.gateway_servers import GatewayListener, GatewayServer, Serving, server_hosts
from plait.snapshot.hosts import host_matches
from plait.snapshot.keys import SERVICE, HostPort, Resolution
from plait.snapshot.reader import Reader

#: Hosts of which the mesh knows no endpoints.
_UNKNOWN = frozenset({Resolution.NONE, Resolution.DYNAMIC})


def by_name(
    reader: Reader,
    listeners: Iterable[GatewayListener],
    ports: tuple[HostPort, ...],
    rules_of: Callable[[str, str], tuple[ObjectKey, ...]],
) -> tuple[Destination, ...]:
    """The destinations of a gateway's servers of this kind, with their subsets: what is in the mesh and known."""
    servers = [each for item in listeners for each in item.servers if each.serving is Serving.AUTO_PASSTHROUGH]
    found: list[Destination] = []
    for port in ports if servers else ():
        if port.resolution in _UNKNOWN or not any(leads_to(server, port.host, port.namespace) for server in servers):
            continue
        if port.kind != SERVICE and _external(reader, port):
            continue
        rules = rules_of(port.host, port.namespace)
        owner = port.namespace if port.kind != SERVICE else ""
        found.append(Destination(port.host, port.port, rules=rules, owner=owner))
        found.extend(
            Destination(port.host, port.port, subset.name, subset.labels, rules, owner)
            for subset in subset_labels(reader, rules)
        )
    return tuple(sorted(found))


def _external(reader: Reader, port: HostPort) -> bool:
    host = reader.host(port.host, port.namespace)
    return host is None or host.external


def leads_to(server: GatewayServer, host: str, namespace: str) -> bool:
    """Whether a server is for a host that `namespace` defines."""
    return any(host_matches(pattern, host) for pattern in server_hosts(server, namespace))


def led_by(
    reader: Reader, server: GatewayServer, destinations: Iterable[Destination], viewer: str
) -> Iterator[Destination]:
    """Of the destinations of a gateway in the namespace `viewer` those that one server leads to."""
    for item in destinations:
        host = reader.host(item.host, item.owner, viewer=viewer)
        if host is not None and leads_to(server, item.host, host.namespace):
            yield item
