"""The objects in the API server's store as a World, for judging one object against the others at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plait.analyze import kinds
from plait.analyze.world import PLAIT, Item, World
from plait.api.meta import ObjectKey

if TYPE_CHECKING:
    from plait.analyze.kinds import Kind
    from plait.machine.api.admission import Objects
    from plait.machine.api.registry import Collection

_NETWORKING: Final = "networking.istio.io"
_SECURITY: Final = "security.istio.io"
#: What checks at the door look at, by collection.
_KINDS: Final[dict[Collection, Kind]] = {
    ("", "namespaces"): kinds.NAMESPACE,
    ("", "services"): kinds.SERVICE,
    ("", "pods"): kinds.POD,
    ("", "configmaps"): kinds.CONFIG_MAP,
    ("", "secrets"): kinds.SECRET,
    ("discovery.k8s.io", "endpointslices"): kinds.ENDPOINT_SLICE,
    ("networking.k8s.io", "ingressclasses"): kinds.INGRESS_CLASS,
    (_NETWORKING, "virtualservices"): kinds.VIRTUAL_SERVICE,
    (_NETWORKING, "destinationrules"): kinds.DESTINATION_RULE,
    (_NETWORKING, "gateways"): kinds.GATEWAY,
    (_NETWORKING, "serviceentries"): kinds.SERVICE_ENTRY,
    (_NETWORKING, "workloadentries"): kinds.WORKLOAD_ENTRY,
    (_NETWORKING, "sidecars"): kinds.SIDECAR,
    (_NETWORKING, "envoyfilters"): kinds.ENVOY_FILTER,
    (_SECURITY, "authorizationpolicies"): kinds.AUTHORIZATION_POLICY,
    (_SECURITY, "peerauthentications"): kinds.PEER_AUTHENTICATION,
    (_SECURITY, "requestauthentications"): kinds.REQUEST_AUTHENTICATION,
    ("telemetry.istio.io", "telemetries"): kinds.TELEMETRY,
    ("gateway.networking.k8s.io", "gateways"): kinds.KUBERNETES_GATEWAY,
}


class Neighbours:
    """A World that follows one store, brought up to date when it is asked for: it costs what changed since."""

    def __init__(self) -> None:
        self._objects: Objects | None = None
        self._version = 0
        self._world = World(surroundings=PLAIT)

    def as_of_now(self, objects: Objects) -> World:
        """The world as `objects` has it; of an object that the mesh cannot use it reads the version before."""
        known = self._objects is objects and all(self._version >= objects.floor(kind) for kind in _KINDS)
        if not known:
            self._objects = objects
            items = (Item(entry.obj) for collection in _KINDS for entry in objects.entries(collection))
            self._world = World(items, PLAIT)
        elif objects.version != self._version:
            self._follow(objects)
        self._version = objects.version
        return self._world

    def _follow(self, objects: Objects) -> None:
        for collection, kind in _KINDS.items():
            for change in objects.changes(collection, self._version):
                if change.type == "DELETED":
                    self._world.remove(kind, ObjectKey(kind[1], *change.entry.key))
                else:
                    self._world.put(Item(change.entry.obj))
