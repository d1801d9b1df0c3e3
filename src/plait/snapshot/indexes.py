"""What each object contributes to the snapshot: its facts, and its memberships in sets.

Pure functions of one object. `Contribution.facts` are entries of their own; `members` are (key of a set, member).
Members of one set have one shape and are ordered by their fields, which is how precedence comes about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from plait.api.decode import MeshObject
from plait.api.destinationrule import DestinationRule
from plait.api.gateway import Gateway
from plait.api.kubernetes import EndpointSlice, Namespace, Pod, Service
from plait.api.mesh_settings import ConfigMap
from plait.api.meta import ObjectKey
from plait.api.virtualservice import Destination, VirtualService
from plait.kit.memo import Key
from plait.snapshot import keys
from plait.snapshot.hosts import complete_host, service_host
from plait.snapshot.protocols import Protocol, protocol_of
from plait.snapshot.visibility import EVERYBODY, scopes, service_scopes

MESH = "mesh"
"""The name of all sidecars together among the gateways of a VirtualService."""


class Contribution(NamedTuple):
    """One object's part of the snapshot."""

    facts: dict[Key, Any]
    members: set[tuple[Key, Any]]


def contribution(key: ObjectKey, value: MeshObject, domain: str) -> Contribution:
    """Everything `value` puts into the snapshot."""
    result = Contribution({keys.object_key(key): value}, set())
    match value:
        case Service():
            _service(value, domain, result)
        case EndpointSlice():
            _endpoint_slice(value, result)
        case Pod():
            _pod(value, result)
        case VirtualService():
            _virtual_service(value, domain, result)
        case DestinationRule():
            _destination_rule(key, value, domain, result)
        case Gateway():
            _gateway(value, result)
        case Namespace() | ConfigMap():
            pass
    return result


def sorted_labels(labels: dict[str, str]) -> keys.Labels:
    """Labels as a value."""
    return tuple(sorted(labels.items()))


def _service(service: Service, domain: str, result: Contribution) -> None:
    if service.spec.type == "ExternalName":
        # It has no address and no endpoints of its own: callers reach what DNS answers them, as unknown traffic.
        return
    meta, spec = service.metadata, service.spec
    name = service_host(meta.name, meta.namespace, domain)
    headless = spec.cluster_ip == "None"
    addresses = () if headless else tuple(dict.fromkeys(a for a in (spec.cluster_ip, *spec.cluster_ips) if a))
    known = [(port, protocol_of(port)) for port in spec.ports]
    known = [(port, protocol) for port, protocol in known if protocol is not Protocol.UDP and port.protocol == "TCP"]
    result.facts[keys.host(name)] = keys.ServiceHost(
        meta.namespace, meta.name, tuple((port.port, protocol, port.name) for port, protocol in known), headless
    )
    for port, protocol in known:
        entry = keys.HostPort(name, port.port, protocol, port.name, meta.namespace, meta.name, addresses, headless)
        for scope in service_scopes(service):
            result.members.add((keys.ports(scope), entry))
            result.members.add((keys.ports_numbered(scope, port.port), entry))
    result.members.add((keys.services_named(meta.name), meta.namespace))
    if spec.selector:
        label, value = min(spec.selector.items())
        result.members.add((keys.selected_by(meta.namespace, label, value), meta.name))


def _endpoint_slice(piece: EndpointSlice, result: Contribution) -> None:
    if piece.service and piece.address_type != "FQDN":
        result.members.add((keys.slices(piece.metadata.namespace, piece.service), piece.metadata.name))


def _pod(pod: Pod, result: Contribution) -> None:
    meta = pod.metadata
    labels = sorted_labels(meta.labels)
    result.facts[keys.pod_facts(meta.namespace, meta.name)] = keys.PodFacts(
        labels, pod.spec.service_account_name, _workload(pod)
    )
    named = tuple((port.name, port.container_port) for c in pod.spec.containers for port in c.ports if port.name)
    if named:
        result.facts[keys.pod_ports(meta.namespace, meta.name)] = named
    result.members.add((keys.pods_labelled(meta.namespace, labels), meta.name))
    if pod.status.pod_ip and pod.status.phase not in {"Succeeded", "Failed"}:
        result.members.add((keys.pods_on(pod.status.pod_ip), (meta.namespace, meta.name)))


