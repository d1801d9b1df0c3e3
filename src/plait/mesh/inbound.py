"""What a workload itself serves: the ports its Services send to it."""

from __future__ import annotations

from dataclasses import dataclass

from plait.api.kubernetes import ServicePort
from plait.api.meta import ObjectKey
from plait.mesh.origin import Origin
from plait.snapshot.hosts import service_host
from plait.snapshot.keys import Labels
from plait.snapshot.protocols import Protocol, protocol_of
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundPort:
    """One port of a workload. `port` is the container's, `service_port` what callers use."""

    port: int
    protocol: Protocol
    service_port: int
    host: str
    origin: Origin


def inbound_ports(reader: Reader, namespace: str, labels: Labels) -> tuple[InboundPort, ...]:
    """The declared ports of the workload with `labels`, sorted; a port of several Services takes the first by name."""
    named: dict[str, int] | None = None
    found: dict[int, InboundPort] = {}
    for service in reader.services_selecting(namespace, labels):
        name = service.metadata.name
        for index, port in enumerate(service.spec.ports):
            if port.protocol != "TCP" or protocol_of(port) is Protocol.UDP:
                continue
            if isinstance(port.target_port, str) and named is None:
                named = reader.named_ports(namespace, labels)
            number = target_port(port, named or {})
            if number is None or number in found:
                continue
            found[number] = InboundPort(
                port=number,
                protocol=protocol_of(port),
                service_port=port.port,
                host=service_host(name, namespace, reader.domain),
                origin=Origin(ObjectKey("Service", namespace, name), f"spec.ports[{index}]"),
            )
    return tuple(found[number] for number in sorted(found))


def target_port(port: ServicePort, named: dict[str, int]) -> int | None:
    """The container port a Service port leads to; None when it is a name nobody has."""
    if isinstance(port.target_port, str):
        return int(port.target_port) if port.target_port.isdigit() else named.get(port.target_port)
    return port.target_port or port.port
