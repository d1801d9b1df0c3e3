"""TCP rules of a VirtualService -> the ways of connections to one port.

A match's port, gateways and callers are decided here; addresses are left to the proxy, which takes the narrowest range
(filter chains have no order, in Istio neither).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from itertools import product
from typing import Final

from plait.api.meta import ObjectKey
from plait.api.virtualservice import L4Match, RouteDestination, VirtualService
from plait.mesh.origin import Origin
from plait.mesh.routes import ClusterRef, RouteContext, applies_to_caller, destination_cluster
from plait.snapshot.reader import Reader

_EVERYWHERE: Final = {"0.0.0.0/0", "::/0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPWay:
    """Where connections go, each destination with its share; only those to `subnets` from `sources`, if any are set.

    `names`: only TLS connections whose client asks for one of them.
    """

    destinations: tuple[tuple[ClusterRef, int], ...]
    origin: Origin
    subnets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether no connection gets past it."""
        return not (self.subnets or self.sources or self.names)


def tcp_ways(reader: Reader, key: ObjectKey, rule: VirtualService, context: RouteContext) -> tuple[TCPWay, ...]:
    """The ways that the `tcp` rules of `rule` give in `context`, up to the first that takes every connection.

    Istio: a gateway does not look at addresses. Of two ways with the same addresses the first holds, since a proxy
    refuses the second.
    """
    result: dict[tuple[tuple[str, ...], tuple[str, ...]], TCPWay] = {}
    for index, tcp in enumerate(rule.spec.tcp):
        destinations = weighted(reader, tcp.route, key.namespace, context.port)
        if not destinations:
            continue
        for match in tcp.match or (L4Match(),):
            if match.port and match.port != context.port:
                continue
            if not applies_to_caller(match, key.namespace, context):
                continue
            way = TCPWay(
                destinations=destinations,
                origin=Origin(key, f"spec.tcp[{index}]"),
                subnets=() if context.at_gateway else subnets(match.destination_subnets),
                sources=() if context.at_gateway else subnets(filter(None, (match.source_subnet,))),
            )
            result.setdefault((way.subnets, way.sources), way)
            if way.takes_all:
                return tuple(result.values())
    return tuple(result.values())


def distinct(ways: Iterable[TCPWay]) -> tuple[TCPWay, ...]:
    """`ways` up to the first that takes every connection, each condition once: the first holds, as a proxy refuses two.

    Of names that a way before it has for the same addresses a way keeps the others, else of the addresses.
    """
    result: list[TCPWay] = []
    taken: set[tuple[str, str, str]] = set()
    for way in ways:
        names, nets, sources = (each or ("",) for each in (way.names, way.subnets, way.sources))
        left = tuple(name for name in names if taken.isdisjoint(product((name,), nets, sources)))
        kept = nets if left else tuple(net for net in nets if taken.isdisjoint(product(names, (net,), sources)))
        if not kept:
            continue
        left = left or names
        taken.update(product(left, kept, sources))
        whole = (left, kept) == (names, nets)
        rest = replace(way, names=left if way.names else (), subnets=kept if way.subnets else ())
        result.append(way if whole else rest)
        if way.takes_all:
            break
    return tuple(result)


def subnets(written: Iterable[str]) -> tuple[str, ...]:
    """Ranges of addresses, each once and in one form; none: every address is in one of them."""
    found = {str(ip_network(text, strict=False)) for text in written}
    return () if found & _EVERYWHERE else tuple(sorted(found))


def weighted(
    reader: Reader, route: tuple[RouteDestination, ...], namespace: str, port: int
) -> tuple[tuple[ClusterRef, int], ...]:
    """The destinations of a rule with their shares; those without a share are left out."""
    single = len(route) == 1
    return tuple(
        (destination_cluster(reader, item.destination, namespace, port), item.weight or 100)
        for item in route
        if item.weight or single
    )


def named_by(ways: tuple[TCPWay, ...]) -> frozenset[ClusterRef]:
    """The clusters that `ways` lead to."""
    return frozenset(cluster for way in ways for cluster, _ in way.destinations)
