"""Fragments of a gateway."""

from __future__ import annotations

from typing import Final

from plait.api.destinationrule import TrafficPolicy
from plait.api.meta import ObjectKey
from plait.kit.identity import IdentityCache
from plait.kit.memo import Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.credentials import Credential, credential
from plait.mesh.destination_rules import effective_policy, subset_labels
from plait.mesh.destinations import Destination
from plait.mesh.gateway_names import by_name, led_by
from plait.mesh.gateway_servers import GatewayListener, GatewayServer, Serving, gateway_listeners
from plait.mesh.gateways import GatewayHost, ServerWays, gateway_hosts, gateway_ways
from plait.mesh.origin import Origin
from plait.mesh.routes import ClusterRef, Route, RouteContext, referenced, rule_routes
from plait.mesh.rules import Source
from plait.mesh.tcp_routes import TCPWay, named_by, tcp_ways
from plait.mesh.tls_routes import tls_ways
from plait.snapshot.keys import SERVICE, RuleEntry
from plait.snapshot.reader import Reader
from plait.xds import names
from plait.xds.encode import resource_of_parts
from plait.xds.gateway import gateway_listener, listener_name, routes_name, routes_of
from plait.xds.manners import manners
from plait.xds.resource import CDS, EDS, LDS, RDS, SDS, Resource
from plait.xds.route import (
    empty_gateway_host,
    route_configuration_head,
    route_element,
    virtual_host_content,
    virtual_host_element,
    virtual_host_head,
)
from plait.xds.shared_fragments import (
    RESOLVING,
    Entries,
    Lister,
    Maker,
    cluster_entries,
    endpoint_entries,
    listener_resource,
    mesh_of,
    own_kind_entry,
    rules_of,
)
from plait.xds.tls import WantedCredential, client_credentials, secret_resource, server_credentials
from plait.xds.views import ViewKey

#: Routes of gateways whose encoded form is remembered.
_REMEMBERED: Final = 8192


def _listener_at(tracker: Tracker, view: ViewKey, port: int, bind: str) -> GatewayListener | None:
    listeners: tuple[GatewayListener, ...] = tracker.need(("gateway-listeners", view))
    return next((item for item in listeners if (item.port, item.bind) == (port, bind)), None)


