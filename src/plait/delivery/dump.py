"""What the builder would send, as JSON in the shape of Envoy's own /config_dump."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict

from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.delivery.store import ViewStore
    from plait.xds.resource import Resource

_MESSAGES = {
    CDS: cluster_pb2.Cluster,
    EDS: endpoint_pb2.ClusterLoadAssignment,
    LDS: listener_pb2.Listener,
    RDS: route_pb2.RouteConfiguration,
    ECDS: extension_pb2.TypedExtensionConfig,
}


def decode(resource: Resource) -> dict[str, Any]:
    """A resource as JSON with Envoy's field names; one this process has no message class for as base64."""
    (element,) = DeltaDiscoveryResponse.FromString(resource.encoded).resources
    kind = _MESSAGES.get(resource.type_url)
    if kind is not None:
        try:
            message = kind.FromString(element.resource.value)
            return {
                "@type": resource.type_url,
                **MessageToDict(message, preserving_proto_field_name=True),
            }
        except TypeError:
            pass  # a typed_config inside it is of a type that was never imported
    return {
        "@type": resource.type_url,
        "name": resource.name,
        "value": base64.b64encode(element.resource.value).decode(),
    }


def config_dump(store: ViewStore, views: Iterable[str]) -> dict[str, Any]:
    """The configuration of a proxy with these views."""
    names = tuple(views)

    def of(type_url: str) -> list[Resource]:
        return [r for name in names for r in store.view(name).head(type_url).resources.values()]

    return {
        "configs": [
            {
                "@type": TYPE_PREFIX + "envoy.admin.v3.ClustersConfigDump",
                "dynamic_active_clusters": [{"version_info": r.version, "cluster": decode(r)} for r in of(CDS)],
            },
            {
                "@type": TYPE_PREFIX + "envoy.admin.v3.EndpointsConfigDump",
                "dynamic_endpoint_configs": [
                    {"version_info": r.version, "endpoint_config": decode(r)} for r in of(EDS)
                ],
            },
            {
                "@type": TYPE_PREFIX + "envoy.admin.v3.EcdsConfigDump",
                "ecds_filters": [{"version_info": r.version, "ecds_filter": decode(r)} for r in of(ECDS)],
            },
            {
                "@type": TYPE_PREFIX + "envoy.admin.v3.ListenersConfigDump",
                "dynamic_listeners": [
                    {"name": r.name, "active_state": {"version_info": r.version, "listener": decode(r)}}
                    for r in of(LDS)
                ],
            },
            {
                "@type": TYPE_PREFIX + "envoy.admin.v3.RoutesConfigDump",
                "dynamic_route_configs": [{"version_info": r.version, "route_config": decode(r)} for r in of(RDS)],
            },
        ]
    }


def endpointz(store: ViewStore) -> list[dict[str, Any]]:
    """Every endpoint set of every view, once per cluster name and content."""
    found = {(r.name, r.version): r for view in store.views() for r in view.head(EDS).resources.values()}
    answer = []
    for (name, version), resource in sorted(found.items()):
        endpoints = [
            {
                "address": (address := endpoint["endpoint"].get("address", {}).get("socket_address", {})).get(
                    "address"
                ),
                "port": address.get("port_value"),
                "health": endpoint.get("health_status", "HEALTHY"),
                "weight": endpoint.get("load_balancing_weight", 1),
                "locality": group.get("locality", {}),
                "metadata": endpoint.get("metadata", {}).get("filter_metadata", {}),
            }
            for group in decode(resource).get("endpoints", ())
            for endpoint in group.get("lb_endpoints", ())
        ]
        answer.append({"svc": name, "version": version, "ep": endpoints})
    return answer
