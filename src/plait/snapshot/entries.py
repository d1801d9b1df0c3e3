"""What ServiceEntries, WorkloadEntries and Sidecars contribute to the snapshot."""

from __future__ import annotations

from typing import Final

from plait.api.names import is_ip
from plait.api.serviceentry import ServiceEntry
from plait.api.sidecar import Sidecar
from plait.api.workloadentry import WorkloadEntry
from plait.snapshot import keys
from plait.snapshot.contribution import Contribution, provide, sorted_labels
from plait.snapshot.hosts import is_wildcard
from plait.snapshot.keys import Resolution
from plait.snapshot.nearness import NODE, said
from plait.snapshot.protocols import Protocol, protocol_named
from plait.snapshot.rules import IndexRules
from plait.snapshot.visibility import scopes

_RESOLUTIONS: Final = {
    "NONE": Resolution.NONE,
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.ROUND_ROBIN,
    "DYNAMIC_DNS": Resolution.DYNAMIC,
}
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 (written by users to say "no address")


def service_entry(entry: ServiceEntry, rules: IndexRules, result: Contribution) -> None:
    """Its hosts and their ports, whom it selects, and the addresses of its endpoints."""
    meta, spec = entry.metadata, entry.spec
    visible = scopes(spec.export_to or rules.service_export, meta.namespace)
    near = said(meta.annotations) or rules.near_of(meta.namespace)
    resolution = _RESOLUTIONS[spec.resolution]
    known = {port.number: (protocol_named(port.protocol, port.number), port.name) for port in reversed(spec.ports)}
    ports = tuple((n, *known[n]) for n in dict.fromkeys(p.number for p in spec.ports) if known[n][0] != Protocol.UDP)
    # Istio: callers of what is selected know its addresses, as those of a headless Service do.
    selects = spec.workload_selector is not None and bool(spec.workload_selector.labels)
    headless = selects and resolution is Resolution.NONE
    for name in dict.fromkeys(host.lower() for host in spec.hosts):
        addresses = host_addresses(entry, name)
        facts = keys.ServiceHost(
            meta.namespace,
            meta.name,
            ports,
            headless=headless and not addresses,
            kind=keys.SERVICE_ENTRY,
            resolution=resolution,
            external=spec.location == "MESH_EXTERNAL",
            entries=(meta.name,),
            near=near,
        )
        place = (1, meta.creation_timestamp, meta.namespace, meta.name, tuple(sorted(visible)))
        provide(name, keys.HostProvider(*place, facts, addresses), result)
    if near == NODE:
        result.members.add((keys.node_bound(), (meta.namespace, meta.name)))
    if spec.workload_selector is not None and spec.workload_selector.labels:
        label, value = min(spec.workload_selector.labels.items())
        result.members.add((keys.entries_selecting(meta.namespace, label, value), meta.name))
    for endpoint in spec.endpoints:
        if is_ip(endpoint.address):
            result.members.add((keys.entries_at(endpoint.address), (meta.namespace, meta.name)))


def host_addresses(entry: ServiceEntry, host: str) -> tuple[str, ...]:
    """The addresses and ranges by which callers mean `host`: those written, else those allocated for it."""
    if entry.spec.addresses:
        return tuple(dict.fromkeys(a for a in map(_plain, entry.spec.addresses) if a != ANY_ADDRESS))
    if not needs_address(entry, host):
        return ()
    found = [item.value for item in entry.status.addresses if item.host.lower() == host and "." in item.value]
    return tuple(dict.fromkeys(found))


def _plain(address: str) -> str:
    """A range of one address is that address."""
    return address.removesuffix("/32") if ":" not in address else address.removesuffix("/128")


AUTO_ALLOCATE_LABEL: Final = "networking.istio.io/enable-autoallocate-ip"


def needs_address(entry: ServiceEntry, host: str) -> bool:
    """Whether an address is allocated for a host of `entry`.

    Istio: hosts without one, unless the caller's own address is needed (NONE), the name is a wildcard, or the label
    `networking.istio.io/enable-autoallocate-ip: "false"` says no.
    """
    return (
        not entry.spec.addresses
        and entry.spec.resolution != "NONE"
        and not is_wildcard(host)
        and entry.metadata.labels.get(AUTO_ALLOCATE_LABEL, "").lower() != "false"
    )


def workload_entry(entry: WorkloadEntry, result: Contribution) -> None:
    """Its labels, by which Services and ServiceEntries select it."""
    meta = entry.metadata
    for label, value in workload_labels(entry):
        result.members.add((keys.workloads_with("WorkloadEntry", meta.namespace, label, value), meta.name))


def workload_labels(entry: WorkloadEntry) -> keys.Labels:
    """The labels that selectors look at: those of the spec, and over them the object's own (Istio's rule)."""
    return sorted_labels({**entry.spec.labels, **entry.metadata.labels})


def sidecar(found: Sidecar, result: Contribution) -> None:
    """Its place among the Sidecars of its namespace."""
    meta, selector = found.metadata, found.spec.workload_selector
    labels = sorted_labels(selector.labels) if selector is not None else ()
    at_home = any(item.capture_mode == "NONE" and not item.bind for item in found.spec.ingress)
    entry = keys.SidecarEntry(meta.creation_timestamp, meta.name, meta.namespace, labels, at_home)
    result.members.add((keys.sidecars(meta.namespace), entry))
