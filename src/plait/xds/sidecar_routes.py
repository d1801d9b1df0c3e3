"""Fragments of a sidecar's route configurations, from what it can call to the bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from plait.api.meta import ObjectKey
from plait.kit.alike import Block, Grouped, Mapped
from plait.kit.memo import Key, Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.origin import Origin
from plait.mesh.routes import RouteContext, default_routes, rule_routes
from plait.mesh.rules import MeshRules, Source
from plait.mesh.scope import Scope
from plait.mesh.virtual_hosts import HostClaim, claims
from plait.snapshot.indexes import MESH
from plait.snapshot.keys import HostPort, Labels, RuleEntry
from plait.snapshot.protocols import Protocol
from plait.snapshot.reader import Reader
from plait.xds import names
from plait.xds.egress_listener import egress_places
from plait.xds.encode import NOTHING, Part, one_part, resource_of_blocks, resource_of_parts
from plait.xds.resource import RDS, Resource
from plait.xds.route import (
    catch_all_host,
    route_configuration_head,
    virtual_host_content,
    virtual_host_element,
    virtual_host_head,
)
from plait.xds.shared_fragments import Entries, Lister, Maker, mesh_of
from plait.xds.sidecar_fragments import REMEMBERED, Listening, PortKind
from plait.xds.views import ViewKey

HostPart: TypeAlias = tuple[str, Key]
"""A host, and the fragment of its encoded virtual host."""


class SidecarRoutes:
    """Makers of these fragments, and their list."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh
        self._claims: Mapped[HostPort, HostClaim] = Mapped(REMEMBERED)
        self._parts: Mapped[HostClaim, HostPart] = Mapped(REMEMBERED)
        self._blocks: Grouped[HostPart] = Grouped(REMEMBERED, _zone)

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "host-claims": self.host_claims,
            "virtual-host": self.virtual_host,
            "host-element": self.host_element,
            "host-block": self.host_block,
            "route-parts": self.route_parts,
            "routes": self.routes,
            "service-routes": self.service_routes,
            "proxy-routes": self.proxy_routes,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {("out", RDS): self._routes}

    def host_claims(self, tracker: Tracker, reader: Reader, scope: Scope, port: int) -> tuple[HostClaim, ...]:
        """The virtual hosts of one port."""
        foreign = tracker.need(("foreign-hosts", scope)).get(port, ())
        if scope.sidecar is None:
            ports = reader.ports_numbered(scope.namespace, port)
            all_http = False
        else:
            ports = tracker.need(("scope-ports", scope))
            kinds: frozenset[PortKind] = tracker.need(("port-kinds", scope))
            all_http = all(kind.port == port and kind.protocol.may_be_http for kind in kinds)
        if not all_http:
            ports = tuple([item for item in ports if item.port == port and item.protocol.may_be_http])
        rules: MeshRules = tracker.need(("mesh-rules", scope))
        return claims(
            ports,
            rules,
            foreign,
            namespace=scope.namespace,
            domain=self.mesh.domain,
            aliases=tracker.need(("scope-aliases", scope)),
            each=lambda each, make: self._claims.get((scope, port), each, make, rules),
        )

    def virtual_host(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, host: str, port: int, rules: tuple[ObjectKey, ...], source: Source
    ) -> bytes | None:
        """The content of a virtual host; None when a host of rules only has no route for this port and caller."""
        mesh = mesh_of(tracker)
        context = RouteContext(source=source, gateways=frozenset({MESH}), port=port, mesh=mesh)
        for rule in rules:
            found = reader.virtual_service(rule)
            routes = rule_routes(reader, rule, found, context) if found is not None else ()
            if routes:
                return virtual_host_content(routes, origin=Origin(rule))
        service = reader.host(host, viewer=source.namespace)
        if service is None:
            return None
        origin = Origin(service.key)
        return virtual_host_content(default_routes(host, port, origin, mesh), origin=origin)

    def route_parts(
        self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, port: int
    ) -> tuple[HostPart, ...]:
        """The virtual hosts of a port: its structure, made once."""
        found: tuple[HostClaim, ...] = tracker.need(("host-claims", scope, port))
        caller, anybody, own = Source(scope.namespace, labels), Source(""), Source(scope.namespace)

        def of_claim(claim: HostClaim) -> HostPart:
            # Callers that no rule tells apart share the content.
            looks = bool(claim.rules) and any(rule.looks_at_source for rule in claim.rules)
            source = caller if looks else own if claim.viewer else anybody
            return _host_part(claim.host, claim.domains, port, claim.rules, source)

        return self._parts.get((scope, labels, port), found, of_claim)

    def host_element(self, tracker: Tracker, _reader: Reader, head: bytes, content: Key) -> Part:
        """A virtual host as an element of route configurations; empty where it has no route."""
        found: bytes | None = tracker.need(content)
        return NOTHING if found is None else virtual_host_element(head + found)

    def host_block(self, tracker: Tracker, _reader: Reader, block: Block[HostPart]) -> Part:
        """The virtual hosts of one namespace: everybody who sees all of them has them in common."""
        return one_part(tracker.need_all([key for _, key in block.members]))

    def _route_configuration(
        self, tracker: Tracker, scope: Scope, name: str, parts: tuple[HostPart, ...], whose: object
    ) -> Resource:
        blocks = self._blocks.get(whose, parts)
        elements = tracker.need_all([("host-block", block) for block in blocks])
        last = catch_all_host(tracker.need(("unknown", scope.whole)))
        return resource_of_blocks(RDS, name, route_configuration_head(name), elements, last)

    def routes(self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, port: int) -> Resource:
        """The route configuration that all HTTP services of a port share."""
        parts = tracker.need(("route-parts", scope, labels, port))
        return self._route_configuration(tracker, scope, names.sidecar_routes(port), parts, (scope, labels, port))

    def service_routes(
        self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, host: str, port: int
    ) -> Resource:
        """The route configuration of one service whose protocol nobody declared.

        Only its own addresses lead here, so whatever name is asked for, it is meant (Istio's rule).
        """
        parts: tuple[HostPart, ...] = tracker.need(("route-parts", scope, labels, port))
        mine: list[Any] = [key for name, key in parts if name == host]
        name = names.service_routes(host, port)
        head = route_configuration_head(name)
        content = tracker.need(mine[0][2]) if mine else None
        if content is not None:
            every = virtual_host_element(virtual_host_head(names.virtual_host(host, port), ("*",)) + content)
            return resource_of_parts(RDS, name, (head, every))
        last = catch_all_host(tracker.need(("unknown", scope.whole)))
        return resource_of_parts(RDS, name, (head, *tracker.need_all(mine), last))

    def proxy_routes(self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, name: str) -> Resource:
        """The route configuration of a listener that takes calls of any port, told by the authority they ask for."""
        hosts: list[Part] = [route_configuration_head(name, by_port=True)]
        taken: set[str] = set()
        for number in http_ports(tracker, scope):
            found: tuple[HostClaim, ...] = tracker.need(("host-claims", scope, number))
            parts: tuple[HostPart, ...] = tracker.need(("route-parts", scope, labels, number))
            contents: dict[str, Any] = {host: key[2] for host, key in parts}
            for claim in found:
                content = tracker.need(contents[claim.host])
                named = [f"{domain}:{number}" for domain in claim.domains]
                # Without a port the first is meant; 80 is what a client leaves out.
                named += [domain for domain in claim.domains if domain not in taken]
                taken.update(claim.domains)
                if content is not None:
                    head = virtual_host_head(names.virtual_host(claim.host, number), tuple(named))
                    hosts.append(virtual_host_element(head + content))
        hosts.append(catch_all_host(tracker.need(("unknown", scope.whole))))
        return resource_of_parts(RDS, name, hosts)

    def _routes(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        for part, place in egress_places(reader, view.scope, mesh_of(tracker)):
            if place.proxy:
                yield place.routes, ("proxy-routes", part, view.labels, place.routes)
            elif place.http:
                yield place.routes, ("routes", part, view.labels, place.port)
        listening: Listening = tracker.need(("listening", view.scope))
        for number in sorted(listening.undeclared.union(number for number, _ in listening.http)):
            yield names.sidecar_routes(number), ("routes", view.scope, view.labels, number)
        for port in listening.others:
            if port.protocol is Protocol.AUTO and (port.headless or len(port.ranges) < len(port.addresses)):
                key = ("service-routes", view.scope, view.labels, port.host, port.port)
                yield names.service_routes(port.host, port.port), key


@lru_cache(maxsize=16384)
def _host_part(
    host: str, domains: tuple[str, ...], port: int, rules: tuple[RuleEntry, ...], source: Source
) -> HostPart:
    """A host and the fragment of its element; one value for all views that have it."""
    head = virtual_host_head(names.virtual_host(host, port), domains)
    return host, ("host-element", head, ("virtual-host", host, port, tuple(rule.key for rule in rules), source))


def _zone(part: HostPart) -> str:
    """What stands behind the first label of a host: of Services their namespace."""
    return part[0].partition(".")[2]


def http_ports(tracker: Tracker, scope: Scope) -> list[int]:
    """The ports that have any HTTP, 80 first."""
    ports: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
    found = {port.port for port in ports if port.protocol.may_be_http}
    return sorted(found, key=lambda number: (number != 80, number))
