"""The names that calls asked for and a proxy looked up: one cache for all that resolves them."""

from __future__ import annotations

from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2 import DnsCacheConfig

from plait.mesh.config import MeshConfig
from plait.xds.encode import duration

DNS_CACHE: Final = "dynamic_dns"
_MAX_HOSTS: Final = 1024


def dns_cache(mesh: MeshConfig) -> DnsCacheConfig:
    """The filters and the clusters of a proxy must name it alike."""
    cache = DnsCacheConfig(name=DNS_CACHE, dns_lookup_family=Cluster.V4_ONLY)
    cache.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate.total_seconds()))
    cache.max_hosts.value = _MAX_HOSTS
    return cache
