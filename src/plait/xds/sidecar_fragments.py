"""Fragments of what a sidecar can call. Everything but route configurations is shared by all that see the same.

A `Scope` says who calls, as far as it decides what is seen: its clusters are those of all egress listeners together,
its virtual hosts those of one listener.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from plait.api.meta import ObjectKey
from plait.kit.alike import Mapped
from plait.kit.memo import Key, Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import subset_labels
from plait.mesh.destinations import Destination, destinations
from plait.mesh.egress import all_ports, own_listeners, routed_ports, scope_ports, scope_rules, targets
from plait.mesh.origin import Origin
from plait.mesh.routes import RouteContext, default_routes, rule_routes
from plait.mesh.rules import MeshRules, Source, mesh_rules
from plait.mesh.scope import Scope
from plait.mesh.unknown import UnknownPolicy, unknown_policy
from plait.mesh.virtual_hosts import HostClaim, claims, foreign_hosts
from plait.snapshot.indexes import MESH
from plait.snapshot.keys import HostPort, Labels, Resolution, RuleEntry
from plait.snapshot.protocols import Protocol
from plait.snapshot.reader import Reader
from plait.xds import names
from plait.xds.egress_listener import egress_places
from plait.xds.encode import NOTHING, Part, resource_of_parts
from plait.xds.resource import CDS, EDS, RDS, SDS, Resource
from plait.xds.route import (
    catch_all_host,
    route_configuration_head,
    virtual_host_content,
    virtual_host_element,
    virtual_host_head,
)
from plait.xds.shared_fragments import (
    RESOLVED,
    Entries,
    Lister,
    Maker,
    cluster_entries,
    deciding_labels,
    endpoint_entries,
    mesh_of,
    rules_of,
)
from plait.xds.tls import WantedCredential
from plait.xds.views import ViewKey


class Listening(NamedTuple):
    """The ports of a scope, as listeners see them.

    `http`: those with a route configuration that all HTTP services share, each with whether names are resolved as they
    are asked for. `others` are the ports that are not declared to be HTTP, the oldest service first.
    """

    http: tuple[tuple[int, bool], ...]
    others: tuple[HostPort, ...]


class Telling(NamedTuple):
    """Hosts of which the endpoints are told with the cluster, or (these too, and more) never told by themselves."""

    within: frozenset[str]
    not_at_all: frozenset[str]


#: Lists of which the elements are remembered: a few for each view.
_REMEMBERED: Final = 1024


class SidecarFragments:
    """Makers of these fragments, and the lists of outbound views but for listeners."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh
        self._parts: Mapped[HostClaim, tuple[str, Key]] = Mapped(_REMEMBERED)
        self._clusters_of: Mapped[Destination, tuple[str, Key]] = Mapped(_REMEMBERED)
        self._endpoints_of: Mapped[Destination, tuple[str, Key]] = Mapped(_REMEMBERED)
        self._claims: Mapped[HostPort, HostClaim] = Mapped(_REMEMBERED)

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "scope-rules": self.scope_rules,
            "scope-targets": self.scope_targets,
            "scope-ports": self.scope_ports,
            "routed-ports": self.routed_ports,
            "listening": self.listening,
            "all-ports": self.all_ports,
            "telling": self.telling,
            "unknown": self.unknown,
            "mesh-rules": self.mesh_rules,
            "foreign-hosts": self.foreign_hosts,
            "destinations": self.destinations,
            "host-claims": self.host_claims,
            "virtual-host": self.virtual_host,
            "host-element": self.host_element,
            "route-parts": self.route_parts,
            "routes": self.routes,
            "service-routes": self.service_routes,
            "proxy-routes": self.proxy_routes,
            "sidecar-credentials": self.sidecar_credentials,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("out", CDS): self._clusters,
            ("out", EDS): self._endpoints,
            ("out", RDS): self._routes,
            ("out", SDS): self._secrets,
        }

    def scope_rules(self, _tracker: Tracker, reader: Reader, scope: Scope) -> tuple[RuleEntry, ...]:
        """The VirtualServices that a scope sees."""
        return scope_rules(reader, scope)

    def scope_targets(self, tracker: Tracker, reader: Reader, scope: Scope) -> frozenset[tuple[str, int]]:
        """Where the VirtualServices of a scope send to."""
        return targets(reader, tracker.need(("scope-rules", scope)))

    def scope_ports(self, _tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports that a scope imports."""
        return scope_ports(reader, scope)

    def routed_ports(self, tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports that only the rules of a Sidecar's scope send to."""
        return routed_ports(reader, scope, tracker.need(("scope-ports", scope)), tracker.need(("scope-targets", scope)))

    def listening(self, tracker: Tracker, _reader: Reader, scope: Scope) -> Listening:
        """What decides which listeners and route configurations there are; a further HTTP service mostly does not."""
        ports: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
        http: list[HostPort] = []
        rest: list[HostPort] = []
        for port in ports:
            (http if port.protocol.is_http else rest).append(port)
        dynamic = {port.port for port in http if port.resolution is Resolution.DYNAMIC}
        numbers = sorted({port.port for port in http})
        # Where two services want one place the older has it (Istio's rule).
        others = sorted(rest, key=lambda port: port.created)
        return Listening(tuple((number, number in dynamic) for number in numbers), tuple(others))

    def all_ports(self, tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports of all egress listeners, and of what their rules send to."""
        rest: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
        if scope.sidecar is None:
            return rest
        parts = [part for part, _ in own_listeners(reader, scope)]
        imported = [tracker.need(("scope-ports", part)) for part in parts]
        routed = [tracker.need(("routed-ports", part)) for part in (*parts, scope)]
        return all_ports((*imported, rest), routed, scope.namespace)

    def telling(self, tracker: Tracker, _reader: Reader, scope: Scope) -> Telling:
        """How the endpoints of a scope's hosts reach its proxies, where that is not as usual."""
        ports: tuple[HostPort, ...] = tracker.need(("all-ports", scope))
        unusual = [port for port in ports if port.headless or port.resolution is not Resolution.ENDPOINTS]
        return Telling(
            frozenset(port.host for port in unusual if port.resolution in RESOLVED),
            frozenset(port.host for port in unusual),
        )

    def unknown(self, tracker: Tracker, reader: Reader, scope: Scope) -> str:
        """The cluster of calls that nobody knows."""
        return unknown_cluster(unknown_policy(reader, scope, mesh_of(tracker)))

    def mesh_rules(self, tracker: Tracker, _reader: Reader, scope: Scope) -> MeshRules:
        """The VirtualServices of sidecars, by host."""
        return mesh_rules(tracker.need(("scope-rules", scope)))

    def foreign_hosts(self, tracker: Tracker, _reader: Reader, scope: Scope) -> dict[int, tuple[str, ...]]:
        """Hosts that exist in rules only, by port."""
        return foreign_hosts(tracker.need(("mesh-rules", scope)), tracker.need(("scope-ports", scope)))

    def destinations(self, tracker: Tracker, reader: Reader, scope: Scope, labels: Labels) -> tuple[Destination, ...]:
        """Every cluster of the scope's sidecars, of those with `labels` where DestinationRules select by them."""
        return destinations(
            tracker.need(("all-ports", scope)),
            rules_of=rules_of(tracker, self.mesh, scope.namespace, labels),
            subsets_of=lambda rules: subset_labels(reader, rules),
        )

    def host_claims(self, tracker: Tracker, reader: Reader, scope: Scope, port: int) -> tuple[HostClaim, ...]:
        """The virtual hosts of one port."""
        foreign = tracker.need(("foreign-hosts", scope)).get(port, ())
        numbered = (
            reader.ports_numbered(scope.namespace, port)
            if scope.sidecar is None
            else [item for item in tracker.need(("scope-ports", scope)) if item.port == port]
        )
        ports = tuple([item for item in numbered if item.protocol.may_be_http])
        rules: MeshRules = tracker.need(("mesh-rules", scope))
        return claims(
            ports,
            rules,
            foreign,
            namespace=scope.namespace,
            domain=self.mesh.domain,
            aliases=[(alias, reader.meant(alias.host)) for alias in reader.aliases(scope.namespace)],
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
    ) -> tuple[tuple[str, Key], ...]:
        """(host, fragment of the encoded virtual host) of each virtual host of a port: its structure, made once."""
        found: tuple[HostClaim, ...] = tracker.need(("host-claims", scope, port))
        caller, anybody, own = Source(scope.namespace, labels), Source(""), Source(scope.namespace)

        def of_claim(claim: HostClaim) -> tuple[str, Key]:
            # Callers that no rule tells apart share the content.
            looks = bool(claim.rules) and any(rule.looks_at_source for rule in claim.rules)
            source = caller if looks else own if claim.viewer else anybody
            return _host_part(claim.host, claim.domains, port, claim.rules, source)

        return self._parts.get((scope, labels, port), found, of_claim)

    def host_element(self, tracker: Tracker, _reader: Reader, head: bytes, content: Key) -> Part:
        """A virtual host as an element of route configurations; empty where it has no route."""
        found: bytes | None = tracker.need(content)
        return NOTHING if found is None else virtual_host_element(head + found)

    @staticmethod
    def _route_configuration(tracker: Tracker, scope: Scope, name: str, parts: Iterable[tuple[str, Key]]) -> Resource:
        elements = tracker.need_all([key for _, key in parts])
        last = catch_all_host(tracker.need(("unknown", scope.whole)))
        return resource_of_parts(RDS, name, (route_configuration_head(name), *elements, last))

    def routes(self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, port: int) -> Resource:
        """The route configuration that all HTTP services of a port share."""
        parts = tracker.need(("route-parts", scope, labels, port))
        return self._route_configuration(tracker, scope, names.sidecar_routes(port), parts)

    def service_routes(
        self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, host: str, port: int
    ) -> Resource:
        """The route configuration of one service with a listener of its own."""
        parts = tracker.need(("route-parts", scope, labels, port))
        mine = [part for part in parts if part[0] == host]
        return self._route_configuration(tracker, scope, names.service_routes(host, port), mine)

    def proxy_routes(self, tracker: Tracker, _reader: Reader, scope: Scope, labels: Labels, name: str) -> Resource:
        """The route configuration of a listener that takes calls of any port, told by the authority they ask for."""
        hosts: list[Part] = [route_configuration_head(name, by_port=True)]
        taken: set[str] = set()
        for number in http_ports(tracker, scope):
            found: tuple[HostClaim, ...] = tracker.need(("host-claims", scope, number))
            parts: tuple[tuple[str, Any], ...] = tracker.need(("route-parts", scope, labels, number))
            contents: dict[str, Key] = {host: key[2] for host, key in parts}
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

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for name in (names.BLACKHOLE_CLUSTER, names.PASSTHROUGH_CLUSTER):
            yield name, ("fixed-cluster", name)
        if tracker.need(("unknown", view.scope)) == names.DYNAMIC_DNS_CLUSTER:
            yield names.DYNAMIC_DNS_CLUSTER, ("fixed-cluster", names.DYNAMIC_DNS_CLUSTER)
        found: tuple[Destination, ...] = tracker.need(("destinations", view.scope, deciding_labels(tracker, view)))
        telling: Telling = tracker.need(("telling", view.scope))
        yield from cluster_entries(
            found,
            view.caller,
            gateway=False,
            mutual=view.mutual,
            resolved=telling.within,
            remembered=(self._clusters_of, view),
        )

    def _endpoints(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        untold = tracker.need(("telling", view.scope)).not_at_all
        found: tuple[Destination, ...] = tracker.need(("destinations", view.scope, deciding_labels(tracker, view)))
        return endpoint_entries(
            tuple([item for item in found if item.host not in untold]) if untold else found,
            view.caller,
            reader,
            mesh_of(tracker),
            remembered=(self._endpoints_of, view),
        )

    def sidecar_credentials(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> tuple[WantedCredential, ...]:
        """The credentials that a sidecar's clusters ask for."""
        labels = deciding_labels(tracker, view)
        if not labels:
            return ()
        destinations: tuple[Destination, ...] = tracker.need(("destinations", view.scope, labels))
        found: dict[str, WantedCredential] = {}
        for rule in dict.fromkeys(rule for item in destinations for rule in item.rules):
            for wanted in tracker.need(("rule-credentials", rule)):
                found.setdefault(wanted.name, wanted)
        return tuple(found.values())

    def _secrets(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for wanted in tracker.need(("sidecar-credentials", view)):
            yield wanted.name, ("secret", view.namespace, wanted.name)

    def _routes(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        for part, place in egress_places(reader, view.scope, mesh_of(tracker)):
            if place.proxy:
                yield place.routes, ("proxy-routes", part, view.labels, place.routes)
            elif place.http:
                yield place.routes, ("routes", part, view.labels, place.port)
        listening: Listening = tracker.need(("listening", view.scope))
        for number, _ in listening.http:
            yield names.sidecar_routes(number), ("routes", view.scope, view.labels, number)
        for port in listening.others:
            if port.protocol is Protocol.AUTO:
                key = ("service-routes", view.scope, view.labels, port.host, port.port)
                yield names.service_routes(port.host, port.port), key


@lru_cache(maxsize=16384)
def _host_part(
    host: str, domains: tuple[str, ...], port: int, rules: tuple[RuleEntry, ...], source: Source
) -> tuple[str, Key]:
    """A host and the fragment of its element; one value for all views that have it."""
    head = virtual_host_head(names.virtual_host(host, port), domains)
    return host, ("host-element", head, ("virtual-host", host, port, tuple(rule.key for rule in rules), source))


def http_ports(tracker: Tracker, scope: Scope) -> list[int]:
    """The ports that have any HTTP, 80 first."""
    ports: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
    found = {port.port for port in ports if port.protocol.may_be_http}
    return sorted(found, key=lambda number: (number != 80, number))


def unknown_cluster(policy: UnknownPolicy) -> str:
    """The name of the cluster that takes unknown calls."""
    if policy.proxy is not None:
        return names.outbound_cluster(policy.proxy.host, policy.proxy.port, policy.proxy.subset)
    if policy.by_name:
        return names.DYNAMIC_DNS_CLUSTER
    return names.BLACKHOLE_CLUSTER if policy.registry_only else names.PASSTHROUGH_CLUSTER
