"""Which AuthorizationPolicies hold for a workload: Istio's rules of selection."""

from __future__ import annotations

from plait.api.meta import ObjectKey
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader


def policies_for(reader: Reader, namespace: str, labels: Labels, root_namespace: str) -> tuple[ObjectKey, ...]:
    """The policies for the workload with these labels: those of the root namespace, then its own, the oldest first.

    Istio: a policy without a selector is for the whole namespace, one of the root namespace for the whole mesh, where
    a selector may choose workloads of any namespace. One with targets is for the workloads of these Gateways alone.
    """
    found = (
        entry for place in dict.fromkeys((root_namespace, namespace)) for entry in reader.authorization_policies(place)
    )
    return tuple(entry.key for entry in found if entry.chosen.chooses(labels, at_home=entry.namespace == namespace))
