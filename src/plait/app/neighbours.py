"""The mesh's objects in the API server's store, decoded, for checks of one object against the others at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.api.decode import decode
from plait.api.meta import ObjectKey
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plait.machine.api.admission import Objects
    from plait.machine.api.registry import Collection

_ISTIO: Final = "networking.istio.io"
#: What checks look at, by collection. Namespaces and settings of the mesh have no part in them.
_KINDS: Final[dict[Collection, str]] = {
    ("", "services"): "Service",
    ("discovery.k8s.io", "endpointslices"): "EndpointSlice",
    ("", "pods"): "Pod",
    (_ISTIO, "virtualservices"): "VirtualService",
    (_ISTIO, "destinationrules"): "DestinationRule",
    (_ISTIO, "gateways"): "Gateway",
}


class Neighbours:
    """A snapshot that follows one store, brought up to date when it is asked for: it costs what changed since."""

    def __init__(self) -> None:
        self._objects: Objects | None = None
        self._version = 0
        self._snapshot = Snapshot()

    def as_of_now(self, objects: Objects) -> Snapshot:
        """The world as `objects` has it."""
        known = self._objects is objects and all(self._version >= objects.floor(kind) for kind in _KINDS)
        if not known:
            self._objects, self._snapshot = objects, Snapshot()
            found = (entry.obj for collection in _KINDS for entry in objects.entries(collection))
            self._snapshot, _ = advance(self._snapshot, _decoded(found))
        elif objects.version != self._version:
            self._snapshot, _ = advance(self._snapshot, self._since(objects))
        self._version = objects.version
        return self._snapshot

    def _since(self, objects: Objects) -> Iterator[ObjectChange]:
        for collection, kind in _KINDS.items():
            for change in objects.changes(collection, self._version):
                if change.type == "DELETED":
                    yield ObjectChange(ObjectKey(kind, *change.entry.key), None)
                else:
                    yield from _decoded((change.entry.obj,))


def _decoded(objects: Iterable[dict[str, Any]]) -> Iterator[ObjectChange]:
    """Those that can be used; of one that cannot, the version before stays, as in the mesh."""
    for obj in objects:
        decoded = decode(obj)
        if decoded.key is not None and decoded.value is not None:
            yield ObjectChange(decoded.key, decoded.value)
