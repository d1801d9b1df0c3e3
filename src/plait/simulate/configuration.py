"""The configuration of one proxy as Envoy would hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.xds.resource import CDS, EDS, LDS, RDS, Resource

_TYPES: Final[dict[str, Any]] = {LDS: Listener, RDS: RouteConfiguration, CDS: Cluster, EDS: ClusterLoadAssignment}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Listeners, route configurations, clusters and endpoints by name."""

    listeners: dict[str, Listener]
    routes: dict[str, RouteConfiguration]
    clusters: dict[str, Cluster]
    endpoints: dict[str, ClusterLoadAssignment]

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Configuration:
        """Read what the core hands to delivery, of all views of a proxy together."""
        found: dict[str, dict[str, Any]] = {type_url: {} for type_url in _TYPES}
        for each in resources:
            kind = _TYPES.get(each.type_url)
            if kind is None:
                continue
            element = DeltaDiscoveryResponse.FromString(each.encoded).resources[0]
            found[each.type_url][each.name] = kind.FromString(element.resource.value)
        return cls(found[LDS], found[RDS], found[CDS], found[EDS])
