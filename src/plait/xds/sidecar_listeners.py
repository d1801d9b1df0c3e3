"""Fragments of a sidecar's outbound listeners. A listener is shared by all that see the same behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple

from plait.api.destinationrule import TrafficPolicy
from plait.api.meta import ObjectKey
from plait.api.names import is_ip
from plait.kit.memo import Tracker
from plait.mesh import endpoints as mesh_endpoints
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import effective_policy
from plait.mesh.origin import Origin
from plait.mesh.routes import RouteContext
from plait.mesh.rules import MeshRules, Source
from plait.mesh.scope import Scope
from plait.mesh.tcp_routes import TCPWay, distinct, tcp_ways
from plait.mesh.tls_routes import tls_ways
from plait.mesh.virtual_hosts import short_forms
from plait.snapshot.indexes import MESH
from plait.snapshot.keys import SERVICE, HostPort, Labels, Resolution
from plait.snapshot.protocols import Protocol
from plait.snapshot.reader import Reader
from plait.xds import listener as xds_listener
from plait.xds import names
from plait.xds.egress_listener import Place, egress_listener, egress_places
from plait.xds.manners import manners
from plait.xds.resource import LDS, Resource
from plait.xds.shared_fragments import (
    Entries,
    Lister,
    Maker,
    listener_resource,
    mesh_of,
    rules_of,
)
from plait.xds.shared_listener import SharedService, shared_listener
from plait.xds.sidecar_fragments import Listening
from plait.xds.views import ViewKey

_CREATED: Final[Callable[[HostPort], Any]] = attrgetter("created")


class RulesOfService(NamedTuple):
    """What holds for connections to a service: DestinationRules, and the VirtualServices with rules for them.

    `source` tells callers apart only if these look at them. `towards` are the DestinationRules of hosts they lead to.
    """

    policy: tuple[ObjectKey, ...]
    connections: tuple[ObjectKey, ...] = ()
    source: Source = Source("")
    towards: tuple[tuple[str, tuple[ObjectKey, ...]], ...] = ()


class SharedPart(NamedTuple):
    """One service on a shared listener; only connections to `ranges`, if any are set. `bytes`: see `_takes_bytes`.

    `aliases` are further names that clients of TLS may ask for.
    """

    port: HostPort
    rules: RulesOfService
    ranges: tuple[str, ...] = ()
    bytes: bool = True
    aliases: tuple[str, ...] = ()


class SidecarListeners:
    """Makers of outbound listeners, and their list."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "headless": self.headless,
            "listener-outbound": self.listener_outbound,
            "listener-http": self.listener_http,
            "listener-shared": self.listener_shared,
            "listener-service": self.listener_service,
            "listener-egress": self.listener_egress,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {("out", LDS): self._listeners}

    def headless(self, _tracker: Tracker, reader: Reader, host: str, port: int, owner: str) -> tuple[str, ...]:
        """The addresses of a headless service; of a ServiceEntry, that of the namespace `owner`."""
        found = mesh_endpoints.endpoints(reader, host, port, owner=owner)
        return tuple(sorted({item.address for item in found if is_ip(item.address)}))

    def listener_outbound(self, tracker: Tracker, _reader: Reader, unknown: str) -> Resource:
        """`virtualOutbound`."""
        return listener_resource(xds_listener.virtual_outbound(unknown=unknown, manners=manners(mesh_of(tracker))))

    def listener_http(self, tracker: Tracker, _reader: Reader, port: int, unknown: str) -> Resource:
        """All HTTP services of a port, where there are no others."""
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_listener.http_listener(
                port, detection_timeout=mesh.detection_timeout, unknown=unknown, manners=manners(mesh)
            )
        )

    def listener_shared(  # noqa: PLR0917 (the elements of a fragment's key)
        self,
        tracker: Tracker,
        reader: Reader,
        port: int,
        http: bool,
        dynamic_http: bool,
        parts: tuple[SharedPart, ...],
        unknown: str,
    ) -> Resource:
        """All HTTP services of a port, and what has no address of its own to tell it by."""
        mesh = mesh_of(tracker)
        services = tuple(
            SharedService(
                host=part.port.host,
                protocol=part.port.protocol,
                ranges=part.ranges,
                bytes=part.bytes,
                aliases=part.aliases,
                to=self._connections(tracker, reader, part.port, names.ANY_ADDRESS, part.rules),
                dynamic=part.port.resolution is Resolution.DYNAMIC,
            )
            for part in parts
        )
        message = shared_listener(
            port,
            services,
            http=http,
            dynamic_http=dynamic_http,
            unknown=unknown,
            mesh=mesh,
            manners=manners(mesh),
        )
        return listener_resource(message)

    def listener_service(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, port: HostPort, address: str, rules: RulesOfService, unknown: str
    ) -> Resource:
        """One service that is not declared to be HTTP, at one address. `unknown` is for what its rules leave."""
        to = self._connections(tracker, reader, port, address, rules)
        if port.protocol is not Protocol.AUTO:
            return listener_resource(xds_listener.tcp_listener(to, unknown))
        routes = names.service_routes(port.host, port.port)
        timeout = mesh_of(tracker).detection_timeout
        return listener_resource(xds_listener.sniffing_listener(to, routes=routes, detection_timeout=timeout))

    def listener_egress(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, scope: Scope, labels: Labels, place: Place, unknown: str
    ) -> Resource | None:
        """An egress listener of a Sidecar with a port of its own."""
        mesh = mesh_of(tracker)
        ports: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
        to = None
        if not place.http and ports:
            # Nothing tells connections to one address apart: the oldest service has them (Istio's rule).
            first = min(ports, key=_CREATED)._replace(protocol=place.protocol)
            view = ViewKey("out", scope.namespace, labels, scope.sidecar)
            rules = self._rules(tracker, reader, view, scope, first)
            to = self._connections(tracker, reader, first, place.address, rules)
        message = egress_listener(place, to, mesh=mesh, unknown=unknown, manners=manners(mesh))
        return listener_resource(message) if message is not None else None

    def _connections(
        self, tracker: Tracker, reader: Reader, port: HostPort, address: str, rules: RulesOfService
    ) -> xds_listener.Connections:
        mesh = mesh_of(tracker)
        context = RouteContext(source=rules.source, gateways=frozenset({MESH}), port=port.port, mesh=mesh)
        kind = tls_ways if port.protocol is Protocol.TLS else tcp_ways
        given: list[TCPWay] = []
        for key in rules.connections:
            found = reader.virtual_service(key)
            if found is not None:
                given += kind(reader, key, found, context)
        towards = dict(rules.towards)
        ways = tuple((way, _policy(reader, way, towards, mesh)) for way in distinct(given))
        return xds_listener.Connections(
            address=address,
            port=port.port,
            cluster=names.outbound_cluster(port.host, port.port),
            policy=effective_policy(reader, rules.policy, port=port.port, baseline=mesh.baseline).policy,
            origin=Origin(port.key),
            ways=ways,
            named=port.protocol is Protocol.TLS,
            manners=manners(mesh),
        )

    def _rules(self, tracker: Tracker, reader: Reader, view: ViewKey, scope: Scope, port: HostPort) -> RulesOfService:
        own: MeshRules = tracker.need(("mesh-rules", scope))
        find = rules_of(tracker, self.mesh, scope.namespace, view.labels)
        return _rules_of(reader, view, port, own, find)

    def _listeners(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        scope = view.scope
        unknown: str = tracker.need(("unknown", scope))
        yield names.VIRTUAL_OUTBOUND, ("listener-outbound", unknown)
        # Of two of one name the first holds: what a Sidecar asks for itself goes before the rest.
        for part, place in egress_places(reader, scope, mesh_of(tracker)):
            if place.port in xds_listener.RESERVED_PORTS:
                continue
            if place.of_services:
                asked = [port._replace(protocol=place.protocol) for port in tracker.need(("scope-ports", part))]
                asked.sort(key=_CREATED)
                yield from self._of_services(tracker, reader, view, part, Listening((), tuple(asked)), unknown)
            else:
                yield place.name, ("listener-egress", part, view.labels, place, unknown)
        listening: Listening = tracker.need(("listening", scope))
        yield from self._of_services(tracker, reader, view, scope, listening, unknown)

    def _of_services(  # noqa: PLR0917
        self,
        tracker: Tracker,
        reader: Reader,
        view: ViewKey,
        scope: Scope,
        listening: Listening,
        unknown: str,
    ) -> Entries:
        """The listeners of services at their own addresses, and those that they share."""
        find = rules_of(tracker, self.mesh, scope.namespace, view.labels)
        own: MeshRules = tracker.need(("mesh-rules", scope))
        shared: dict[int, list[SharedPart]] = {}
        by_name = any(port.shares and port.protocol is Protocol.TLS for port in listening.others)
        aliases = self._aliases(tracker, scope) if by_name else {}
        for port in listening.others:
            rules = _rules_of(reader, view, port, own, find)
            if port.shares:
                parts = shared.setdefault(port.port, [])
                names_too = aliases.get(port.host, ()) if port.protocol is Protocol.TLS else ()
                parts.append(SharedPart(port, rules, port.ranges, _takes_bytes(port, parts, listening), names_too))
            leaves = unknown if port.protocol is Protocol.TLS and rules.connections else ""
            for address in self._addresses(tracker, port):
                yield names.listener(address, port.port), ("listener-service", port, address, rules, leaves)
        yield from _shared(shared, dict(listening.http), unknown)

    def _aliases(self, tracker: Tracker, scope: Scope) -> dict[str, tuple[str, ...]]:
        """Istio: a host of TLS is asked for by the names of ExternalNames that mean it, too."""
        found: dict[str, tuple[str, ...]] = {}
        for alias, meant in tracker.need(("scope-aliases", scope)):
            forms = short_forms(alias.host, self.mesh.domain, local=alias.namespace == scope.namespace)
            found[meant] = (*found.get(meant, ()), alias.host, *forms)
        return found

    @staticmethod
    def _addresses(tracker: Tracker, port: HostPort) -> tuple[str, ...]:
        if not port.headless:
            return tuple(address for address in port.addresses if "/" not in address)
        owner = "" if port.kind == SERVICE else port.namespace
        found: tuple[str, ...] = tracker.need(("headless", port.host, port.port, owner))
        return found


def _rules_of(
    reader: Reader,
    view: ViewKey,
    port: HostPort,
    own: MeshRules,
    find: Callable[[str, str], tuple[ObjectKey, ...]],
) -> RulesOfService:
    """What holds for callers of `view` towards one port; `find` tells the DestinationRules of (host, namespace)."""
    policy = find(port.host, port.namespace)
    found = own.for_connections(port.host)
    if not found:
        return RulesOfService(policy)
    source = Source(view.namespace, view.labels) if any(rule.looks_at_source for rule in found) else Source("")
    towards = []
    for host in sorted({host for rule in found for host, _ in reader.targets(rule.key)}):
        service = reader.host(host, viewer=view.namespace)
        if service is not None:
            towards.append((host, find(host, service.namespace)))
    return RulesOfService(policy, tuple(rule.key for rule in found), source, tuple(towards))


def _policy(reader: Reader, way: TCPWay, towards: dict[str, tuple[ObjectKey, ...]], mesh: MeshConfig) -> TrafficPolicy:
    """The policy for a way: that towards the first of its destinations (Istio's rule)."""
    first, _ = way.destinations[0]
    rules = towards.get(first.host, ())
    return effective_policy(reader, rules, port=first.port, subset=first.subset, baseline=mesh.baseline).policy


def _takes_bytes(port: HostPort, before: Iterable[SharedPart], listening: Listening) -> bool:
    """Whether a service that shares a listener gets connections that are no HTTP.

    Istio: one whose protocol nobody declared does so only where no older one has HTTP on the port, declared or not.
    """
    if port.protocol is not Protocol.AUTO:
        return True
    first = dict(listening.first_http).get(port.port)
    if first is not None and first < (port.created, port.host):
        return False
    return all(part.port.protocol is not Protocol.AUTO for part in before)


def _shared(parts: dict[int, list[SharedPart]], http: dict[int, bool], unknown: str) -> Entries:
    """The listeners that services share. `http`: ports with HTTP, and whether names are resolved as asked for."""
    for number in sorted({*http, *parts} - xds_listener.RESERVED_PORTS):
        name = names.listener(names.ANY_ADDRESS, number)
        if number in parts or http[number]:
            content = tuple(parts.get(number, ()))
            yield name, ("listener-shared", number, number in http, http.get(number, False), content, unknown)
        else:
            yield name, ("listener-http", number, unknown)
