"""The endpoints of a destination: who is ready, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

from plait.api.kubernetes import EndpointSlice, SliceEndpoint
from plait.snapshot.keys import Labels, PodFacts
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address. `pod` is None for an address without one (an external machine, say)."""

    zone: str
    address: str
    port: int
    pod: PodFacts | None = None
    pod_namespace: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The pod's labels."""
        return dict(self.pod.labels) if self.pod is not None else {}


def endpoints(reader: Reader, host: str, port: int, labels: Labels = ()) -> tuple[Endpoint, ...]:
    """The ready endpoints of a Service port, of the subset that carries `labels`; each address once, sorted.

    Slices carry their ports by the name of the Service port. An endpoint that is terminating or not ready gets no new
    traffic; the connections it has live on.
    """
    service = reader.host(host)
    names = {name for number, _, name in service.ports if number == port} if service is not None else set()
    if service is None or not names:
        return ()
    wanted = set(labels)
    found: dict[tuple[str, int], Endpoint] = {}
    for piece in reader.slices(service.namespace, service.service):
        target = _target_port(piece, names)
        if target is None:
            continue
        for item in piece.endpoints:
            if item.conditions.ready is False or not item.addresses:
                continue
            endpoint = _endpoint(reader, piece, item, target)
            if wanted.issubset(endpoint.pod.labels if endpoint.pod is not None else ()):
                found.setdefault((endpoint.address, target), endpoint)
    return tuple(sorted(found.values(), key=lambda e: (e.zone, e.address, e.port)))


def _target_port(piece: EndpointSlice, names: set[str]) -> int | None:
    return next((port.port for port in piece.ports if port.name in names and port.protocol == "TCP"), None)


def _endpoint(reader: Reader, piece: EndpointSlice, item: SliceEndpoint, port: int) -> Endpoint:
    address = item.addresses[0]
    reference = item.target_ref
    if reference is not None and reference.kind == "Pod":
        namespace, name = reference.namespace or piece.metadata.namespace, reference.name
    else:
        namespace, name = next(iter(reader.pods_on(address)), ("", ""))
    pod = reader.pod(namespace, name) if name else None
    return Endpoint(item.zone, address, port, pod, namespace)