def _workload(pod: Pod) -> str:
    """The name users know the pod's workload by: the Deployment, not its ReplicaSet."""
    owner = next((owner for owner in pod.metadata.owner_references if owner.controller), None)
    if owner is None:
        return pod.metadata.name
    revision = pod.metadata.labels.get("pod-template-hash")
    if owner.kind == "ReplicaSet" and revision:
        return owner.name.removesuffix(f"-{revision}")
    return owner.name


def _virtual_service(rule: VirtualService, domain: str, result: Contribution) -> None:
    meta, spec = rule.metadata, rule.spec
    matches = [match for routes in (spec.http, spec.tcp) for route in routes for match in route.match]
    labels = {label for match in matches for label in match.source_labels}
    looks = bool(labels) or any(match.source_namespace for match in matches)
    hosts = tuple(dict.fromkeys(complete_host(name, meta.namespace, domain) for name in spec.hosts))
    entry = keys.RuleEntry(
        meta.creation_timestamp, meta.name, meta.namespace, hosts, looks, bool(spec.http), bool(spec.tcp)
    )
    for gateway in spec.gateways or (MESH,):
        full = gateway_name(gateway, meta.namespace)
        for scope in scopes(spec.export_to, meta.namespace):
            private = scope == meta.namespace
            result.members.add((keys.virtual_services(full, scope, private=private), entry))
    for scope in scopes(spec.export_to, meta.namespace):
        result.members.update((keys.source_labels(scope), (label, meta.namespace, meta.name)) for label in labels)
    result.members.update((keys.virtual_services_for(name), entry) for name in hosts)
    targets = {complete_host(item.host, meta.namespace, domain) for _, item in destinations_in(rule)}
    result.members.update((keys.routed_to(target), (meta.namespace, meta.name)) for target in targets)


def destinations_in(rule: VirtualService) -> Iterator[tuple[str, Destination]]:
    """(path, destination) of everything that `rule` sends traffic to."""
    for index, http in enumerate(rule.spec.http):
        for place, item in enumerate(http.route):
            yield f"spec.http[{index}].route[{place}].destination", item.destination
        for place, mirror in enumerate(http.mirrors):
            yield f"spec.http[{index}].mirrors[{place}].destination", mirror.destination
        if http.mirror is not None:
            yield f"spec.http[{index}].mirror", http.mirror
    for index, tcp in enumerate(rule.spec.tcp):
        for place, item in enumerate(tcp.route):
            yield f"spec.tcp[{index}].route[{place}].destination", item.destination


def gateway_name(name: str, namespace: str) -> str:
    """A gateway as a VirtualService of `namespace` names it, in full: `mesh` or NAMESPACE/NAME."""
    if name == MESH:
        return MESH
    owner, _, short = name.rpartition("/")
    return f"{namespace if owner in {'', '.'} else owner}/{short}"


def _destination_rule(key: ObjectKey, rule: DestinationRule, domain: str, result: Contribution) -> None:
    meta, spec = rule.metadata, rule.spec
    result.facts[keys.subsets(key)] = tuple(
        keys.SubsetFacts(subset.name, sorted_labels(subset.labels)) for subset in spec.subsets
    )
    host = complete_host(spec.host, meta.namespace, domain)
    entry = keys.DestinationEntry(meta.creation_timestamp, meta.name, meta.namespace, host)
    visible = scopes(spec.export_to, meta.namespace)
    if EVERYBODY in visible or meta.namespace in visible:
        result.members.add((keys.local_destination_rules(meta.namespace), entry))
    if visible == {meta.namespace}:
        result.members.add((keys.private_destination_rules(meta.namespace), entry))
    else:
        result.members.update((keys.destination_rules(meta.namespace, scope), entry) for scope in visible)


def _gateway(gateway: Gateway, result: Contribution) -> None:
    meta = gateway.metadata
    selector = sorted_labels(gateway.spec.selector)
    result.members.add(
        (keys.gateways(), keys.GatewayEntry(meta.creation_timestamp, meta.name, meta.namespace, selector))
    )
