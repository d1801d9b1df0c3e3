"""Who calls, as far as it decides what can be called; and which Sidecar holds for a workload."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.snapshot.keys import Labels, SidecarEntry
from plait.snapshot.reader import Reader


class Scope(NamedTuple):
    """What sidecars of a namespace see: everything exported to it, or what a Sidecar leaves of that.

    `listener` is one egress listener of the Sidecar with a port of its own (its place in `spec.egress`); None means
    those without a port.
    """

    namespace: str
    sidecar: ObjectKey | None = None
    listener: int | None = None

    @property
    def whole(self) -> Scope:
        """All egress listeners together."""
        return self._replace(listener=None)


def sidecar_of(reader: Reader, namespace: str, labels: Labels, root_namespace: str) -> SidecarEntry | None:
    """The Sidecar that holds for a workload.

    Istio's order: one that selects it, its namespace's without a selector, the root namespace's without a selector;
    of several the oldest.
    """
    carried = set(labels)
    own = reader.sidecars(namespace)
    for entry in own:
        if entry.selector and carried.issuperset(entry.selector):
            return entry
    for entry in (*own, *(reader.sidecars(root_namespace) if namespace != root_namespace else ())):
        if not entry.selector:
            return entry
    return None
