"""What EnvoyFilters contribute to the snapshot: whom each is for and which kinds of configuration it changes.

The changes themselves are read from the object by those fragments only that are changed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from plait.api.envoyfilter import ConfigPatch, EnvoyFilter
from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.snapshot import keys
from plait.snapshot.contribution import Contribution, sorted_labels

GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
"""The label of proxies that serve a Gateway of the Kubernetes Gateway API (Istio: what targetRefs select by)."""


class EnvoyFilterEntry(NamedTuple):
    """Member of `envoy_filters`, in Istio's order within a namespace: priority, age, name.

    `gateways` are the Gateways of `targetRefs` (`targeted`: there are any). `changes` are pairs of context and applyTo.
    `asks` are the metadata that single patches, by their place, want of a proxy.
    """

    priority: int
    created: str
    name: str
    namespace: str
    selector: keys.Labels
    targeted: bool
    gateways: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    asks: tuple[tuple[int, keys.Labels], ...]

    @property
    def key(self) -> ObjectKey:
        """The EnvoyFilter."""
        return ObjectKey("EnvoyFilter", self.namespace, self.name)


def envoy_filters(namespace: str) -> Key:
    """Set of EnvoyFilterEntry of a namespace."""
    return ("envoy-filters", namespace)


def envoy_filter_labels(namespace: str) -> Key:
    """Set of (label, name): labels of workloads that EnvoyFilters of a namespace select by."""
    return ("envoy-filter-labels", namespace)


def envoy_filter(found: EnvoyFilter, result: Contribution) -> None:
    """Its place among the EnvoyFilters of its namespace."""
    entry = entry_of(found)
    result.members.add((envoy_filters(entry.namespace), entry))
    labels = [label for label, _ in entry.selector] + ([GATEWAY_LABEL] if entry.gateways else [])
    result.members.update((envoy_filter_labels(entry.namespace), (label, entry.name)) for label in labels)


def entry_of(found: EnvoyFilter) -> EnvoyFilterEntry:
    """Whom it is for, and what it changes."""
    meta, spec = found.metadata, found.spec
    selector = sorted_labels(spec.workload_selector.labels) if spec.workload_selector is not None else ()
    return EnvoyFilterEntry(
        spec.priority,
        meta.creation_timestamp,
        meta.name,
        meta.namespace,
        selector,
        bool(spec.target_refs),
        tuple(sorted(target.name for target in spec.target_refs if target.kind == "Gateway")),
        tuple(sorted({(_context(patch), patch.apply_to) for patch in spec.config_patches})),
        tuple(
            (index, sorted_labels(patch.match.proxy.metadata))
            for index, patch in enumerate(spec.config_patches)
            if patch.match is not None and patch.match.proxy is not None and patch.match.proxy.metadata
        ),
    )


def _context(patch: ConfigPatch) -> str:
    return patch.match.context if patch.match is not None else "ANY"
