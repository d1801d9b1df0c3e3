"""Checks of Services and EndpointSlices whose absence would let one object spoil a whole configuration."""

from __future__ import annotations

from plait.api.kubernetes import EndpointSlice, Service
from plait.api.names import is_dns_label, is_ip
from plait.api.validate.findings import Findings


def validate_service(service: Service, findings: Findings) -> None:
    """A Service's name becomes a host and its addresses become listeners: they must be able to."""
    if not is_dns_label(service.metadata.name):
        findings.error("metadata.name", f"{service.metadata.name!r} is not a DNS label", value=service.metadata.name)
    if not is_dns_label(service.metadata.namespace):
        findings.error("metadata.namespace", f"{service.metadata.namespace!r} is not a DNS label")
    for index, port in enumerate(service.spec.ports):
        findings.port(f"spec.ports[{index}].port", port.port)
        if isinstance(port.target_port, int) and port.target_port != 0:
            findings.port(f"spec.ports[{index}].targetPort", port.target_port)
    addresses = (service.spec.cluster_ip, *service.spec.cluster_ips)
    for address in addresses:
        if address not in {"", "None"} and not is_ip(address):
            findings.error("spec.clusterIP", f"{address!r} is not an IP address", value=address)


def validate_endpointslice(piece: EndpointSlice, findings: Findings) -> None:
    """Addresses must be addresses: Envoy refuses a cluster's whole assignment otherwise."""
    if piece.address_type not in {"IPv4", "IPv6"}:
        if piece.address_type != "FQDN":
            findings.error("addressType", f"{piece.address_type!r}", fix="IPv4 or IPv6", value=piece.address_type)
        return
    for index, endpoint in enumerate(piece.endpoints):
        for place, address in enumerate(endpoint.addresses):
            if not is_ip(address):
                findings.error(
                    f"endpoints[{index}].addresses[{place}]", f"{address!r} is not an IP address", value=address
                )
    for index, port in enumerate(piece.ports):
        if port.port is not None:
            findings.port(f"ports[{index}].port", port.port)
