"""Clusters whose addresses the proxy itself finds out by DNS (ServiceEntry: DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS)."""

from __future__ import annotations

from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2 import ClusterConfig
from envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2 import (
    FilterConfig as HttpDynamicForwardProxy,
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2 import (
    FilterConfig as SniDynamicForwardProxy,
)

from plait.mesh.config import MeshConfig
from plait.mesh.peers import Speaks, nobody
from plait.mesh.placing import Group
from plait.snapshot.keys import Resolution
from plait.xds.cluster import HTTP_OPTIONS
from plait.xds.dns_cache import dns_cache
from plait.xds.encode import duration, packed
from plait.xds.endpoint import placed_assignment
from plait.xds.http_connection import DYNAMIC_DNS, HTTP_CONNECTION_MANAGER, http_filter

DYNAMIC_CLUSTER: Final = "envoy.clusters.dynamic_forward_proxy"
SNI_FILTER: Final = "envoy.filters.network.sni_dynamic_forward_proxy"
_JITTER_SECONDS: Final = 0.1


def resolve(
    cluster: Cluster,
    resolution: Resolution,
    endpoints: tuple[Group, ...],
    mesh: MeshConfig,
    speaking: Speaks = nobody,
) -> None:
    """Make `cluster` one that resolves names, in place of one that is told its endpoints."""
    cluster.ClearField("eds_cluster_config")
    if resolution is Resolution.DYNAMIC:
        cluster.ClearField("type")
        cluster.ClearField("common_lb_config")
        cluster.ClearField("load_balancing_policy")
        cluster.ClearField("round_robin_lb_config")
        cluster.ClearField("least_request_lb_config")
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
        cluster.cluster_type.name = DYNAMIC_CLUSTER
        config = ClusterConfig(dns_cache_config=dns_cache(mesh))
        # What is verified of a server a DestinationRule says; Envoy refuses a cluster with HTTP options without this.
        config.allow_insecure_cluster_options = HTTP_OPTIONS in cluster.typed_extension_protocol_options
        cluster.cluster_type.typed_config.CopyFrom(packed(config))
        return
    # A logical one has exactly one name; it keeps connections to whatever that resolved to before.
    single = resolution is Resolution.ROUND_ROBIN and sum(len(group.endpoints) for group in endpoints) == 1
    cluster.type = Cluster.LOGICAL_DNS if single else Cluster.STRICT_DNS
    cluster.load_assignment.CopyFrom(placed_assignment(cluster.name, endpoints, speaking))
    cluster.dns_lookup_family = Cluster.V4_ONLY
    cluster.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate.total_seconds()))
    cluster.dns_jitter.CopyFrom(duration(_JITTER_SECONDS))
    cluster.respect_dns_ttl = True


def resolve_what_is_asked_for(chain: FilterChain, port: int, mesh: MeshConfig) -> None:
    """Let a chain look up the name that a call asks for: HTTP's authority, or the SNI of TLS."""
    first = chain.filters[0]
    if first.name == HTTP_CONNECTION_MANAGER:
        manager = HttpConnectionManager.FromString(first.typed_config.value)
        if any(each.name == DYNAMIC_DNS for each in manager.http_filters):
            return
        router = manager.http_filters.pop()
        manager.http_filters.extend(
            (http_filter(DYNAMIC_DNS, HttpDynamicForwardProxy(dns_cache_config=dns_cache(mesh))), router)
        )
        first.typed_config.CopyFrom(packed(manager))
        return
    proxy = Filter(name=SNI_FILTER)
    proxy.typed_config.CopyFrom(packed(SniDynamicForwardProxy(dns_cache_config=dns_cache(mesh), port_value=port)))
    rest = list(chain.filters)
    chain.ClearField("filters")
    chain.filters.extend((proxy, *rest))
