"""What a workload itself serves: what Services and ServiceEntries send to it, or what its Sidecar says instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from plait.api.destinationrule import ConnectionPool, TrafficPolicy
from plait.api.gateway import ServerTLS
from plait.api.kubernetes import ServicePort
from plait.api.meta import ObjectKey
from plait.api.serviceentry import EntryPort, ServiceEntry
from plait.api.sidecar import IngressListener, Sidecar
from plait.mesh.destination_rules import effective_policy
from plait.mesh.origin import Origin
from plait.snapshot.hosts import service_host
from plait.snapshot.keys import Labels
from plait.snapshot.protocols import Protocol, protocol_named, protocol_of
from plait.snapshot.reader import Reader

#: Modes in which TLS ends at the proxy, with certificates that the user gives.
ENDS_TLS: Final = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundPort:
    """One port of a workload. `port` is the container's, `service_port` what callers use.

    `endpoint` is where a Sidecar says that the application listens (`127.0.0.1:8080`, `0.0.0.0:8080`, `unix:///path`);
    empty: at the address that was called. `bound`: callers reach the proxy at `bind`, nothing is captured for it.
    `tls` ends here; the protocol is that inside it. `name` is the service port's. `also` are hosts of further Services
    that lead here, the oldest first.
    """

    port: int
    protocol: Protocol
    service_port: int
    host: str
    origin: Origin
    endpoint: str = ""
    bind: str = ""
    bound: bool = False
    pool: ConnectionPool | None = None
    tls: ServerTLS | None = None
    name: str = ""
    also: tuple[str, ...] = ()


def inbound_ports(
    reader: Reader, namespace: str, labels: Labels, sidecar: ObjectKey | None = None, address: str = ""
) -> tuple[InboundPort, ...]:
    """The declared ports of the workload with `labels`, sorted; a port of several Services takes the oldest (Istio).

    `address` is the workload's own, where ServiceEntries name it or the proxy listens at it.
    """
    found = reader.sidecar(sidecar) if sidecar is not None else None
    pool = found.spec.inbound_connection_pool if found is not None else None
    declared = [*_of_services(reader, namespace, labels, pool), *_of_entries(reader, namespace, labels, address)]
    first: dict[int, InboundPort] = {}
    for _, port in sorted(declared, key=lambda each: (each[0], each[1].host)):
        known = first.setdefault(port.port, port)
        if port.host not in {known.host, *known.also}:
            first[port.port] = replace(known, also=(*known.also, port.host))
    if sidecar is not None and found is not None and found.spec.ingress:
        served = {number: port.host for number, port in first.items()}
        first = {}
        for port in _of_sidecar(sidecar, found):
            # Istio: it stands for the Service that leads to it, whose limits hold. The proxy listens at the workload's
            # own address, so that the application may have the port at another.
            bind = port.bind or (address if port.bound else "")
            first.setdefault(port.port, replace(port, host=served.get(port.port, ""), bind=bind))
    return tuple(first[number] for number in sorted(first))


def limited(
    reader: Reader,
    ports: tuple[InboundPort, ...],
    rules: Callable[[str, str], tuple[ObjectKey, ...]],
    baseline: TrafficPolicy | None,
) -> tuple[InboundPort, ...]:
    """`ports` with the limits of connections that hold at the receiver.

    Istio: a DestinationRule's `connectionPool` for the whole destination holds there as it does for callers (a
    subset's does not: nobody can say which was called), else the mesh's `baseline`; what a Sidecar says comes first.
    `rules` finds the DestinationRules of (host, namespace).
    """
    return tuple(port if port.pool is not None else _limited(reader, port, rules, baseline) for port in ports)


def _limited(
    reader: Reader,
    port: InboundPort,
    rules: Callable[[str, str], tuple[ObjectKey, ...]],
    baseline: TrafficPolicy | None,
) -> InboundPort:
    found = rules(port.host, port.origin.object.namespace) if port.host else ()
    policy = effective_policy(reader, found, port=port.service_port, baseline=baseline).policy
    return port if policy.connection_pool is None else replace(port, pool=policy.connection_pool)


def _of_services(
    reader: Reader, namespace: str, labels: Labels, pool: ConnectionPool | None
) -> Iterator[tuple[str, InboundPort]]:
    """Each with the time when its Service was made."""
    named: dict[str, int] | None = None
    for service in reader.services_selecting(namespace, labels):
        name = service.metadata.name
        for index, port in enumerate(service.spec.ports):
            if port.protocol != "TCP" or protocol_of(port) is Protocol.UDP:
                continue
            if isinstance(port.target_port, str) and named is None:
                named = reader.named_ports(namespace, labels)
            number = target_port(port, named or {})
            if number is None:
                continue
            made = InboundPort(
                port=number,
                protocol=protocol_of(port),
                service_port=port.port,
                host=service_host(name, namespace, reader.domain),
                origin=Origin(ObjectKey("Service", namespace, name), f"spec.ports[{index}]"),
                pool=pool,
                name=port.name,
            )
            yield service.metadata.creation_timestamp, made


def entry_ports(
    reader: Reader, namespace: str, labels: Labels, address: str
) -> Iterator[tuple[ObjectKey, EntryPort, int]]:
    """(ServiceEntry, its port, where the workload listens for it).

    Istio: of ServiceEntries that select the workload, or list its address among their endpoints.
    """
    for entry in reader.entries_selecting(namespace, labels):
        yield from _entry_ports(entry, reader.named_ports(namespace, labels))
    for owner, name in reader.entries_at(address) if address else ():
        found = reader.service_entry(owner, name)
        if found is not None:
            for endpoint in found.spec.endpoints:
                if endpoint.address == address:
                    yield from _entry_ports(found, endpoint.ports)


def _entry_ports(entry: ServiceEntry, ports: dict[str, int]) -> Iterator[tuple[ObjectKey, EntryPort, int]]:
    key = ObjectKey("ServiceEntry", entry.metadata.namespace, entry.metadata.name)
    for port in entry.spec.ports:
        yield key, port, _entry_target(port, ports)


def _of_entries(reader: Reader, namespace: str, labels: Labels, address: str) -> Iterator[tuple[str, InboundPort]]:
    """Each with the time when its ServiceEntry was made."""
    for key, port, number in entry_ports(reader, namespace, labels, address):
        protocol = protocol_named(port.protocol, port.number)
        entry = reader.service_entry(key.namespace, key.name)
        if protocol is not Protocol.UDP and entry is not None:
            made = InboundPort(
                port=number,
                protocol=protocol,
                service_port=port.number,
                host=entry.spec.hosts[0] if entry.spec.hosts else "",
                origin=Origin(key, f"spec.ports[{entry.spec.ports.index(port)}]"),
                name=port.name,
            )
            yield entry.metadata.creation_timestamp, made


def _entry_target(port: EntryPort, ports: dict[str, int]) -> int:
    return ports.get(port.name) or port.target_port or port.number


def _of_sidecar(key: ObjectKey, sidecar: Sidecar) -> tuple[InboundPort, ...]:
    """The ingress listeners; with any, nothing else is served but as unknown."""
    return tuple(
        _of_listener(Origin(key, f"spec.ingress[{index}]"), item, sidecar.spec.inbound_connection_pool)
        for index, item in enumerate(sidecar.spec.ingress)
        if item.port is not None and item.port.number
    )


def _of_listener(origin: Origin, item: IngressListener, pool: ConnectionPool | None) -> InboundPort:
    assert item.port is not None  # noqa: S101 - callers ask first
    protocol = protocol_named(item.port.protocol, item.port.number)
    tls = item.tls if item.tls is not None and item.tls.mode in ENDS_TLS else None
    if tls is not None:
        protocol = Protocol.HTTP if item.port.protocol.upper() == "HTTPS" else Protocol.TCP
    return InboundPort(
        port=item.port.number,
        protocol=protocol,
        service_port=item.port.number,
        host="",
        origin=origin,
        endpoint=item.default_endpoint,
        bind=item.bind,
        bound=item.capture_mode == "NONE",
        pool=item.connection_pool or pool,
        tls=tls,
        name=item.port.name,
    )


def target_port(port: ServicePort, named: dict[str, int]) -> int | None:
    """The container port a Service port leads to; None when it is a name nobody has."""
    if isinstance(port.target_port, str):
        return int(port.target_port) if port.target_port.isdigit() else named.get(port.target_port)
    return port.target_port or port.port
