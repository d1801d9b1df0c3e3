"""Whose a host is when several objects define it.

Istio's rules: what the caller's own namespace says comes first. Then a Service comes before any ServiceEntry, so that
nobody takes a Service's name away from others; then the oldest. ServiceEntries of the winner's namespace add the ports
that it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    return _joined(first, same) if same and first.kind != SERVICE else first


def _joined(first: ServiceHost, others: Iterable[ServiceHost]) -> ServiceHost:
    ports = list(first.ports)
    entries = list(first.entries)
    for other in others:
        known = {number for number, _, _ in ports}
        ports += [port for port in other.ports if port[0] not in known]
        entries += other.entries
    return first._replace(ports=tuple(ports), entries=tuple(entries))


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
            kept.setdefault(port.port, port)
    return [kept[number] for number in sorted(kept)]
