"""Whose a host is when several objects define it.

Istio's rules: what the caller's own namespace says comes first. Then a Service comes before any ServiceEntry, so that
nobody takes a Service's name away from others; then the oldest. ServiceEntries of the winner's namespace add the ports
that it does not have; how addresses are found for all of them the first says that has a port which proxies serve.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from operator import itemgetter

from plait.snapshot.keys import SERVICE, HostPort, HostProvider, ServiceHost
from plait.snapshot.visibility import visible_in


def chosen_host(providers: tuple[HostProvider, ...], owner: str, viewer: str) -> ServiceHost | None:
    """What a host means to `viewer` (a namespace, or anybody), or what the namespace `owner` says of it."""
    seen = [p for p in providers if (not owner or p.namespace == owner) and visible_in(p.scopes, viewer)]
    if not seen:
        return None
    own = [p for p in seen if p.namespace == viewer] or seen
    first = own[0].facts
    same = [p.facts for p in own[1:] if p.namespace == first.namespace and p.facts.kind == first.kind]
    return _joined([first, *same]) if same and first.kind != SERVICE else first


def _joined(facts: list[ServiceHost]) -> ServiceHost:
    """ServiceEntries of one namespace, in order of precedence, as one."""
    ports = {port[0]: port for each in reversed(facts) for port in reversed(each.ports)}
    first = next((each for each in facts if each.ports), facts[0])
    order = dict.fromkeys(port[0] for each in facts for port in each.ports)
    entries = tuple(name for each in facts for name in each.entries)
    return first._replace(ports=tuple(ports[number] for number in order), entries=entries)


#: Of a HostPort.
_HOST = itemgetter(0)


def undisputed(ports: tuple[HostPort, ...], viewer: str) -> tuple[HostPort, ...]:
    """`ports` (sorted by host) without those of objects that another has taken the host from, for a namespace."""
    if len(set(map(_HOST, ports))) == len(ports):
        return ports
    if all(one.host != two.host or one[4:6] == two[4:6] for one, two in pairwise(ports)):
        # Nearly always: neighbours of one host have one namespace and one object.
        return ports
    result: list[HostPort] = []
    for _, group in groupby(ports, key=lambda port: port.host):
        members = list(group)
        result += members if len(members) == 1 else _winners(members, viewer)
    return tuple(result)


def _winners(members: list[HostPort], viewer: str) -> list[HostPort]:
    members.sort(
        key=lambda port: (port.namespace != viewer, port.kind != SERVICE, port.created, port.namespace, port.service)
    )
    first = members[0]
    kept: dict[int, HostPort] = {}
    for port in members:
        if port.kind == first.kind and port.namespace == first.namespace:
            kept.setdefault(port.port, port._replace(resolution=first.resolution))
    return [kept[number] for number in sorted(kept)]
