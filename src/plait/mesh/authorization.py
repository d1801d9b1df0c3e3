"""Which AuthorizationPolicies hold for a workload: Istio's rules of selection."""

from __future__ import annotations

from typing import Final

from plait.api.meta import ObjectKey
from plait.snapshot.authorization import AuthorizationEntry
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader

GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""The label of workloads that serve a Gateway of the Gateway API: the Gateway's name."""


def policies_for(reader: Reader, namespace: str, labels: Labels, root_namespace: str) -> tuple[ObjectKey, ...]:
    """The policies for the workload with these labels: those of the root namespace, then its own, the oldest first.

    Istio: a policy without a selector is for the whole namespace, one of the root namespace for the whole mesh, where
    a selector may choose workloads of any namespace. One with targets is for the workloads of these Gateways alone.
    """
    gateway = next((value for name, value in labels if name == GATEWAY_NAME), None)
    found = (
        entry for place in dict.fromkeys((root_namespace, namespace)) for entry in reader.authorization_policies(place)
    )
    return tuple(entry.key for entry in found if _is_for(entry, namespace, set(labels), gateway))


def _is_for(entry: AuthorizationEntry, namespace: str, labels: set[tuple[str, str]], gateway: str | None) -> bool:
    if entry.targeted:
        return gateway is not None and entry.namespace == namespace and gateway in entry.gateways
    return labels.issuperset(entry.selector)
