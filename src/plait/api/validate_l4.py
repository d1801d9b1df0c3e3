"""What Istio demands of the tcp and tls rules of a VirtualService."""

from __future__ import annotations

from ipaddress import ip_network

from plait.api.validation import Findings
from plait.api.virtualservice import VirtualServiceSpec


def is_subnet(text: str) -> bool:
    """Whether `text` is an address or a range of them (`10.0.0.0/8`)."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def validate_l4_routes(spec: VirtualServiceSpec, findings: Findings) -> None:
    """Matches of connections; their destinations are checked elsewhere."""
    for index, route in enumerate(spec.tcp):
        for place, match in enumerate(route.match):
            path = f"spec.tcp[{index}].match[{place}]"
            if match.port:
                findings.port(f"{path}.port", match.port)
            named = [(f"{path}.destinationSubnets[{n}]", text) for n, text in enumerate(match.destination_subnets)]
            if match.source_subnet:
                named.append((f"{path}.sourceSubnet", match.source_subnet))
            for where, text in named:
                if not is_subnet(text):
                    findings.error(where, f"{text!r} is not a range of addresses", fix="10.0.0.0/8", value=text)
        for place, item in enumerate(route.route):
            if item.headers is not None:
                findings.warn(f"spec.tcp[{index}].route[{place}].headers", "has no effect: this is not HTTP")
    if spec.tls:
        findings.warn("spec.tls", "has no effect yet: connections go to the service as they are")
