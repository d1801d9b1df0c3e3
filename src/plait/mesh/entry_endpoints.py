"""Endpoints that are no pods of a Service: what ServiceEntries list or select, and WorkloadEntries of a Service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plait.api.kubernetes import Service, ServicePort
from plait.api.names import is_ip
from plait.api.serviceentry import EntryPort, ServiceEntry
from plait.api.workloadentry import WorkloadEntry, WorkloadEntrySpec
from plait.mesh.locality import NETWORK_LABEL, of_label, of_pod
from plait.snapshot.contribution import sorted_labels
from plait.snapshot.entries import workload_labels
from plait.snapshot.hosts import is_wildcard
from plait.snapshot.keys import PodFacts, Resolution, ServiceHost
from plait.snapshot.reader import Reader

UNIX: Final = "unix://"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryEndpoint:
    """One address of an entry: an IP address, a DNS name or `unix://PATH` (with port 0).

    `locality` is `region/zone/subzone`, `weight` 0 not set.
    """

    address: str
    port: int
    workload: PodFacts
    namespace: str
    locality: str = ""
    weight: int = 0
    network: str = ""
    node: str = ""


def entry_endpoints(reader: Reader, host: str, service: ServiceHost, port: int) -> Iterator[EntryEndpoint]:
    """The endpoints of a ServiceEntry's port, of all entries of its namespace that define the host."""
    for name in service.entries:
        entry = reader.service_entry(service.namespace, name)
        declared = next((p for p in entry.spec.ports if p.number == port), None) if entry is not None else None
        if entry is None or declared is None:
            continue
        found = [*_listed(entry, declared), *_selected(reader, entry, declared)]
        if _by_its_own_name(entry, host):
            facts, number = PodFacts((), "", name), declared.target_port or port
            found.append(EntryEndpoint(address=host, port=number, workload=facts, namespace=service.namespace))
        yield from (each for each in found if _suits(each.address, service.resolution))


def target_of(reader: Reader, service: ServiceHost, port: int) -> int:
    """The program's own port behind a port of a ServiceEntry, 0 where it says none."""
    for name in service.entries:
        entry = reader.service_entry(service.namespace, name)
        for declared in entry.spec.ports if entry is not None else ():
            if declared.number == port:
                return declared.target_port
    return 0


def _suits(address: str, resolution: Resolution) -> bool:
    """Whether an address can stand in the host's cluster, of which the oldest entry that defines the host decides."""
    if resolution in {Resolution.ENDPOINTS, Resolution.NONE}:
        return address.startswith(UNIX) or is_ip(address)
    return not (address.startswith(UNIX) and resolution in {Resolution.DNS, Resolution.ROUND_ROBIN})


def _by_its_own_name(entry: ServiceEntry, host: str) -> bool:
    """Whether what DNS says of the host itself are its endpoints."""
    spec = entry.spec
    return spec.resolution != "STATIC" and not (spec.endpoints or spec.workload_selector or is_wildcard(host))


def _listed(entry: ServiceEntry, port: EntryPort) -> Iterator[EntryEndpoint]:
    for item in entry.spec.endpoints:
        facts = PodFacts(sorted_labels(item.labels), item.service_account, entry.metadata.name)
        yield _of(item, facts, entry.metadata.namespace, _number(item, port))


def _number(item: WorkloadEntrySpec, port: EntryPort) -> int:
    return item.ports.get(port.name) or port.target_port or port.number


def _of(item: WorkloadEntrySpec, facts: PodFacts, namespace: str, port: int) -> EntryEndpoint:
    return EntryEndpoint(
        address=item.address,
        port=0 if item.address.startswith(UNIX) else port,
        workload=facts,
        namespace=namespace,
        # Istio: the field, else the label.
        locality=item.locality or str(of_label(dict(facts.labels))),
        weight=item.weight,
        network=item.network,
    )


def _selected(reader: Reader, entry: ServiceEntry, port: EntryPort) -> Iterator[EntryEndpoint]:
    selector = entry.spec.workload_selector
    if selector is None or entry.spec.endpoints:
        return
    namespace = entry.metadata.namespace
    labels = sorted_labels(selector.labels)
    for found in reader.workload_entries_selected(namespace, labels):
        if not found.healthy:
            continue
        yield _of(found.spec, workload_facts(found), namespace, _number(found.spec, port))
    for pod in reader.pods_selected(namespace, labels):
        facts = reader.pod(namespace, pod.metadata.name)
        if pod.status.ready and facts is not None:
            own = dict(facts.labels)
            # Istio: a port of the pod with the name of the entry's comes first, as with WorkloadEntries.
            named = reader.ports_of_pod(namespace, pod.metadata.name)
            yield EntryEndpoint(
                address=pod.status.pod_ip,
                port=named.get(port.name) or port.target_port or port.number,
                workload=facts,
                namespace=namespace,
                locality=str(of_pod(reader, own, facts.node)),
                network=own.get(NETWORK_LABEL, ""),
                node=facts.node,
            )


def workload_facts(found: WorkloadEntry) -> PodFacts:
    """What is known of a program that is no pod."""
    return PodFacts(workload_labels(found), found.spec.service_account or "default", found.metadata.name)


def workloads_of_service(reader: Reader, service: Service, port: ServicePort) -> Iterator[EntryEndpoint]:
    """The WorkloadEntries that a Kubernetes Service selects (Istio's rule), for one of its ports."""
    selector = sorted_labels(service.spec.selector)
    namespace = service.metadata.namespace
    if not selector:
        return
    for found in reader.workload_entries_selected(namespace, selector):
        if not is_ip(found.spec.address) and not found.spec.address.startswith(UNIX):
            # A DNS name: the cluster of a Service is told addresses, it resolves none.
            continue
        if not found.healthy:
            continue
        number = _mapped(found.spec.ports, port)
        if number is not None:
            yield _of(found.spec, workload_facts(found), namespace, number)


def _mapped(ports: dict[str, int], port: ServicePort) -> int | None:
    """The port of a program for one of a Service. A target that is a name is one of the program's own names."""
    target = port.target_port
    if isinstance(target, str) and not target.isdigit():
        return ports.get(target) or ports.get(port.name)
    return ports.get(port.name) or int(target or 0) or port.port
