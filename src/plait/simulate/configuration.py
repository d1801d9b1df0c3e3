"""The configuration of one proxy as Envoy would hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.xds.encode import packed
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, TYPE_PREFIX, Resource
from plait.xds.slots import filled

_TYPES: Final[dict[str, Any]] = {
    LDS: Listener,
    RDS: RouteConfiguration,
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    ECDS: TypedExtensionConfig,
}
_MANAGER: Final = TYPE_PREFIX + HttpConnectionManager.DESCRIPTOR.full_name


@dataclass(frozen=True, slots=True)
class Configuration:
    """Listeners, route configurations, clusters and endpoints by name. In listeners, filters whose configuration comes
    by ECDS have it.
    """

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
        for listener in found[LDS].values():
            _fill(listener, found[ECDS])
        return cls(found[LDS], found[RDS], found[CDS], found[EDS])


def _fill(listener: Listener, extensions: Mapping[str, TypedExtensionConfig]) -> None:
    """Put what comes by ECDS in its place."""
    rest = [listener.default_filter_chain] if listener.HasField("default_filter_chain") else []
    for chain in (*listener.filter_chains, *rest):
        for each in chain.filters:
            if each.typed_config.type_url != _MANAGER:
                continue
            manager = HttpConnectionManager.FromString(each.typed_config.value)
            if any(item.HasField("config_discovery") for item in manager.http_filters):
                made = tuple(filled(manager.http_filters, extensions))
                del manager.http_filters[:]
                manager.http_filters.extend(made)
                each.typed_config.CopyFrom(packed(manager))
