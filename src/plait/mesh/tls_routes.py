"""TLS rules of a VirtualService -> the ways of connections to one port, told apart by the name asked for (SNI)."""

from __future__ import annotations

from collections.abc import Iterable

from plait.api.meta import ObjectKey
from plait.api.names import within_label
from plait.api.virtualservice import L4Match, TLSMatch, VirtualService
from plait.mesh.origin import Origin
from plait.mesh.routes import RouteContext, applies_to_caller
from plait.mesh.tcp_routes import TCPWay, subnets, weighted
from plait.snapshot.hosts import narrower
from plait.snapshot.reader import Reader


def tls_ways(
    reader: Reader, key: ObjectKey, rule: VirtualService, context: RouteContext, served: Iterable[str] = ("*",)
) -> tuple[TCPWay, ...]:
    """The ways that the `tls` rules of `rule` give in `context`, of names that are among `served`.

    Istio: a gateway does not look at addresses.
    """
    served = tuple(served)
    result: list[TCPWay] = []
    for index, tls in enumerate(rule.spec.tls):
        destinations = weighted(reader, tls.route, key.namespace, context.port)
        if not destinations:
            continue
        for match in tls.match:
            if (match.port and match.port != context.port) or not _about(match, key.namespace, context):
                continue
            # Names have no case in DNS, and Envoy compares them in lower case.
            asked = (host.lower() for host in match.sni_hosts)
            both = (narrower(one, host) for host in asked for one in served)
            # A name that Envoy cannot look for would cost the whole listener.
            common = {name for name in both if name is not None and not within_label(name)}
            if not common:
                continue
            way = TCPWay(
                destinations=destinations,
                origin=Origin(key, f"spec.tls[{index}]"),
                names=() if "*" in common else tuple(sorted(common)),
                subnets=() if context.at_gateway else subnets(match.destination_subnets),
            )
            result.append(way)
    return tuple(result)


def _about(match: TLSMatch, namespace: str, context: RouteContext) -> bool:
    same = L4Match(source_labels=match.source_labels, source_namespace=match.source_namespace, gateways=match.gateways)
    return applies_to_caller(same, namespace, context)
