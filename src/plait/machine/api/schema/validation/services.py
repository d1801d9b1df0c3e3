"""Rules for Services and EndpointSlices."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import (
    TOO_MANY,
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.metadata import immutable, validate_labels
from plait.machine.api.schema.validation.values import PROTOCOLS, one_of, port_number, port_or_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_DAY = 86_400
_NOT_SPECIAL = "may not be an unspecified, loopback, link-local or multicast address"
_MOST_ENDPOINTS = 1000
_MOST_ADDRESSES = 100
_MOST_SLICE_PORTS = 20_000


def validate_service(service: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A Service; its address never changes while it keeps having one."""
    spec = service.get("spec") or {}
    kind = spec.get("type")
    if kind is None:
        yield required("spec.type")
    elif kind not in _TYPES:
        yield not_supported("spec.type", kind, _TYPES)
    headless = spec.get("clusterIP") == "None" or (spec.get("clusterIPs") or [None])[0] == "None"
    ports = spec.get("ports") or []
    if not ports and not headless and kind != "ExternalName":
        yield required("spec.ports")
    if headless and kind in {"LoadBalancer", "NodePort"}:
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        yield from _external_name(spec)
    yield from _ports(ports, kind)
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    yield from _affinity(spec)
    yield from _policies(spec, kind)
    yield from _addresses(spec)
    if old is not None:
        yield from _update(spec, old.get("spec") or {})


def _external_name(spec: dict[str, Any]) -> Iterator[FieldError]:
    name = spec.get("externalName", "").rstrip(".")
    if not name:
        yield required("spec.externalName")
    elif fault := names.dns_subdomain(name.lower()):
        yield invalid("spec.externalName", spec["externalName"], fault)


def _ports(ports: list[dict[str, Any]], kind: str | None) -> Iterator[FieldError]:
    seen_names: set[str] = set()
    seen_ports: set[tuple[Any, Any]] = set()
    seen_node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"{where}.name")
        elif name:
            if fault := names.dns_label(name):
                yield invalid(f"{where}.name", name, fault)
            elif name in seen_names:
                yield duplicate(f"{where}.name", name)
            seen_names.add(name)
        yield from port_number(port.get("port", 0), f"{where}.port")
        if not port.get("protocol"):
            yield required(f"{where}.protocol")
        else:
            yield from one_of(port["protocol"], PROTOCOLS, f"{where}.protocol")
        yield from port_or_name(port.get("targetPort"), f"{where}.targetPort")
        protocol = port.get("appProtocol")
        if protocol and (fault := names.qualified_name(protocol)):
            yield invalid(f"{where}.appProtocol", protocol, fault)
        node_port = port.get("nodePort", 0)
        if node_port and kind in {"ClusterIP", "ExternalName"}:
            yield forbidden(f"{where}.nodePort", f"may not be used when `type` is '{kind}'")
        identity = (port.get("protocol"), port.get("port"))
        if identity in seen_ports:
            yield duplicate(where, {"port": port.get("port"), "protocol": port.get("protocol")})
        seen_ports.add(identity)
        node_identity = (port.get("protocol"), node_port)
        if node_port and node_identity in seen_node_ports:
            yield duplicate(f"{where}.nodePort", node_port)
        seen_node_ports.add(node_identity)


def _affinity(spec: dict[str, Any]) -> Iterator[FieldError]:
    affinity = spec.get("sessionAffinity")
    yield from one_of(affinity, ("ClientIP", "None"), "spec.sessionAffinity")
    if affinity != "ClientIP":
        return
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= _DAY:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield invalid(path, seconds, f"must be greater than 0 and less than {_DAY}")


def _policies(spec: dict[str, Any], kind: str | None) -> Iterator[FieldError]:
    yield from one_of(spec.get("internalTrafficPolicy"), _POLICIES, "spec.internalTrafficPolicy")
    yield from one_of(spec.get("trafficDistribution"), _DISTRIBUTIONS, "spec.trafficDistribution")
    external = spec.get("externalTrafficPolicy")
    yield from one_of(external, _POLICIES, "spec.externalTrafficPolicy")
    reachable = kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and spec.get("externalIPs"))
    if external and not reachable:
        yield invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    if kind != "LoadBalancer":
        for field in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            if spec.get(field) is not None:
                yield forbidden(f"spec.{field}", "may only be used when `type` is 'LoadBalancer'")


