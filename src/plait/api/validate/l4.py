"""What Istio demands of the tcp and tls rules of a VirtualService."""

from __future__ import annotations

from plait.api.names import is_ip, is_mesh_sni, is_subnet, within_label
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_labels
from plait.api.virtualservice import TLSMatch, VirtualServiceSpec


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
                _subnet(where, text, findings)
            validate_labels(f"{path}.sourceLabels", match.source_labels, findings)
        for place, item in enumerate(route.route):
            if item.headers is not None:
                findings.warn(f"spec.tcp[{index}].route[{place}].headers", "has no effect: this is not HTTP")
    for index, rule in enumerate(spec.tls):
        if not rule.match:
            findings.error(f"spec.tls[{index}].match", "a match is missing", fix="match: [{sniHosts: [HOST]}]")
        # Istio: a rule without gateways counts here as one for gateways.
        gateway = "mesh" not in spec.gateways
        for place, chosen in enumerate(rule.match):
            _tls_match(f"spec.tls[{index}].match[{place}]", chosen, spec.hosts, findings, gateway=gateway)


def _tls_match(path: str, match: TLSMatch, hosts: tuple[str, ...], findings: Findings, *, gateway: bool) -> None:
    if not match.sni_hosts:
        findings.error(f"{path}.sniHosts", "a name is missing", fix="the hosts of the rule")
    for index, name in enumerate(match.sni_hosts):
        where = f"{path}.sniHosts[{index}]"
        if is_ip(name):
            findings.warn(where, f"{name!r} is an address, which no client sends as SNI", fix="a name", value=name)
            continue
        if not (gateway and is_mesh_sni(name)):
            findings.host(where, name, wildcard=True)
        if within_label(name):
            findings.warn(where, f"{name!r} is left out: TLS is told by whole labels", fix="*.domain", value=name)
        if not any(_includes(host, name) for host in hosts):
            findings.error(where, f"{name!r} is none of the rule's hosts", fix=f"one of {', '.join(hosts)}", value=name)
    if match.port:
        findings.port(f"{path}.port", match.port)
    for index, text in enumerate(match.destination_subnets):
        _subnet(f"{path}.destinationSubnets[{index}]", text, findings)
    validate_labels(f"{path}.sourceLabels", match.source_labels, findings)


def _includes(host: str, name: str) -> bool:
    """Istio: an SNI host is one of the rule's hosts, or narrower."""
    if host.startswith("*"):
        return name.lower().endswith(host[1:].lower())
    return host.lower() == name.lower()


def _subnet(path: str, text: str, findings: Findings) -> None:
    if not is_subnet(text):
        findings.error(path, f"{text!r} is not a range of addresses", fix="10.0.0.0/8", value=text)
