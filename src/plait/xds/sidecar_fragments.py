"""Fragments of what a sidecar can call. Everything but route configurations is shared by all that see the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.kit.memo import Key, Tracker
from plait.mesh import endpoints as mesh_endpoints
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import effective_policy, subset_labels
from plait.mesh.destinations import Destination, destinations
from plait.mesh.origin import Origin
from plait.mesh.routes import RouteContext, default_routes, rule_routes
from plait.mesh.rules import MeshRules, Source, mesh_rules
from plait.mesh.tcp_routes import TCPWay, tcp_ways
from plait.mesh.virtual_hosts import HostClaim, claims, foreign_hosts
from plait.snapshot.indexes import MESH
from plait.snapshot.keys import HostPort, Labels
from plait.snapshot.protocols import Protocol
from plait.snapshot.reader import Reader
from plait.xds import listener as xds_listener
from plait.xds import names
from plait.xds.access_log import access_logs
from plait.xds.encode import resource_of_bytes
from plait.xds.resource import CDS, EDS, LDS, RDS, Resource
from plait.xds.route import catch_all_host, route_configuration, virtual_host_content, virtual_host_head
from plait.xds.shared_fragments import (
    Entries,
    Lister,
    Maker,
    cluster_entries,
    endpoint_entries,
    listener_resource,
    mesh_of,
    rules_of,
)
from plait.xds.views import ViewKey


class RulesOfService(NamedTuple):
    """What holds for connections to a service: DestinationRules, and the VirtualService with tcp rules, if any.

    `source` tells callers apart only if that looks at them.
    """

    policy: tuple[ObjectKey, ...]
    connections: ObjectKey | None
    source: Source


class SidecarFragments:
    """Makers of these fragments, and the lists of outbound views."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "mesh-rules": self.mesh_rules,
            "foreign-hosts": self.foreign_hosts,
            "destinations": self.destinations,
            "host-claims": self.host_claims,
            "headless": self.headless,
            "virtual-host": self.virtual_host,
            "route-parts": self.route_parts,
            "routes": self.routes,
            "service-routes": self.service_routes,
            "listener-outbound": self.listener_outbound,
            "listener-http": self.listener_http,
            "listener-service": self.listener_service,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("out", CDS): self._clusters,
            ("out", EDS): self._endpoints,
            ("out", LDS): self._listeners,
            ("out", RDS): self._routes,
        }

    def mesh_rules(self, _tracker: Tracker, reader: Reader, namespace: str) -> MeshRules:
        """The VirtualServices of sidecars."""
        return mesh_rules(reader.virtual_services(MESH, namespace))

    def foreign_hosts(self, tracker: Tracker, reader: Reader, namespace: str) -> dict[int, tuple[str, ...]]:
        """Hosts that exist in rules only, by port."""
        return foreign_hosts(tracker.need(("mesh-rules", namespace)), reader.ports(namespace))

    def destinations(self, tracker: Tracker, reader: Reader, namespace: str) -> tuple[Destination, ...]:
        """Every cluster of the namespace's sidecars."""
        return destinations(
            reader.ports(namespace),
            rules_of=rules_of(tracker, self.mesh, namespace),
            subsets_of=lambda rules: subset_labels(reader, rules),
        )

    def host_claims(self, tracker: Tracker, reader: Reader, namespace: str, port: int) -> tuple[HostClaim, ...]:
        """The virtual hosts of one port."""
        foreign = tracker.need(("foreign-hosts", namespace)).get(port, ())
        ports = [item for item in reader.ports_numbered(namespace, port) if item.protocol.may_be_http]
        rules = tracker.need(("mesh-rules", namespace))
        return claims(ports, rules, foreign, namespace=namespace, domain=self.mesh.domain)

    def headless(self, _tracker: Tracker, reader: Reader, host: str, port: int) -> tuple[str, ...]:
        """The addresses of a headless service."""
        return tuple(sorted({item.address for item in mesh_endpoints.endpoints(reader, host, port)}))

    def virtual_host(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, host: str, port: int, rule: ObjectKey | None, source: Source
    ) -> bytes | None:
        """The content of a virtual host; None when a host of rules only has no route for this port and caller."""
        mesh = mesh_of(tracker)
        found = reader.virtual_service(rule) if rule is not None else None
        if rule is not None and found is not None:
            context = RouteContext(source=source, gateways=frozenset({MESH}), port=port, mesh=mesh)
            routes = rule_routes(reader, rule, found, context)
            if routes:
                return virtual_host_content(routes, origin=Origin(rule))
        service = reader.host(host)
        if service is None:
            return None
        origin = Origin(ObjectKey("Service", service.namespace, service.service))
        return virtual_host_content(default_routes(host, port, origin, mesh), origin=origin)

    def route_parts(
        self, tracker: Tracker, _reader: Reader, namespace: str, labels: Labels, port: int
    ) -> tuple[tuple[str, bytes, Key], ...]:
        """(host, encoded head, fragment of the content) of each virtual host of a port: its structure, made once."""
        found: tuple[HostClaim, ...] = tracker.need(("host-claims", namespace, port))
        caller, anybody = Source(namespace, labels), Source("")
        parts: list[tuple[str, bytes, Key]] = []
        for claim in found:
            rule = claim.rule.key if claim.rule is not None else None
            # Callers that no rule tells apart share the content.
            source = caller if claim.rule is not None and claim.rule.looks_at_source else anybody
            head = virtual_host_head(names.virtual_host(claim.host, port), claim.domains)
            parts.append((claim.host, head, ("virtual-host", claim.host, port, rule, source)))
        return tuple(parts)

    def _route_configuration(self, tracker: Tracker, name: str, parts: Iterable[tuple[str, bytes, Key]]) -> Resource:
        contents = ((head, tracker.need(key)) for _, head, key in parts)
        hosts = [head + content for head, content in contents if content is not None]
        hosts.append(catch_all_host(registry_only=mesh_of(tracker).registry_only))
        return resource_of_bytes(RDS, name, route_configuration(name, hosts))

    def routes(self, tracker: Tracker, _reader: Reader, namespace: str, labels: Labels, port: int) -> Resource:
        """The route configuration that all HTTP services of a port share."""
        parts = tracker.need(("route-parts", namespace, labels, port))
        return self._route_configuration(tracker, names.sidecar_routes(port), parts)

    def service_routes(
        self, tracker: Tracker, _reader: Reader, namespace: str, labels: Labels, host: str, port: int
    ) -> Resource:
        """The route configuration of one service with a listener of its own."""
        parts = tracker.need(("route-parts", namespace, labels, port))
        mine = [part for part in parts if part[0] == host]
        return self._route_configuration(tracker, names.service_routes(host, port), mine)

    def listener_outbound(self, tracker: Tracker, _reader: Reader) -> Resource:
        """`virtualOutbound`."""
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_listener.virtual_outbound(registry_only=mesh.registry_only, logs=access_logs(mesh))
        )

    def listener_http(self, tracker: Tracker, _reader: Reader, port: int) -> Resource:
        """All HTTP services of a port."""
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_listener.http_listener(
                port,
                detection_timeout=mesh.detection_timeout,
                registry_only=mesh.registry_only,
                logs=access_logs(mesh),
            )
        )

    def listener_service(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, host: str, port: int, address: str, rules: RulesOfService
    ) -> Resource | None:
        """One service that is not declared to be HTTP, at one address."""
        service = reader.host(host)
        protocol = service.protocol(port) if service is not None else None
        if service is None or protocol is None:
            return None
        mesh = mesh_of(tracker)
        found = reader.virtual_service(rules.connections) if rules.connections is not None else None
        ways: tuple[TCPWay, ...] = ()
        if rules.connections is not None and found is not None:
            context = RouteContext(source=rules.source, gateways=frozenset({MESH}), port=port, mesh=mesh)
            ways = tcp_ways(reader, rules.connections, found, context)
        to = xds_listener.Connections(
            address=address,
            port=port,
            cluster=names.outbound_cluster(host, port),
            policy=effective_policy(reader, rules.policy, port=port).policy,
            origin=Origin(ObjectKey("Service", service.namespace, service.service)),
            ways=ways,
            logs=access_logs(mesh),
        )
        if protocol is Protocol.AUTO:
            message = xds_listener.sniffing_listener(
                to, routes=names.service_routes(host, port), detection_timeout=mesh.detection_timeout
            )
        else:
            message = xds_listener.tcp_listener(to)
        return listener_resource(message)

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for name in (names.BLACKHOLE_CLUSTER, names.PASSTHROUGH_CLUSTER):
            yield name, ("fixed-cluster", name)
        yield from cluster_entries(tracker.need(("destinations", view.namespace)), gateway=False)

    def _endpoints(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        headless = {port.host for port in reader.ports(view.namespace) if port.headless}
        found: tuple[Destination, ...] = tracker.need(("destinations", view.namespace))
        yield from endpoint_entries(tuple(item for item in found if item.host not in headless))

    def _listeners(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        yield names.VIRTUAL_OUTBOUND, ("listener-outbound",)
        find = rules_of(tracker, self.mesh, view.namespace)
        own: MeshRules = tracker.need(("mesh-rules", view.namespace))
        for port in reader.ports(view.namespace):
            if port.protocol.is_http:
                if port.port not in xds_listener.RESERVED_PORTS:
                    yield names.listener(names.ANY_ADDRESS, port.port), ("listener-http", port.port)
                continue
            rule = own.find(port.host)
            rules = RulesOfService(
                policy=find(port.host, port.namespace),
                connections=rule.key if rule is not None and rule.connections else None,
                source=Source(view.namespace, view.labels) if rule is not None and rule.looks_at_source else Source(""),
            )
            for address in self._addresses(tracker, port):
                key = ("listener-service", port.host, port.port, address, rules)
                yield names.listener(address, port.port), key
        for number in tracker.need(("foreign-hosts", view.namespace)):
            if number not in xds_listener.RESERVED_PORTS:
                yield names.listener(names.ANY_ADDRESS, number), ("listener-http", number)

    @staticmethod
    def _addresses(tracker: Tracker, port: HostPort) -> tuple[str, ...]:
        if not port.headless:
            return port.addresses
        found: tuple[str, ...] = tracker.need(("headless", port.host, port.port))
        return found

    def _routes(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        shared = {port.port for port in reader.ports(view.namespace) if port.protocol.is_http}
        for number in sorted(shared.union(tracker.need(("foreign-hosts", view.namespace)))):
            yield names.sidecar_routes(number), ("routes", view.namespace, view.labels, number)
        for port in reader.ports(view.namespace):
            if port.protocol is Protocol.AUTO:
                key = ("service-routes", view.namespace, view.labels, port.host, port.port)
                yield names.service_routes(port.host, port.port), key
