"""Which EnvoyFilters hold for a class of proxies, and in which order.

Istio's order: by priority; the root namespace's before those of the workload's own; the oldest first; by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from plait.api.envoyfilter import ConfigPatch, EnvoyFilter
from plait.api.meta import ObjectKey
from plait.snapshot.contribution import sorted_labels
from plait.snapshot.envoy_filters import GATEWAY_LABEL, EnvoyFilterEntry, entry_of
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader

ISTIO_LEVEL: Final = "1.32.0"
"""The Istio whose proxies' configuration ours is like: what `match.proxy.proxyVersion` is compared with."""

_CLUSTER_ID: Final = "Kubernetes"


class Amendment(NamedTuple):
    """One EnvoyFilter that holds. `without` are the places of patches that are not for these proxies."""

    rule: ObjectKey
    changes: frozenset[tuple[str, str]]
    without: tuple[int, ...] = ()


def amendments(reader: Reader, namespace: str, labels: Labels, root_namespace: str) -> tuple[Amendment, ...]:
    """The EnvoyFilters for workloads of `namespace` with `labels`."""
    entries = list(reader.envoy_filters(root_namespace))
    if namespace != root_namespace:
        entries.extend(reader.envoy_filters(namespace))
    chosen = [entry for entry in entries if _selects(entry, namespace, labels)]
    chosen.sort(key=lambda e: (e.priority, e.namespace != root_namespace, e.created, f"{e.name}.{e.namespace}"))
    known = {"NAMESPACE": namespace, "CLUSTER_ID": _CLUSTER_ID, "ISTIO_VERSION": ISTIO_LEVEL}
    return tuple(
        Amendment(
            entry.key,
            frozenset(entry.changes),
            tuple(index for index, asked in entry.asks if any(known.get(key) != value for key, value in asked)),
        )
        for entry in chosen
    )


def holds_for(
    found: EnvoyFilter, patch: ConfigPatch, *, namespace: str, labels: Mapping[str, str], root_namespace: str
) -> bool:
    """Whether one patch is for the proxies of workloads of `namespace` with `labels`."""
    entry = entry_of(found)
    if entry.namespace not in {namespace, root_namespace} or not _selects(entry, namespace, sorted_labels(labels)):
        return False
    proxy = patch.match.proxy if patch.match is not None else None
    if proxy is None:
        return True
    known = {"NAMESPACE": namespace, "CLUSTER_ID": _CLUSTER_ID, "ISTIO_VERSION": ISTIO_LEVEL}
    if any(known.get(key) != value for key, value in proxy.metadata.items()):
        return False
    return not proxy.proxy_version or version_matches(proxy.proxy_version)


def version_matches(pattern: str) -> bool:
    """Whether a regular expression of `proxyVersion` is for our proxies."""
    try:
        return re.search(pattern, ISTIO_LEVEL) is not None
    except re.error:
        return False


def _selects(entry: EnvoyFilterEntry, namespace: str, labels: Labels) -> bool:
    if entry.targeted:
        # Istio: targetRefs stay in their namespace; those of other kinds are for waypoints.
        return entry.namespace == namespace and dict(labels).get(GATEWAY_LABEL, "") in entry.gateways
    return set(entry.selector).issubset(labels)
