"""Fragments of a gateway, and of what a workload serves behind its sidecar."""

from __future__ import annotations

from plait.api.destinationrule import TrafficPolicy
from plait.api.meta import ObjectKey
from plait.kit.memo import Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import effective_policy, subset_labels
from plait.mesh.destinations import Destination
from plait.mesh.gateways import (
    GatewayHost,
    GatewayListener,
    GatewayServer,
    gateway_hosts,
    gateway_listeners,
    gateway_ways,
)
from plait.mesh.inbound import InboundPort, inbound_ports
from plait.mesh.routes import ClusterRef, Route, RouteContext, referenced, rule_routes
from plait.mesh.rules import Source
from plait.mesh.tcp_routes import TCPWay, named_by, tcp_ways
from plait.snapshot.keys import Labels, RuleEntry
from plait.snapshot.reader import Reader
from plait.xds import inbound as xds_inbound
from plait.xds import names
from plait.xds.access_log import access_logs
from plait.xds.encode import resource, resource_of_bytes
from plait.xds.gateway import gateway_listener, gateway_tcp_listener
from plait.xds.resource import CDS, EDS, LDS, RDS, Resource
from plait.xds.route import empty_gateway_host, route_configuration, virtual_host_content, virtual_host_head
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


class InboundFragments:
    """Makers of what a workload serves, and the lists of inbound views."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "inbound-ports": self.inbound_ports,
            "listener-inbound": self.listener_inbound,
            "inbound-cluster": self.inbound_cluster,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {("in", CDS): self._clusters, ("in", LDS): self._listeners}

    def inbound_ports(
        self, _tracker: Tracker, reader: Reader, namespace: str, labels: Labels
    ) -> tuple[InboundPort, ...]:
        """The declared ports of a workload."""
        return inbound_ports(reader, namespace, labels)

    def listener_inbound(self, tracker: Tracker, _reader: Reader, namespace: str, labels: Labels) -> Resource:
        """`virtualInbound`."""
        ports = tracker.need(("inbound-ports", namespace, labels))
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_inbound.virtual_inbound(ports, detection_timeout=mesh.detection_timeout, logs=access_logs(mesh))
        )

    def inbound_cluster(self, tracker: Tracker, _reader: Reader, port: InboundPort) -> Resource:
        """The application on one port."""
        message = xds_inbound.inbound_cluster(port, connect_timeout=mesh_of(tracker).connect_timeout)
        return resource(CDS, message.name, message)

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        name = names.INBOUND_PASSTHROUGH_CLUSTER
        yield name, ("fixed-cluster", name)
        for port in tracker.need(("inbound-ports", view.namespace, view.labels)):
            yield names.inbound_cluster(port.port), ("inbound-cluster", port)

    def _listeners(self, _tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield names.VIRTUAL_INBOUND, ("listener-inbound", view.namespace, view.labels)


def _listener_at(tracker: Tracker, view: ViewKey, port: int, bind: str) -> GatewayListener | None:
    listeners: tuple[GatewayListener, ...] = tracker.need(("gateway-listeners", view))
    return next((item for item in listeners if (item.port, item.bind) == (port, bind)), None)


class GatewayFragments:
    """Makers of gateway fragments, and the lists of gateway views."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "gateway-listeners": self.gateway_listeners,
            "gateway-rules": self.gateway_rules,
            "rule-routes": self.rule_routes,
            "gateway-hosts": self.gateway_hosts,
            "gateway-routes": self.gateway_routes,
            "gateway-ways": self.gateway_ways,
            "gateway-clusters": self.gateway_clusters,
            "gateway-destinations": self.gateway_destinations,
            "listener-gateway": self.listener_gateway,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("gw", CDS): self._clusters,
            ("gw", EDS): self._endpoints,
            ("gw", LDS): self._listeners,
            ("gw", RDS): self._routes,
        }

    def gateway_listeners(self, _tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[GatewayListener, ...]:
        """What a gateway listens for."""
        return gateway_listeners(reader, view.namespace, view.labels)

    def gateway_rules(self, _tracker: Tracker, reader: Reader, gateway: str, namespace: str) -> tuple[RuleEntry, ...]:
        """The VirtualServices bound to one Gateway."""
        return reader.virtual_services(gateway, namespace)

    def rule_routes(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, rule: ObjectKey, gateway: str, port: int, source: Source
    ) -> tuple[Route, ...]:
        """What one VirtualService says for one Gateway's port."""
        found = reader.virtual_service(rule)
        if found is None:
            return ()
        context = RouteContext(source=source, gateways=frozenset({gateway}), port=port, mesh=mesh_of(tracker))
        return rule_routes(reader, rule, found, context)

    def gateway_hosts(
        self, tracker: Tracker, _reader: Reader, view: ViewKey, port: int, bind: str
    ) -> tuple[GatewayHost, ...]:
        """The virtual hosts of one listener."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None:
            return ()

        def routes(entry: RuleEntry, server: GatewayServer) -> tuple[Route, ...]:
            who = Source(view.namespace, view.labels) if entry.looks_at_source else Source("")
            found: tuple[Route, ...] = tracker.need(("rule-routes", entry.key, server.gateway_name, server.number, who))
            return found

        return gateway_hosts(
            listener, rules=lambda name: tracker.need(("gateway-rules", name, view.namespace)), routes=routes
        )

    def gateway_routes(self, tracker: Tracker, _reader: Reader, view: ViewKey, port: int, bind: str) -> Resource:
        """The route configuration of one listener."""
        hosts: tuple[GatewayHost, ...] = tracker.need(("gateway-hosts", view, port, bind))
        encoded = [
            virtual_host_head(names.virtual_host(host.host, port), (host.host,))
            + virtual_host_content(host.routes, origin=host.origin, https_only=host.redirect)
            for host in hosts
        ]
        name = names.gateway_routes(port, bind)
        return resource_of_bytes(RDS, name, route_configuration(name, encoded or [empty_gateway_host(port)]))

    def gateway_clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> frozenset[ClusterRef]:
        """What a gateway's routes name."""
        result: set[ClusterRef] = set()
        for listener in tracker.need(("gateway-listeners", view)):
            place = (view, listener.port, listener.bind)
            if listener.tcp:
                result |= named_by(tracker.need(("gateway-ways", *place)))
                continue
            for host in tracker.need(("gateway-hosts", *place)):
                result |= referenced(host.routes)
        return frozenset(result)

    def gateway_destinations(self, tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[Destination, ...]:
        """The clusters of a gateway: only what its routes name, and of that only what exists."""
        find = rules_of(tracker, self.mesh, view.namespace)
        result: list[Destination] = []
        for wanted in tracker.need(("gateway-clusters", view)):
            service = reader.host(wanted.host)
            if service is None or service.protocol(wanted.port) is None:
                continue
            rules = find(wanted.host, service.namespace)
            if not wanted.subset:
                result.append(Destination(wanted.host, wanted.port, rules=rules))
                continue
            result.extend(
                Destination(wanted.host, wanted.port, subset.name, subset.labels, rules)
                for subset in subset_labels(reader, rules)
                if subset.name == wanted.subset
            )
        return tuple(sorted(result))

    def gateway_ways(self, tracker: Tracker, reader: Reader, view: ViewKey, port: int, bind: str) -> tuple[TCPWay, ...]:
        """Where connections to one listener go."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None:
            return ()
        source = Source(view.namespace, view.labels)

        def ways(entry: RuleEntry, server: GatewayServer) -> tuple[TCPWay, ...]:
            rule = reader.virtual_service(entry.key) if entry.connections else None
            if rule is None:
                return ()
            gateways = frozenset({server.gateway_name})
            context = RouteContext(source=source, gateways=gateways, port=server.number, mesh=mesh_of(tracker))
            return tcp_ways(reader, entry.key, rule, context)

        return gateway_ways(
            listener, rules=lambda name: tracker.need(("gateway-rules", name, view.namespace)), ways=ways
        )

    def listener_gateway(
        self, tracker: Tracker, reader: Reader, view: ViewKey, port: int, bind: str
    ) -> Resource | None:
        """One listener of a gateway; connections without a rule have none."""
        listener = _listener_at(tracker, view, port, bind)
        if listener is None:
            return None
        logs = access_logs(mesh_of(tracker))
        if not listener.tcp:
            return listener_resource(gateway_listener(listener, logs=logs))
        ways: tuple[TCPWay, ...] = tracker.need(("gateway-ways", view, port, bind))
        find = rules_of(tracker, self.mesh, view.namespace)

        def policy(way: TCPWay) -> TrafficPolicy | None:
            first, _ = way.destinations[0]
            service = reader.host(first.host)
            if service is None:
                return None
            rules = find(first.host, service.namespace)
            return effective_policy(reader, rules, port=first.port, subset=first.subset).policy

        found = tuple((way, policy(way)) for way in ways)
        return listener_resource(gateway_tcp_listener(listener, found, logs=logs)) if found else None

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield names.BLACKHOLE_CLUSTER, ("fixed-cluster", names.BLACKHOLE_CLUSTER)
        yield from cluster_entries(tracker.need(("gateway-destinations", view)), gateway=True)

    def _endpoints(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield from endpoint_entries(tracker.need(("gateway-destinations", view)))

    def _listeners(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for listener in tracker.need(("gateway-listeners", view)):
            name = names.listener(listener.bind or names.ANY_ADDRESS, listener.port)
            yield name, ("listener-gateway", view, listener.port, listener.bind)

    def _routes(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for listener in tracker.need(("gateway-listeners", view)):
            if listener.tcp:
                continue
            name = names.gateway_routes(listener.port, listener.bind)
            yield name, ("gateway-routes", view, listener.port, listener.bind)
