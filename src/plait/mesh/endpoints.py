"""The endpoints of a destination: who is ready, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from plait.api.kubernetes import EndpointSlice, SliceEndpoint
from plait.mesh.entry_endpoints import EntryEndpoint, entry_endpoints, workloads_of_service
from plait.mesh.locality import NETWORK_LABEL, PLACE_LABELS, Locality, of_pod, with_place
from plait.snapshot.keys import SERVICE, Labels, PodFacts, ServiceHost
from plait.snapshot.reader import Reader

_WEIGHTS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address: an IP address, a DNS name or `unix://PATH`.

    `pod` is what is known of the program there, pod or not; None: nothing. `weight` 0 is not set.
    """

    zone: str
    address: str
    port: int
    pod: PodFacts | None = None
    pod_namespace: str = ""
    region: str = ""
    subzone: str = ""
    weight: int = 0
    network: str = ""
    node: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The pod's labels."""
        return dict(self.pod.labels) if self.pod is not None else {}

    def carries(self, wanted: Labels) -> bool:
        """Whether it is of the subset with these labels, which may ask for its place too (Istio's rule)."""
        if not any(label in PLACE_LABELS for label, _ in wanted):
            return set(wanted).issubset(self.pod.labels if self.pod is not None else ())
        place = Locality(self.region, self.zone, self.subzone)
        return set(wanted) <= with_place(self.labels, place, node=self.node, network=self.network).items()


def endpoints(reader: Reader, host: str, port: int, labels: Labels = (), owner: str = "") -> tuple[Endpoint, ...]:
    """The ready endpoints of a port, of the subset that carries `labels`; each address once, sorted.

    Slices carry their ports by the name of the Service port. An endpoint that is terminating or not ready gets no new
    traffic; the connections it has live on. `owner` is the namespace whose host is meant, where several define it.
    """
    service = reader.host(host, owner)
    names = {name for number, _, name in service.ports if number == port} if service is not None else set()
    if service is None or not names:
        return ()
    found: dict[tuple[str, int], Endpoint] = {}
    for other in _entries(reader, host, service, port):
        endpoint = _entry_endpoint(other)
        if endpoint.address and endpoint.carries(labels):
            found.setdefault((endpoint.address, endpoint.port), endpoint)
    if service.kind != SERVICE:
        return _in_order(found.values())
    for piece in reader.slices(service.namespace, service.service):
        target = _target_port(piece, names)
        if target is None:
            continue
        for item in piece.endpoints:
            if item.conditions.ready is False or not item.addresses:
                continue
            endpoint = _endpoint(reader, piece, item, target)
            if endpoint.carries(labels):
                found.setdefault((endpoint.address, target), endpoint)
    return _in_order(found.values())


def behind(reader: Reader, host: str, port: int, owner: str = "") -> Iterator[tuple[PodFacts | None, str, int]]:
    """(what is known of it, its namespace, where it listens) of everything behind a port, ready or not."""
    service = reader.host(host, owner)
    names = {name for number, _, name in service.ports if number == port} if service is not None else set()
    if service is None or not names:
        return
    for other in _entries(reader, host, service, port):
        if other.address:
            yield other.workload, other.namespace, other.port
    if service.kind != SERVICE:
        return
    for piece in reader.slices(service.namespace, service.service):
        target = _target_port(piece, names)
        for item in piece.endpoints if target is not None else ():
            if item.addresses and target is not None:
                namespace, name = _pod_of(reader, piece, item)
                yield reader.pod(namespace, name) if name else None, namespace, target


def _in_order(found: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Sorted; the weights of all of them together must be a number that Envoy takes."""
    known = sorted(found, key=lambda e: (e.region, e.zone, e.subzone, e.address, e.port))
    most = _WEIGHTS // max(1, len(known))
    return tuple(each if each.weight <= most else replace(each, weight=most) for each in known)


def _entries(reader: Reader, host: str, service: ServiceHost, port: int) -> Iterator[EntryEndpoint]:
    """Endpoints that no EndpointSlice tells."""
    if service.kind != SERVICE:
        yield from entry_endpoints(reader, host, service, port)
        return
    found = reader.service(service.namespace, service.service)
    declared = next((p for p in found.spec.ports if p.port == port), None) if found is not None else None
    if found is not None and declared is not None:
        yield from workloads_of_service(reader, found, declared)


def _entry_endpoint(found: EntryEndpoint) -> Endpoint:
    region, zone, subzone, *_ = (*found.locality.split("/"), "", "", "")
    return Endpoint(
        zone,
        found.address,
        found.port,
        found.workload,
        found.namespace,
        region=region,
        subzone=subzone,
        weight=found.weight,
        network=found.network,
        node=found.node,
    )


def _target_port(piece: EndpointSlice, names: set[str]) -> int | None:
    return next((port.port for port in piece.ports if port.name in names and port.protocol == "TCP"), None)


def _pod_of(reader: Reader, piece: EndpointSlice, item: SliceEndpoint) -> tuple[str, str]:
    """(namespace, name) of the pod at an address; empty if it is none."""
    reference = item.target_ref
    if reference is not None and reference.kind == "Pod":
        return reference.namespace or piece.metadata.namespace, reference.name
    return next(iter(reader.pods_on(item.addresses[0])), ("", ""))


def _endpoint(reader: Reader, piece: EndpointSlice, item: SliceEndpoint, port: int) -> Endpoint:
    address = item.addresses[0]
    namespace, name = _pod_of(reader, piece, item)
    pod = reader.pod(namespace, name) if name else None
    labels = dict(pod.labels) if pod is not None else {}
    node = item.node_name or (pod.node if pod is not None else "")
    place = of_pod(reader, labels, node)
    return Endpoint(
        place.zone or item.zone,
        address,
        port,
        pod,
        namespace,
        region=place.region,
        subzone=place.subzone,
        network=labels.get(NETWORK_LABEL, ""),
        node=node,
    )