def _addresses(spec: dict[str, Any]) -> Iterator[FieldError]:
    clusters = spec.get("clusterIPs") or []
    if clusters and spec.get("clusterIP", clusters[0]) != clusters[0]:
        yield invalid("spec.clusterIPs", clusters, "first value must match `clusterIP`")
    for index, address in enumerate(clusters):
        if address != "None" and (fault := names.ip(address)):
            yield invalid(f"spec.clusterIPs[{index}]", address, fault)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if fault := names.ip(address):
            yield invalid(f"spec.externalIPs[{index}]", address, fault)
        elif _special(address):
            yield invalid(f"spec.externalIPs[{index}]", address, _NOT_SPECIAL)
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        try:
            ip_network(text.strip(), strict=False)
        except ValueError:
            where = f"spec.loadBalancerSourceRanges[{index}]"
            yield invalid(where, text, "must be an address range, such as 10.0.0.0/8")


def _update(new: dict[str, Any], old: dict[str, Any]) -> Iterator[FieldError]:
    if "ExternalName" in {new.get("type"), old.get("type")}:
        return
    before, after = old.get("clusterIP"), new.get("clusterIP")
    if before and before != after:
        yield invalid("spec.clusterIPs[0]", new.get("clusterIPs") or [after], "may not change once set")


def validate_endpoint_slice(endpoint_slice: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """An EndpointSlice; its address type never changes."""
    kind = endpoint_slice.get("addressType")
    if not kind:
        yield required("addressType")
    else:
        yield from one_of(kind, ("FQDN", "IPv4", "IPv6"), "addressType")
    endpoints, ports = endpoint_slice.get("endpoints") or [], endpoint_slice.get("ports") or []
    for field, found, most in (("endpoints", endpoints, _MOST_ENDPOINTS), ("ports", ports, _MOST_SLICE_PORTS)):
        if len(found) > most:
            yield FieldError(
                path=field, message=f"Too many: {len(found)}: must have at most {most} items", reason=TOO_MANY
            )
    for index, endpoint in enumerate(endpoints):
        addresses, where = endpoint.get("addresses") or [], f"endpoints[{index}].addresses"
        if not addresses:
            yield required(where, "must contain at least 1 address")
        elif len(addresses) > _MOST_ADDRESSES:
            message = f"Too many: {len(addresses)}: must have at most {_MOST_ADDRESSES} items"
            yield FieldError(path=where, message=message, reason=TOO_MANY)
        for at, address in enumerate(addresses):
            yield from _endpoint_address(kind, address, f"{where}[{at}]")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name", "")
        if name in seen:
            yield duplicate(f"ports[{index}].name", name)
        elif name and (fault := names.dns_label(name)):
            yield invalid(f"ports[{index}].name", name, fault)
        seen.add(name)
        yield from one_of(port.get("protocol"), PROTOCOLS, f"ports[{index}].protocol")
        if port.get("port"):
            yield from port_number(port["port"], f"ports[{index}].port")
    if old is not None:
        yield from immutable(kind, old.get("addressType"), "addressType")


def _endpoint_address(kind: str | None, address: str, path: str) -> Iterator[FieldError]:
    if kind == "FQDN":
        if fault := names.dns_subdomain(address):
            yield invalid(path, address, fault)
        return
    if fault := names.ip(address):
        yield invalid(path, address, fault)
        return
    if f"IPv{ip_address(address).version}" != kind:
        yield invalid(path, address, f"must be an {kind} address")
    elif _special(address):
        yield invalid(path, address, _NOT_SPECIAL)


def _special(address: str) -> bool:
    """Whether an address can never be another host's."""
    parsed = ip_address(address)
    return parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast
