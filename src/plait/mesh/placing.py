"""Which endpoints a caller prefers: shares of localities, failover between them, and keeping calls near. Istio's rules.

Priority 0 is used as long as enough of it is healthy; Envoy then goes on to the next. Without outlier detection nothing
is ever found unhealthy, so failover asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from plait.api.destinationrule import Distribute, Failover, LocalitySetting, TrafficPolicy, ZoneAwareSetting
from plait.mesh.config import MeshConfig
from plait.mesh.endpoints import Endpoint
from plait.mesh.locality import (
    HOST_LABEL,
    NETWORK_LABEL,
    REGION_LABEL,
    SUBZONE_LABEL,
    ZONE_LABEL,
    Caller,
    Locality,
    with_place,
)
from plait.snapshot.keys import ServiceHost

#: Istio: PreferClose is the old name of PreferSameZone.
_ZONE: Final = (NETWORK_LABEL, REGION_LABEL, ZONE_LABEL)
_DISTRIBUTIONS: Final = {
    "PreferClose": _ZONE,
    "PreferSameZone": _ZONE,
    "PreferSameNode": (*_ZONE, SUBZONE_LABEL, HOST_LABEL),
}
#: Priorities that localities alone can make: 0 to 4.
_DISTANCES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Endpoints of one locality and priority; `weight` is the group's share among those of its priority."""

    locality: Locality
    weight: int
    endpoints: tuple[Endpoint, ...]
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """What holds for one destination. `fails_over`: the next priority may ever be reached.

    `zones`: within a region the proxy itself decides among zones, if there are so many endpoints (0: Envoy's default).
    """

    setting: LocalitySetting | None = None
    fails_over: bool = False
    same_node: bool = False
    zones: int | None = None

    @property
    def shares(self) -> bool:
        """Whether localities have weights that count."""
        return self.setting is not None and bool(self.setting.distribute)

    @property
    def plain(self) -> bool:
        """Whether every caller sees the same."""
        return not self.same_node and (self.setting is None or not (self.setting.distribute or self.fails_over))


def placing(policy: TrafficPolicy, service: ServiceHost, mesh: MeshConfig) -> Placing:
    """The DestinationRule's setting, else the Service's wish to stay near, else the mesh's, which is of either kind.

    Istio: locality load balancing is on unless it is switched off, and fails over where failures are detected.
    """
    detects = policy.outlier_detection is not None
    zones = policy.load_balancer.zone_aware_lb_setting if policy.load_balancer is not None else None
    if zones is not None and zones.enabled is not False:
        return _by_zone(zones, service)
    own = policy.load_balancer.locality_lb_setting if policy.load_balancer is not None else None
    near = _DISTRIBUTIONS.get(service.near, ())
    if own is None and near:
        setting = LocalitySetting(failover_priority=near)
        return Placing(setting=setting, fails_over=True, same_node=service.same_node)
    usual = mesh.zones_lb
    if own is None and zones is None and usual is not None and usual.enabled is not False:
        return _by_zone(usual, service)
    setting = own or mesh.locality_lb or LocalitySetting()
    return Placing(
        setting=None if setting.enabled is False else setting, fails_over=detects, same_node=service.same_node
    )


def _by_zone(zones: ZoneAwareSetting, service: ServiceHost) -> Placing:
    setting = LocalitySetting(failover=zones.failover, failover_priority=zones.failover_priority)
    # Istio: other regions wait, whether or not anything finds failures.
    size = zones.min_cluster_size or 0
    return Placing(setting=setting, fails_over=True, same_node=service.same_node, zones=size)


def groups(found: Iterable[Endpoint]) -> tuple[Group, ...]:
    """Endpoints by locality, as every caller sees them; `found` is sorted by it."""
    return tuple(
        Group(locality=locality, weight=sum(map(_weight, members)), endpoints=members)
        for locality, members in ((place, tuple(each)) for place, each in groupby(found, key=_place))
    )


