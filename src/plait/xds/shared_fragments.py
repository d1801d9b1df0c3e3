"""Fragments that sidecars and gateways have in common: clusters, endpoints, and how DestinationRules are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.kit.memo import Key, Tracker
from plait.mesh import endpoints as mesh_endpoints
from plait.mesh.checks import check
from plait.mesh.config import MeshConfig, mesh_config
from plait.mesh.destination_rules import RuleTable, effective_policy, exported_rules, find_rules, local_rules
from plait.mesh.destinations import Destination
from plait.mesh.origin import Origin
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader
from plait.xds import cluster as xds_cluster
from plait.xds import names
from plait.xds.encode import resource
from plait.xds.endpoint import load_assignment
from plait.xds.inbound import inbound_passthrough
from plait.xds.resource import CDS, EDS, LDS, Resource
from plait.xds.views import ViewKey

Maker: TypeAlias = Callable[..., Any]
"""(tracker, reader, the rest of the fragment's key) -> its value."""

Entries: TypeAlias = Iterator[tuple[str, Key]]
"""(resource name, fragment) of what a view consists of."""

Lister: TypeAlias = Callable[[Tracker, Reader, ViewKey], Entries]


def rules_of(tracker: Tracker, mesh: MeshConfig, namespace: str) -> Callable[[str, str], tuple[ObjectKey, ...]]:
    """Finds the DestinationRules for (host, namespace of its Service), seen from `namespace`."""
    tables: dict[str, RuleTable] = {}
    local: RuleTable = tracker.need(("local-rules", namespace))

    def exported(owner: str) -> RuleTable:
        if owner not in tables:
            tables[owner] = tracker.need(("exported-rules", owner, namespace))
        return tables[owner]

    def find(host: str, service_namespace: str) -> tuple[ObjectKey, ...]:
        return find_rules(host, service_namespace, local=local, exported=exported, root_namespace=mesh.root_namespace)

    return find


def mesh_of(tracker: Tracker) -> MeshConfig:
    """The mesh's settings as they hold now."""
    found: MeshConfig = tracker.need(("mesh",))
    return found


def listener_resource(message: Any) -> Resource:
    """A Listener as a resource."""
    return resource(LDS, message.name, message)


def cluster_entries(found: tuple[Destination, ...], *, gateway: bool) -> Entries:
    """The clusters of a view."""
    for item in found:
        yield names.outbound_cluster(item.host, item.port, item.subset), ("cluster", item, gateway)


def endpoint_entries(found: tuple[Destination, ...]) -> Entries:
    """The endpoint sets of a view."""
    for item in found:
        name = names.outbound_cluster(item.host, item.port, item.subset)
        yield name, ("endpoints", item.host, item.port, item.subset, item.labels)


class SharedFragments:
    """Makers of these fragments."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "mesh": self.mesh_config,
            "local-rules": self.local_rules,
            "exported-rules": self.exported_rules,
            "cluster": self.cluster,
            "endpoints": self.endpoints,
            "fixed-cluster": self.fixed_cluster,
            "check": self.check,
        }

    def mesh_config(self, _tracker: Tracker, reader: Reader) -> MeshConfig:
        """The mesh's settings."""
        return mesh_config(reader, self.mesh)

    def local_rules(self, _tracker: Tracker, reader: Reader, namespace: str) -> RuleTable:
        """DestinationRules of the caller's own namespace."""
        return local_rules(reader, namespace, self.mesh.root_namespace)

    def exported_rules(self, _tracker: Tracker, reader: Reader, owner: str, namespace: str) -> RuleTable:
        """DestinationRules of another namespace."""
        return exported_rules(reader, owner, namespace)

    def cluster(self, tracker: Tracker, reader: Reader, destination: Destination, gateway: bool) -> Resource | None:
        """One outbound cluster."""
        service = reader.host(destination.host)
        if service is None:
            return None
        effective = effective_policy(reader, destination.rules, port=destination.port, subset=destination.subset)
        if effective.origin is None:
            key = ObjectKey("Service", service.namespace, service.service)
            effective = type(effective)(policy=effective.policy, origin=Origin(key))
        # A gateway's callers do not know addresses of pods, so it cannot leave the choice to them.
        to_address = not gateway and (service.headless or xds_cluster.chooses_address(effective.policy))
        message = xds_cluster.outbound_cluster(
            destination, service, effective, connect_timeout=mesh_of(tracker).connect_timeout, to_address=to_address
        )
        return resource(CDS, message.name, message)

    def endpoints(
        self, _tracker: Tracker, reader: Reader, host: str, port: int, subset: str, labels: Labels
    ) -> Resource:
        """The endpoints of one cluster."""
        name = names.outbound_cluster(host, port, subset)
        return resource(EDS, name, load_assignment(name, mesh_endpoints.endpoints(reader, host, port, labels)))

    def fixed_cluster(self, tracker: Tracker, _reader: Reader, name: str) -> Resource:
        """Clusters that depend on no object."""
        timeout = mesh_of(tracker).connect_timeout
        if name == names.BLACKHOLE_CLUSTER:
            message = xds_cluster.blackhole_cluster()
        elif name == names.INBOUND_PASSTHROUGH_CLUSTER:
            message = inbound_passthrough(timeout)
        else:
            message = xds_cluster.passthrough_cluster(name, timeout)
        return resource(CDS, name, message)

    def check(self, tracker: Tracker, reader: Reader, key: ObjectKey) -> tuple[Problem, ...]:
        """What is wrong between one rule and the rest of the world."""
        return check(reader, key, rules_of(tracker, self.mesh, key.namespace))