class GatewayFragments:
    """Makers of gateway fragments, and the lists of gateway views."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh
        # The routes of a host come from many objects, of which one changes.
        self._route_elements = IdentityCache(route_element, _REMEMBERED)

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "gateway-listeners": self.gateway_listeners,
            "gateway-rules": self.gateway_rules,
            "rule-routes": self.rule_routes,
            "gateway-hosts": self.gateway_hosts,
            "gateway-routes": self.gateway_routes,
            "gateway-ways": self.gateway_ways,
            "gateway-named": self.gateway_named,
            "gateway-clusters": self.gateway_clusters,
            "gateway-destinations": self.gateway_destinations,
            "gateway-credentials": self.gateway_credentials,
            "listener-gateway": self.listener_gateway,
            "credential": self.credential,
            "secret": self.secret,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("gw", CDS): self._clusters,
            ("gw", EDS): self._endpoints,
            ("gw", LDS): self._listeners,
            ("gw", RDS): self._routes,
            ("gw", SDS): self._secrets,
        }

    def gateway_listeners(self, _tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[GatewayListener, ...]:
        """What a gateway listens for."""
        return gateway_listeners(reader, view.namespace, view.labels, view.address, certificates=view.mutual)

    def gateway_rules(self, _tracker: Tracker, reader: Reader, gateway: str, namespace: str) -> tuple[RuleEntry, ...]:
        """The VirtualServices bound to one Gateway."""
        return reader.virtual_services(gateway, namespace)

    def rule_routes(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, rule: ObjectKey, gateway: str, port: int, secure: bool, source: Source
    ) -> tuple[Route, ...]:
        """What one VirtualService says for one Gateway's port."""
        found = reader.virtual_service(rule)
        if found is None:
            return ()
        context = RouteContext(
            source=source, gateways=frozenset({gateway}), port=port, mesh=mesh_of(tracker), secure=secure
        )
        return rule_routes(reader, rule, found, context)

    def gateway_hosts(
        self, tracker: Tracker, _reader: Reader, view: ViewKey, port: int, bind: str, name: str
    ) -> tuple[GatewayHost, ...]:
        """The virtual hosts of the route configuration `name` of one listener."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None:
            return ()

        def routes(entry: RuleEntry, server: GatewayServer) -> tuple[Route, ...]:
            who = Source(view.namespace, view.labels) if entry.looks_at_source else Source("")
            place = (server.gateway_name, server.number, server.serving.secure)
            found: tuple[Route, ...] = tracker.need(("rule-routes", entry.key, *place, who))
            return found

        return gateway_hosts(
            (server for server in listener.servers if routes_name(listener, server) == name),
            rules=lambda gateway: tracker.need(("gateway-rules", gateway, view.namespace)),
            routes=routes,
        )

    def gateway_routes(
        self, tracker: Tracker, _reader: Reader, view: ViewKey, port: int, bind: str, name: str
    ) -> Resource:
        """One route configuration."""
        hosts: tuple[GatewayHost, ...] = tracker.need(("gateway-hosts", view, port, bind, name))
        element = self._route_elements.get
        encoded = [
            virtual_host_element(
                virtual_host_head(names.virtual_host(host.host, host.number), (host.host,))
                + virtual_host_content(host.routes, origin=host.origin, https_only=host.redirect, element=element)
            )
            for host in hosts
        ]
        listener = _listener_at(tracker, view, port, bind)
        # Istio names virtual hosts after the port that callers of the gateway's Service use.
        elements = encoded or [empty_gateway_host(listener.servers[0].number if listener is not None else port)]
        return resource_of_parts(RDS, name, (route_configuration_head(name), *elements))

    def gateway_clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> frozenset[ClusterRef]:
        """What a gateway's routes name, and whom its policies ask."""
        result: set[ClusterRef] = set(tracker.need(("asked", view)))
        for listener in tracker.need(("gateway-listeners", view)):
            place = (view, listener.port, listener.bind)
            for found in tracker.need(("gateway-ways", *place)):
                result |= named_by(found.ways)
            for name in routes_of(listener):
                for host in tracker.need(("gateway-hosts", *place, name)):
                    result |= referenced(host.routes)
        return frozenset(result)

    def gateway_destinations(self, tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[Destination, ...]:
        """The clusters of a gateway: only what its routes name, and of that only what exists."""
        find = rules_of(tracker, self.mesh, view.namespace, view.labels)
        result: list[Destination] = []
        for wanted in tracker.need(("gateway-clusters", view)):
            service = reader.host(wanted.host, viewer=view.namespace)
            if service is None or service.protocol(wanted.port) is None:
                continue
            rules = find(wanted.host, service.namespace)
            owner = service.namespace if service.kind != SERVICE else ""
            if not wanted.subset:
                result.append(Destination(wanted.host, wanted.port, rules=rules, owner=owner))
                continue
            result.extend(
                Destination(wanted.host, wanted.port, subset.name, subset.labels, rules, owner)
                for subset in subset_labels(reader, rules)
                if subset.name == wanted.subset
            )
        return tuple(sorted(result))

    def gateway_named(self, tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[Destination, ...]:
        """What a gateway leads to by the names of mutual TLS."""
        listeners: tuple[GatewayListener, ...] = tracker.need(("gateway-listeners", view))
        if not any(each.serving is Serving.AUTO_PASSTHROUGH for item in listeners for each in item.servers):
            return ()
        find = rules_of(tracker, self.mesh, view.namespace, view.labels)
        return by_name(reader, listeners, reader.ports(view.namespace), find)

    def gateway_ways(
        self, tracker: Tracker, reader: Reader, view: ViewKey, port: int, bind: str
    ) -> tuple[ServerWays, ...]:
        """Where connections to one listener go, by server."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None or listener.serving is Serving.HTTP:
            return ()
        source = Source(view.namespace, view.labels)

        def ways(entry: RuleEntry, server: GatewayServer, hosts: tuple[str, ...]) -> tuple[TCPWay, ...]:
            rule = reader.virtual_service(entry.key) if entry.connections else None
            if rule is None:
                return ()
            gateways = frozenset({server.gateway_name})
            context = RouteContext(source=source, gateways=gateways, port=server.number, mesh=mesh_of(tracker))
            if server.serving is Serving.PASSTHROUGH:
                return tls_ways(reader, entry.key, rule, context, hosts)
            return tcp_ways(reader, entry.key, rule, context)

        return gateway_ways(
            listener, rules=lambda name: tracker.need(("gateway-rules", name, view.namespace)), ways=ways
        )

    def gateway_credentials(self, tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[WantedCredential, ...]:
        """The credentials that a gateway's servers and clusters ask for, with every object that does."""
        found: dict[tuple[str, ObjectKey], Origin] = {}

        def add(names: tuple[str, ...], origin: Origin) -> None:
            for name in names:
                found.setdefault((name, origin.object), origin)

        for listener in tracker.need(("gateway-listeners", view)):
            for server in listener.servers:
                if server.tls is not None and server.serving in {Serving.HTTPS, Serving.TLS}:
                    origin = server.origin
                    if origin.object == server.gateway:
                        origin = Origin(origin.object, f"{origin.path}.tls")
                    add(server_credentials(server.tls), origin)
        for item in tracker.need(("gateway-destinations", view)):
            effective = effective_policy(reader, item.rules, port=item.port, subset=item.subset)
            if effective.policy.tls is not None and effective.origin is not None:
                add(client_credentials(effective.policy.tls), effective.origin)
        return tuple(WantedCredential(key[0], found[key]) for key in sorted(found))

    def credential(self, _tracker: Tracker, reader: Reader, namespace: str, name: str) -> Credential:
        """What a name stands for in a namespace."""
        return credential(reader, name, namespace)

    def secret(self, tracker: Tracker, _reader: Reader, namespace: str, name: str) -> Resource | None:
        """A credential, as proxies of a namespace get it; None while there is none that could be used."""
        value = tracker.need(("credential", namespace, name)).value
        return secret_resource(name, value) if value is not None else None

    def listener_gateway(
        self, tracker: Tracker, reader: Reader, view: ViewKey, port: int, bind: str
    ) -> Resource | None:
        """One listener of a gateway; one without any chain does not exist."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None:
            return None
        ways: tuple[ServerWays, ...] = tracker.need(("gateway-ways", view, port, bind))
        find = rules_of(tracker, self.mesh, view.namespace, view.labels)
        mesh = mesh_of(tracker)

        def policy(way: TCPWay) -> TrafficPolicy | None:
            first, _ = way.destinations[0]
            service = reader.host(first.host, viewer=view.namespace)
            if service is None:
                return None
            rules = find(first.host, service.namespace)
            return effective_policy(reader, rules, port=first.port, subset=first.subset, baseline=mesh.baseline).policy

        found = tuple((item.server, tuple((way, policy(way)) for way in item.ways)) for item in ways)
        destinations: tuple[Destination, ...] = tracker.need(("gateway-named", view))
        named = [
            (server, led_by(reader, server, destinations, view.namespace))
            for server in listener.servers
            if server.serving is Serving.AUTO_PASSTHROUGH
        ]
        message = gateway_listener(
            listener, found, named=named, manners=manners(mesh), access=tracker.need(("access", view))
        )
        return listener_resource(message) if message is not None else None

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield names.BLACKHOLE_CLUSTER, ("fixed-cluster", names.BLACKHOLE_CLUSTER)
        yield from cluster_entries(
            tracker.need(("gateway-destinations", view)), view.caller, gateway=True, mutual=view.mutual
        )
        for item in tracker.need(("gateway-named", view)):
            yield names.sni(item.host, item.port, item.subset), ("named-cluster", item)

    def _endpoints(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        found: tuple[Destination, ...] = tracker.need(("gateway-destinations", view))
        told = tuple(item for item in found if not _finds_its_own(reader, item))
        yield from endpoint_entries(told, view.caller, reader, mesh_of(tracker))
        for item in tracker.need(("gateway-named", view)):
            if not _finds_its_own(reader, item):
                yield names.sni(item.host, item.port, item.subset), ("named-endpoints", item, view.caller)
        yield own_kind_entry(view)

    def _listeners(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for listener in tracker.need(("gateway-listeners", view)):
            yield listener_name(listener), ("listener-gateway", view, listener.port, listener.bind)

    def _routes(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for listener in tracker.need(("gateway-listeners", view)):
            for name in routes_of(listener):
                yield name, ("gateway-routes", view, listener.port, listener.bind, name)

    def _secrets(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for wanted in tracker.need(("gateway-credentials", view)):
            yield wanted.name, ("secret", view.namespace, wanted.name)


def _finds_its_own(reader: Reader, destination: Destination) -> bool:
    service = reader.host(destination.host, destination.owner)
    return service is not None and service.resolution in RESOLVING