def placed(found: Iterable[Endpoint], caller: Caller, how: Placing) -> tuple[Group, ...]:
    """Endpoints as `caller` sees them."""
    if how.same_node and caller.node:
        found = (endpoint for endpoint in found if endpoint.node == caller.node)
    result = groups(found)
    setting = how.setting
    if setting is None:
        return result
    if setting.distribute:
        return _distributed(result, caller.locality, setting.distribute)
    if not how.fails_over:
        return result
    if setting.failover_priority:
        result = tuple(part for group in result for part in _by_labels(group, caller, setting.failover_priority))
        if not setting.failover and how.zones is None:
            return _numbered(result)
    return _numbered(_by_distance(result, caller.locality, setting.failover, regions=how.zones is not None))


def _place(endpoint: Endpoint) -> Locality:
    return Locality(endpoint.region, endpoint.zone, endpoint.subzone)


def _weight(endpoint: Endpoint) -> int:
    return endpoint.weight or 1


def _distributed(found: tuple[Group, ...], locality: Locality, shares: tuple[Distribute, ...]) -> tuple[Group, ...]:
    """Shares as the first rule for the caller's locality says; places it does not name get nothing."""
    rule = next((share for share in shares if locality.within(share.from_)), None)
    if rule is None:
        return found
    left = list(found)
    result: list[Group] = []
    for pattern, percent in sorted(rule.to.items()):
        chosen = [group for group in left if group.locality.within(pattern)]
        left = [group for group in left if group not in chosen]
        total = sum(group.weight for group in chosen)
        result.extend(
            Group(
                locality=group.locality,
                weight=math.ceil(group.weight * percent / total),
                endpoints=group.endpoints,
            )
            for group in chosen
        )
    return tuple(sorted(result, key=lambda group: group.locality))


def _by_labels(group: Group, caller: Caller, wanted: tuple[str, ...]) -> Iterable[Group]:
    """Split one locality by how many of the labels, in order, an endpoint shares with the caller."""
    known = caller.known
    asked = [text.partition("=") for text in wanted]
    parts: dict[int, list[Endpoint]] = {}
    for endpoint in group.endpoints:
        own = with_place(endpoint.labels, group.locality, node=endpoint.node, network=endpoint.network)
        alike = 0
        for label, given, value in asked:
            if own.get(label, "") != (value if given else known.get(label, "")):
                break
            alike += 1
        parts.setdefault(len(asked) - alike, []).append(endpoint)
    for priority, members in sorted(parts.items()):
        yield Group(
            locality=group.locality,
            weight=sum(map(_weight, members)),
            endpoints=tuple(members),
            priority=priority,
        )


def _by_distance(
    found: tuple[Group, ...], here: Locality, failover: tuple[Failover, ...], *, regions: bool
) -> tuple[Group, ...]:
    """The nearer the earlier (`regions`: only those count); of other regions the one that a rule names first."""
    target = next((rule.to for rule in failover if rule.from_ == here.region), None)
    result = []
    for group in found:
        far = here.distance(group.locality)
        if regions and far < _DISTANCES - 2:
            far = 0
        if far == _DISTANCES - 2 and target is not None and group.locality.region != target:
            far = _DISTANCES - 1
        result.append(
            Group(
                locality=group.locality,
                weight=group.weight,
                endpoints=group.endpoints,
                priority=group.priority * _DISTANCES + far,
            )
        )
    return tuple(result)


def _numbered(found: tuple[Group, ...]) -> tuple[Group, ...]:
    """Priorities without gaps from 0 on, as Envoy wants them."""
    numbers = {priority: number for number, priority in enumerate(sorted({group.priority for group in found}))}
    renumbered = (
        Group(
            locality=group.locality,
            weight=group.weight,
            endpoints=group.endpoints,
            priority=numbers[group.priority],
        )
        for group in found
    )
    return tuple(sorted(renumbered, key=lambda group: (group.priority, group.locality)))
