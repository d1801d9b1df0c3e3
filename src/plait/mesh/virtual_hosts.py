"""The virtual hosts of a sidecar's route configuration: which names answer to which Service or rule.

Of one name only the first claimant gets it, since Envoy refuses a configuration with a name twice. Full names of
Services come first, then hosts that exist only in rules, then short forms and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from plait.mesh.rules import MeshRules
from plait.snapshot.hosts import host_matches, is_wildcard
from plait.snapshot.keys import SERVICE, Alias, HostPort, RuleEntry

#: The port of hosts that are no Services.
_ANY_HOSTS: Final = 80


class HostClaim(NamedTuple):
    """One virtual host, a Service's or of a rule alone, with the rules for it: the first that has a route holds.

    `viewer` is the namespace whose own ServiceEntry it is: others may mean another by the name.
    """

    host: str
    domains: tuple[str, ...]
    rules: tuple[RuleEntry, ...] = ()
    viewer: str = ""


def short_forms(host: str, domain: str, *, local: bool) -> tuple[str, ...]:
    """What callers may leave out of the name of a Service, those of its own namespace (`local`) more than others."""
    base = host.removesuffix(f".svc.{domain}")
    if base == host:
        return ()
    service = base.partition(".")[0]
    return (service, base, f"{base}.svc") if local and service != "*" else (base, f"{base}.svc")


def _is_local(port: HostPort, namespace: str, domain: str) -> bool:
    """Whether a host is one of `namespace`: of a ServiceEntry by the host's name, whoever wrote it (Istio's rule)."""
    if port.kind == SERVICE:
        return port.namespace == namespace
    return port.host.partition(".")[2] == f"{namespace}.svc.{domain}"


def _pods_have_names(port: HostPort) -> bool:
    return port.headless and port.kind == SERVICE


@lru_cache(maxsize=16384)
def service_domains(host: str, addresses: tuple[str, ...], domain: str, local: bool, pods: bool) -> tuple[str, ...]:
    """The full name of a Service and the others that callers may use, those of its own namespace (`local`) one more.
    `pods`: each pod has a name of its own under them.

    Remembered: they are the same for every port and every view.
    """
    names = [*short_forms(host, domain, local=local)]
    names += [f"[{address}]" if ":" in address else address for address in addresses if "/" not in address]
    if pods:
        # A pod of a headless Service is called by a name of its own in front.
        names += [f"*.{name}" for name in (host, *names)]
    return (host, *names)


EachPort: TypeAlias = Callable[[tuple[HostPort, ...], Callable[[HostPort], HostClaim]], tuple[HostClaim, ...]]


def _each(ports: tuple[HostPort, ...], make: Callable[[HostPort], HostClaim]) -> tuple[HostClaim, ...]:
    return tuple(map(make, ports))


def _claim(port: HostPort, rules: MeshRules, namespace: str, domain: str) -> HostClaim:
    """The virtual host of a port that shares no name with others, where no rule is for hosts by a wildcard."""
    local = _is_local(port, namespace, domain)
    domains = service_domains(port.host, port.addresses, domain, local, _pods_have_names(port))
    viewer = namespace if port.kind != SERVICE and port.namespace == namespace else ""
    return HostClaim(port.host, domains, rules.exact.get(port.host, ()), viewer)


def claims(
    ports: tuple[HostPort, ...],
    rules: MeshRules,
    foreign: Collection[str],
    *,
    namespace: str,
    domain: str,
    aliases: Collection[tuple[Alias, str]] = (),
    each: EachPort = _each,
) -> tuple[HostClaim, ...]:
    """The virtual hosts of one port for callers in `namespace`, sorted by host, as `ports` are; each domain belongs to
    one.

    `foreign` are hosts of rules that no Service has, `aliases` other names of hosts, each with the host it means.
    `each` makes the claims of ports by themselves, or remembers them.
    """
    if not (foreign or aliases or rules.wildcards):
        found = each(ports, lambda port: _claim(port, rules, namespace, domain))
        if _apart(ports) or len(set().union(*[each.domains for each in found])) == sum([len(c.domains) for c in found]):
            # Nearly always: nobody wants what another has.
            return found
    domains = {
        port.host: service_domains(
            port.host, port.addresses, domain, _is_local(port, namespace, domain), _pods_have_names(port)
        )
        for port in ports
    }
    others = [host for host in foreign if host not in domains]
    taken = {*others}.union(*domains.values())
    if len(taken) < len(others) + sum(map(len, domains.values())):
        taken = {*others, *domains}
        for host, names in domains.items():
            kept = tuple(dict.fromkeys(name for name in names[1:] if name not in taken))
            taken.update(kept)
            domains[host] = (host, *kept)
    domains.update((host, (f"[{host}]" if ":" in host else host,)) for host in others)
    for alias, meant in aliases:
        # A rule for the other name itself takes it.
        target = alias.host if alias.host in domains else meant
        if target in domains:
            forms = short_forms(alias.host, domain, local=alias.namespace == namespace)
            free = tuple(dict.fromkeys(name for name in (alias.host, *forms) if name not in taken))
            taken.update(free)
            domains[target] += free
    own = {port.host for port in ports if port.kind != SERVICE and port.namespace == namespace}
    own_rules = {host: rules.exact.get(host) or rules.wildcards.get(host, ()) for host in others}
    return tuple(
        [
            HostClaim(
                host,
                domains[host],
                own_rules[host] if host in own_rules else rules.find(host),
                namespace if host in own else "",
            )
            for host in sorted(domains)
        ]
    )


_HOST: Final = itemgetter(0)
_ADDRESSES: Final = itemgetter(6)
_KIND: Final = itemgetter(8)


def _apart(ports: tuple[HostPort, ...]) -> bool:
    """Whether it is plain that no two of them have a name in common: names of Services of different hosts are
    different, since in neither part of `service.namespace` is a dot; only addresses may be the same.
    """
    addresses = list(chain.from_iterable(map(_ADDRESSES, ports)))
    return (
        {SERVICE}.issuperset(map(_KIND, ports))
        and len(set(map(_HOST, ports))) == len(ports)
        and len(set(addresses)) == len(addresses)
    )


def foreign_hosts(rules: MeshRules, ports: tuple[HostPort, ...]) -> dict[int, tuple[str, ...]]:
    """Hosts of rules without a visible Service on a port, by the port they are served on.

    All hosts of a rule are served on the ports of the Services among them; what is no Service of port 80 is there too,
    by its name in full (Istio's rule). A wildcard that covers some Service of a port only speaks for those there.
    """
    hosts = {port.host for port in ports if port.port == _ANY_HOSTS}
    if not (rules.wildcards or rules.joint) and hosts.issuperset(rules.exact):
        return {}
    alone = [
        (host, entry)
        for host, entries in rules.exact.items()
        for entry in entries
        if host not in hosts or len(entry.hosts) > 1
    ]
    alone += [
        (host, entry)
        for host, entries in rules.wildcards.items()
        for entry in entries
        if len(entry.hosts) > 1 or not any(host_matches(host, service) for service in hosts)
    ]
    if not alone:
        return {}
    numbers: dict[str, set[int]] = {}
    http: dict[str, set[int]] = {}
    for port in ports:
        numbers.setdefault(port.host, set()).add(port.port)
        if port.protocol.may_be_http:
            http.setdefault(port.host, set()).add(port.port)
    result: dict[int, set[str]] = {}
    for host, entry in alone:
        if not entry.requests:
            continue
        served = {_ANY_HOSTS}.union(*(_numbers(other, http) for other in entry.hosts))
        for number in served - _numbers(host, numbers):
            result.setdefault(number, set()).add(host)
    return {number: tuple(sorted(hosts)) for number, hosts in sorted(result.items())}


def _numbers(host: str, known: Mapping[str, set[int]]) -> set[int]:
    """The ports of a host, of a wildcard those of all that it covers."""
    if not is_wildcard(host):
        return known.get(host, set())
    return set[int]().union(*(numbers for service, numbers in known.items() if host_matches(host, service)))
