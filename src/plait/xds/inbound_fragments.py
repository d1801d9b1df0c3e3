"""Fragments of what a workload serves behind its sidecar."""

from __future__ import annotations

from plait.api.security import MTLSMode
from plait.kit.memo import Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.inbound import InboundPort, inbound_ports, limited
from plait.mesh.peers import PeerPolicies, WorkloadPeers
from plait.snapshot.reader import Reader
from plait.xds import inbound as xds_inbound
from plait.xds import names
from plait.xds.encode import resource
from plait.xds.manners import manners
from plait.xds.resource import CDS, EDS, LDS, SDS, Resource
from plait.xds.shared_fragments import (
    Entries,
    Lister,
    Maker,
    listener_resource,
    mesh_of,
    own_kind_entry,
    rules_of,
)
from plait.xds.tls import server_credentials
from plait.xds.views import ViewKey


class InboundFragments:
    """Makers of what a workload serves, and the lists of inbound views."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "inbound-ports": self.inbound_ports,
            "inbound-peers": self.inbound_peers,
            "listener-inbound": self.listener_inbound,
            "listener-ingress": self.listener_ingress,
            "inbound-cluster": self.inbound_cluster,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("in", CDS): self._clusters,
            ("in", EDS): self._endpoints,
            ("in", LDS): self._listeners,
            ("in", SDS): self._secrets,
        }

    def inbound_ports(self, tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[InboundPort, ...]:
        """The declared ports of a workload."""
        found = inbound_ports(reader, view.namespace, view.labels, view.sidecar, view.address)
        # Without labels: Istio, a rule with a workloadSelector is for callers alone.
        rules = rules_of(tracker, self.mesh, view.namespace)
        return limited(reader, found, rules, mesh_of(tracker).baseline)

    @staticmethod
    def inbound_peers(tracker: Tracker, _reader: Reader, view: ViewKey) -> WorkloadPeers | None:
        """What is demanded of callers of a workload; None: its proxies have no certificates."""
        if not view.mutual:
            return None
        policies: PeerPolicies = tracker.need(("peer-policies", view.namespace))
        return policies.of(view.labels)

    def listener_ingress(
        self, tracker: Tracker, _reader: Reader, view: ViewKey, port: InboundPort, mode: MTLSMode | None
    ) -> Resource:
        """A port that the proxy itself listens on."""
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_inbound.bound_listener(
                port,
                detection_timeout=mesh.detection_timeout,
                manners=manners(mesh),
                mode=mode,
                access=tracker.need(("access", view)),
            )
        )

    def listener_inbound(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Resource:
        """`virtualInbound`."""
        ports = tuple(port for port in tracker.need(("inbound-ports", view)) if not port.bound)
        mesh = mesh_of(tracker)
        return listener_resource(
            xds_inbound.virtual_inbound(
                ports,
                detection_timeout=mesh.detection_timeout,
                manners=manners(mesh),
                peers=tracker.need(("inbound-peers", view)),
                access=tracker.need(("access", view)),
            )
        )

    def inbound_cluster(self, tracker: Tracker, _reader: Reader, port: InboundPort) -> Resource:
        """The application on one port."""
        message = xds_inbound.inbound_cluster(port, mesh=mesh_of(tracker))
        return resource(CDS, message.name, message)

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        name = names.INBOUND_PASSTHROUGH_CLUSTER
        yield name, ("fixed-cluster", name)
        for port in tracker.need(("inbound-ports", view)):
            yield names.inbound_cluster(port.port), ("inbound-cluster", port)

    @staticmethod
    def _endpoints(_tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield own_kind_entry(view)

    def _secrets(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        wanted = (
            name for port in tracker.need(("inbound-ports", view)) if port.tls for name in server_credentials(port.tls)
        )
        for name in dict.fromkeys(wanted):
            yield name, ("secret", view.namespace, name)

    def _listeners(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        yield names.VIRTUAL_INBOUND, ("listener-inbound", view)
        bound = [port for port in tracker.need(("inbound-ports", view)) if port.bound]
        peers: WorkloadPeers | None = tracker.need(("inbound-peers", view)) if bound else None
        for port in bound:
            mode = peers.at(port.port).mode if peers is not None else None
            yield xds_inbound.bound_name(port), ("listener-ingress", view, port, mode)
