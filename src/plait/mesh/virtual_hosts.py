"""The virtual hosts of a sidecar's route configuration: which names answer to which Service or rule.

Of one name only the first claimant gets it, since Envoy refuses a configuration with a name twice. Full names of
Services come first, then hosts that exist only in rules, then short forms and addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plait.mesh.rules import MeshRules
from plait.snapshot.hosts import host_matches, is_wildcard
from plait.snapshot.keys import HostPort, RuleEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClaim:
    """One virtual host: a Service's (with the rule that holds for it), or, without `service`, a rule's own."""

    host: str
    domains: tuple[str, ...]
    rule: RuleEntry | None
    service: HostPort | None = None


def service_domains(port: HostPort, namespace: str, domain: str) -> Iterator[str]:
    """The names besides the full one that callers in `namespace` may use: short forms and addresses."""
    base = port.host.removesuffix(f".svc.{domain}")
    if base != port.host:
        if port.namespace == namespace:
            yield port.service
        yield base
        yield f"{base}.svc"
    for address in port.addresses:
        yield f"[{address}]" if ":" in address else address


def claims(
    ports: Iterable[HostPort], rules: MeshRules, foreign: Iterable[str], *, namespace: str, domain: str
) -> tuple[HostClaim, ...]:
    """The virtual hosts of one port for callers in `namespace`, sorted by host; each domain belongs to one.

    `foreign` are hosts of rules that no Service has.
    """
    services = {port.host: port for port in ports}
    taken: set[str] = set(services)
    domains: dict[str, list[str]] = {host: [host] for host in services}
    for host in foreign:
        if host not in taken:
            taken.add(host)
            domains[host] = [host]
    for host, port in services.items():
        names = list(service_domains(port, namespace, domain))
        if port.headless:
            # A pod of a headless Service is called by a name of its own in front.
            names += [f"*.{name}" for name in (host, *names)]
        for name in names:
            if name not in taken:
                taken.add(name)
                domains[host].append(name)
    return tuple(
        HostClaim(
            host=host,
            domains=tuple(domains[host]),
            rule=rules.find(host) if host in services else rules.exact.get(host) or rules.wildcards.get(host),
            service=services.get(host),
        )
        for host in sorted(domains)
    )


def foreign_hosts(rules: MeshRules, ports: tuple[HostPort, ...]) -> dict[int, tuple[str, ...]]:
    """Hosts of rules that no visible Service has, by the port they are served on.

    Such a host is served on the ports of the Services that its rule also names, or on 80 (Istio's rule). A wildcard
    that covers some Service only speaks for those.
    """
    known: dict[str, set[int]] = {}
    for port in ports:
        if port.protocol.may_be_http:
            known.setdefault(port.host, set()).add(port.port)
    result: dict[int, set[str]] = {}
    for host, entry in (*rules.exact.items(), *rules.wildcards.items()):
        if (
            not entry.requests
            or host in known
            or (is_wildcard(host) and any(host_matches(host, service) for service in known))
        ):
            continue
        served: set[int] = set()
        for other in entry.hosts:
            if is_wildcard(other):
                served.update(*(numbers for service, numbers in known.items() if host_matches(other, service)))
            else:
                served |= known.get(other, set())
        for number in served or {80}:
            result.setdefault(number, set()).add(host)
    return {number: tuple(sorted(hosts)) for number, hosts in sorted(result.items())}
