"""How a cluster chooses an endpoint: load balancers, consistent hashing and slow start.

What of a request is hashed stands in the cluster, not in each route that leads to it, so that a change of it changes
clusters only; for connections the address of the caller counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster, LoadBalancingPolicy
from envoy.config.route.v3.route_components_pb2 import RouteAction
from envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.client_side_weighted_round_robin_pb2 import (  # noqa: E501
    ClientSideWeightedRoundRobin,
)
from envoy.extensions.load_balancing_policies.common.v3.common_pb2 import ConsistentHashingLbConfig, LocalityLbConfig
from envoy.extensions.load_balancing_policies.maglev.v3.maglev_pb2 import Maglev
from envoy.extensions.load_balancing_policies.ring_hash.v3.ring_hash_pb2 import RingHash

from plait.api.destinationrule import BackendUtilization, ConsistentHash, LoadBalancer, Warmup
from plait.api.durations import parse_duration
from plait.mesh.placing import Placing
from plait.xds.encode import duration, packed

_RING_HASH: Final = "envoy.load_balancing_policies.ring_hash"
_BY_UTILIZATION: Final = "envoy.load_balancing_policies.client_side_weighted_round_robin"
_MAGLEV: Final = "envoy.load_balancing_policies.maglev"
#: Istio's defaults.
_RING_SIZE: Final = 1024
_WARMUP_PERCENT: Final = 10.0


def set_balancing(cluster: Cluster, balancer: LoadBalancer | None, spread: Placing) -> None:
    """Write the policy into a cluster that chooses among endpoints, where it may be first among places."""
    by_locality = spread.shares
    if balancer is not None and balancer.consistent_hash is not None and hash_policies(balancer.consistent_hash):
        cluster.load_balancing_policy.CopyFrom(_hashing(balancer.consistent_hash, by_locality=by_locality))
        return
    if balancer is not None and balancer.backend_utilization is not None:
        cluster.load_balancing_policy.CopyFrom(_by_utilization(balancer.backend_utilization))
        return
    if by_locality:
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    else:
        # A proxy knows where its own kind is as soon as one rule asks for it; Envoy would then begin with all clusters.
        zones = cluster.common_lb_config.zone_aware_lb_config
        zones.routing_enabled.value = 0 if spread.zones is None else 100
        if spread.zones:
            zones.min_cluster_size.value = spread.zones
    simple = balancer.simple if balancer is not None else None
    if simple == "RANDOM":
        cluster.lb_policy = Cluster.RANDOM
        return
    cluster.lb_policy = Cluster.ROUND_ROBIN if simple == "ROUND_ROBIN" else Cluster.LEAST_REQUEST
    warmup = _warmup(balancer)
    if warmup is not None:
        config = cluster.round_robin_lb_config if simple == "ROUND_ROBIN" else cluster.least_request_lb_config
        config.slow_start_config.CopyFrom(warmup)


def hash_policies(consistent: ConsistentHash) -> list[RouteAction.HashPolicy]:
    """What is hashed; empty when nothing is named."""
    policy = RouteAction.HashPolicy()
    if consistent.http_header_name:
        policy.header.header_name = consistent.http_header_name
    elif consistent.http_cookie is not None:
        cookie = consistent.http_cookie
        policy.cookie.name, policy.cookie.path = cookie.name, cookie.path
        length = parse_duration(cookie.ttl) if cookie.ttl else None
        if length is not None:
            policy.cookie.ttl.CopyFrom(duration(length.total_seconds()))
        for attribute in cookie.attributes:
            policy.cookie.attributes.add(name=attribute.name, value=attribute.value)
    elif consistent.use_source_ip:
        policy.connection_properties.source_ip = True
    elif consistent.http_query_parameter_name:
        policy.query_parameter.name = consistent.http_query_parameter_name
    else:
        return []
    return [policy]


def _by_utilization(given: BackendUtilization) -> LoadBalancingPolicy:
    config = ClientSideWeightedRoundRobin()
    for text, target in (
        (given.weight_stabilization_period, config.blackout_period),
        (given.weight_expiration_period, config.weight_expiration_period),
        (given.weight_update_period, config.weight_update_period),
    ):
        length = parse_duration(text) if text else None
        if length is not None:
            target.CopyFrom(duration(length.total_seconds()))
    if given.error_utilization_penalty_percent is not None:
        config.error_utilization_penalty.value = given.error_utilization_penalty_percent / 100
    config.metric_names_for_computing_utilization.extend(given.metric_names_for_computing_utilization)
    result = LoadBalancingPolicy()
    choice = result.policies.add().typed_extension_config
    choice.name = _BY_UTILIZATION
    choice.typed_config.CopyFrom(packed(config))
    return result


def _hashing(consistent: ConsistentHash, *, by_locality: bool) -> LoadBalancingPolicy:
    common = ConsistentHashingLbConfig(hash_policy=hash_policies(consistent))
    weighted = LocalityLbConfig.LocalityWeightedLbConfig() if by_locality else None
    result = LoadBalancingPolicy()
    choice = result.policies.add().typed_extension_config
    if consistent.maglev is not None:
        maglev = Maglev(consistent_hashing_lb_config=common, locality_weighted_lb_config=weighted)
        if consistent.maglev.table_size:
            maglev.table_size.value = consistent.maglev.table_size
        choice.name = _MAGLEV
        choice.typed_config.CopyFrom(packed(maglev))
        return result
    ring = RingHash(consistent_hashing_lb_config=common, locality_weighted_lb_config=weighted)
    size = consistent.ring_hash.minimum_ring_size if consistent.ring_hash is not None else consistent.minimum_ring_size
    ring.minimum_ring_size.value = size or _RING_SIZE
    choice.name = _RING_HASH
    choice.typed_config.CopyFrom(packed(ring))
    return result


def _warmup(balancer: LoadBalancer | None) -> Cluster.SlowStartConfig | None:
    if balancer is None:
        return None
    warmup = balancer.warmup
    if warmup is None and balancer.warmup_duration_secs:
        warmup = Warmup(duration=balancer.warmup_duration_secs)
    window = parse_duration(warmup.duration) if warmup is not None and warmup.duration else None
    if warmup is None or not window or window < timedelta(milliseconds=1):
        return None
    result = Cluster.SlowStartConfig(slow_start_window=duration(window.total_seconds()))
    if warmup.aggression is not None:
        result.aggression.default_value = warmup.aggression
        result.aggression.runtime_key = "plait.warmup.aggression"
    result.min_weight_percent.value = warmup.minimum_percent if warmup.minimum_percent is not None else _WARMUP_PERCENT
    return result
