"""All analyzers, by name and by what they judge."""

from __future__ import annotations

from typing import Final

from plait.analyze import (
    authorization,
    clusters,
    conditions,
    delegates,
    deployments,
    deprecations,
    destination_rules,
    destinations,
    envoy_filters,
    gateway_api,
    gateways,
    ingresses,
    injection,
    istio_annotations,
    mesh_hosts,
    mutual_tls,
    names,
    protocols,
    replaced,
    schema,
    service_entries,
    services,
    shadowing,
    webhooks,
    weights,
    workload_rules,
)
from plait.analyze.analyzer import Analyzer
from plait.analyze.kinds import Kind

_ROOMS: Final = (
    authorization,
    clusters,
    conditions,
    delegates,
    deployments,
    deprecations,
    destination_rules,
    destinations,
    envoy_filters,
    gateway_api,
    gateways,
    ingresses,
    injection,
    istio_annotations,
    mesh_hosts,
    mutual_tls,
    names,
    protocols,
    replaced,
    schema,
    service_entries,
    services,
    shadowing,
    webhooks,
    weights,
    workload_rules,
)

ANALYZERS: Final[tuple[Analyzer, ...]] = tuple(analyzer for room in _ROOMS for analyzer in room.ANALYZERS)
BY_NAME: Final[dict[str, Analyzer]] = {analyzer.name: analyzer for analyzer in ANALYZERS}


def analyzers_for(kind: Kind) -> tuple[Analyzer, ...]:
    """The usual analyzers that judge objects of a kind."""
    return tuple(analyzer for analyzer in ANALYZERS if analyzer.usual and kind in analyzer.subjects)
