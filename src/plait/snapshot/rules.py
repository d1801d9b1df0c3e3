"""What decides, beside an object itself, how it is indexed: settings of the mesh and labels of namespaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from plait.api.ingress import IngressSettings
from plait.api.kubernetes import Namespace
from plait.api.mesh_settings import KEY, ConfigMap, DiscoverySelector, read_settings


class IndexRules(NamedTuple):
    """`domain` is the cluster's DNS domain.

    The exports hold for objects that say nothing of it; empty: everybody. `members` are the namespaces that belong to
    the mesh (`discoverySelectors`), None: all. `ingress` says which Ingresses are Istio's.
    `near` are the namespaces that say where traffic to their hosts stays.
    """

    domain: str = "cluster.local"
    service_export: tuple[str, ...] = ()
    virtual_service_export: tuple[str, ...] = ()
    destination_rule_export: tuple[str, ...] = ()
    members: frozenset[str] | None = None
    ingress: IngressSettings = IngressSettings()
    near: tuple[tuple[str, str], ...] = ()

    def belongs(self, namespace: str) -> bool:
        """Whether objects of a namespace (or of none) belong to the mesh."""
        return self.members is None or not namespace or namespace in self.members

    def near_of(self, namespace: str) -> str:
        """Where traffic to the hosts of a namespace stays that say nothing of it; empty: anywhere."""
        return next((near for name, near in self.near if name == namespace), "")


def index_rules(
    domain: str, root_namespace: str, settings: ConfigMap | None, namespaces: Iterable[Namespace]
) -> IndexRules:
    """The rules that follow from the mesh's settings. The root namespace always belongs to the mesh."""
    if settings is None:
        return IndexRules(domain)
    found = read_settings(settings.data.get(KEY, "")).settings
    selectors = found.discovery_selectors or ()
    return IndexRules(
        domain,
        found.default_service_export_to or (),
        found.default_virtual_service_export_to or (),
        found.default_destination_rule_export_to or (),
        _members(selectors, namespaces) | {root_namespace} if selectors else None,
        found.ingress,
    )


def _members(selectors: tuple[DiscoverySelector, ...], namespaces: Iterable[Namespace]) -> frozenset[str]:
    result: set[str] = set()
    for namespace in namespaces:
        meta = namespace.metadata
        labels = {"kubernetes.io/metadata.name": meta.name, **meta.labels}
        if any(selector.matches(labels) for selector in selectors):
            result.add(meta.name)
    return frozenset(result)
