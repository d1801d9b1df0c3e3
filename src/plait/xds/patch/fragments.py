"""EnvoyFilters as fragments: what is patched is made as ever, and a further fragment lies over it.

Without an EnvoyFilter for a view none of these exists, and a view that one holds for is patched only in the types of
resource that it speaks of. A patched resource that comes out equal is the very same value.

    amendments        of a class of workloads: which EnvoyFilters hold
    ready-patches     of an EnvoyFilter: its patches, read; none while it is out of service
    added             names that EnvoyFilters add to a type of a view
    patched, patch-added    resources
    patched-by        which EnvoyFilters really changed a resource
    anchored          of a view: whether some speaks of a filter that decides over requests
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.api.envoyfilter import ConfigMatch, EnvoyFilter
from plait.api.meta import ObjectKey
from plait.kit.memo import Key, Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.envoy_filters import Amendment, amendments, version_matches
from plait.snapshot.reader import Reader
from plait.xds.encode import message_bytes, resource
from plait.xds.gateway import routes_name
from plait.xds.patch.anchors import anchors
from plait.xds.patch.patches import (
    IN_LISTENERS,
    IN_ROUTES,
    ReadyPatch,
    in_order,
    patch_cluster,
    patch_listener,
    patch_routes,
)
from plait.xds.patch.values import PATCHED, PatchValueError, parse_value
from plait.xds.resource import CDS, ECDS, LDS, RDS, Resource
from plait.xds.shared_fragments import Entries, Maker
from plait.xds.views import ViewKey

OUT_OF_SERVICE: Final = "out-of-service"
CONTEXTS: Final = {"out": "SIDECAR_OUTBOUND", "in": "SIDECAR_INBOUND", "gw": "GATEWAY"}
_MESSAGES: Final[dict[str, Any]] = {CDS: Cluster, LDS: Listener, RDS: RouteConfiguration}
_CHANGED: Final = {
    CDS: frozenset({"CLUSTER"}),
    LDS: IN_LISTENERS,
    RDS: IN_ROUTES,
    ECDS: frozenset({"EXTENSION_CONFIG"}),
}
_ADDED: Final = {CDS: "CLUSTER", LDS: "LISTENER", ECDS: "EXTENSION_CONFIG"}


class Held(NamedTuple):
    """One EnvoyFilter as far as it tells resources apart: `without` are patches that are for other proxies."""

    rule: ObjectKey
    without: tuple[int, ...] = ()


def out_of_service(rule: ObjectKey) -> Key:
    """Key of the source: why an EnvoyFilter is not used at the moment, or nothing."""
    return (OUT_OF_SERVICE, rule)


class PatchFragments:
    """Makers of these fragments; `entries` lays them over a view's list."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "amendments": self.amendments,
            "ready-patches": self.ready_patches,
            "added": self.added,
            "patched": self.patched,
            "patch-added": self.patch_added,
            "patched-by": self.patched_by,
            "anchored": self.anchored,
        }

    def entries(self, tracker: Tracker, view: ViewKey, type_url: str, found: Entries) -> Entries:
        """The list of a view with the EnvoyFilters that hold for it."""
        wanted = _CHANGED.get(type_url)
        held: tuple[Held, ...] = ()
        if wanted is not None:
            if type_url == LDS and view.side == "in":
                # Routes of inbound listeners are inside them.
                wanted |= IN_ROUTES
            contexts = {"ANY", CONTEXTS[view.side]}
            known: tuple[Amendment, ...] = tracker.need(("amendments", view.namespace, view.labels))
            held = tuple(
                Held(item.rule, item.without)
                for item in known
                if any(context in contexts and kind in wanted for context, kind in item.changes)
            )
        return self._over(tracker, view, type_url, held, found) if held else found

    @staticmethod
    def _over(tracker: Tracker, view: ViewKey, type_url: str, held: tuple[Held, ...], found: Entries) -> Entries:
        for name, key in found:
            # Extensions are only added: what is in a slot stays.
            yield name, key if type_url == ECDS else ("patched", held, view.side, key)
        for name in tracker.need(("added", held, view.side, type_url)):
            yield name, ("patch-added", held, view.side, type_url, name)

    def amendments(
        self, _tracker: Tracker, reader: Reader, namespace: str, labels: tuple[tuple[str, str], ...]
    ) -> tuple[Amendment, ...]:
        """The EnvoyFilters of a class of workloads."""
        return amendments(reader, namespace, labels, self.mesh.root_namespace)

    def anchored(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> bool:
        """Whether what decides over requests at the proxies of a view has to stand in listeners by Istio's names."""
        known: tuple[Amendment, ...] = tracker.need(("amendments", view.namespace, view.labels))
        return any(
            patch.anchors
            for item in known
            for patch in self._patches(tracker, Held(item.rule, item.without), view.side)
        )

    def ready_patches(self, tracker: Tracker, reader: Reader, rule: ObjectKey) -> tuple[tuple[int, ReadyPatch], ...]:
        """(place, patch) of what can be used of one EnvoyFilter."""
        found: EnvoyFilter | None = reader.object(rule)
        if found is None or tracker.read(out_of_service(rule)) is not None:
            return ()
        return tuple(_ready(found))

    def _patches(self, tracker: Tracker, held: Held, side: str) -> list[ReadyPatch]:
        contexts = {"ANY", CONTEXTS[side]}
        return [
            patch
            for place, patch in tracker.need(("ready-patches", held.rule))
            if place not in held.without and patch.match.context in contexts
        ]

    def added(
        self, tracker: Tracker, _reader: Reader, held: tuple[Held, ...], side: str, type_url: str
    ) -> tuple[str, ...]:
        """The names of resources that come in addition."""
        return tuple(dict.fromkeys(patch.value.name for patch in self._additions(tracker, held, side, type_url)))

    def _additions(self, tracker: Tracker, held: tuple[Held, ...], side: str, type_url: str) -> Iterator[ReadyPatch]:
        for item in held:
            for patch in self._patches(tracker, item, side):
                if patch.apply_to != _ADDED.get(type_url) or patch.operation != "ADD" or not patch.value.name:
                    continue
                # A sidecar has two views: what is for any proxy belongs to one of them.
                if side != "in" or patch.match.context != "ANY":
                    yield patch

    def patch_added(
        self, tracker: Tracker, _reader: Reader, held: tuple[Held, ...], side: str, type_url: str, name: str
    ) -> Resource | None:
        """One of them; of several of a name the first."""
        for patch in self._additions(tracker, held, side, type_url):
            if patch.value.name == name:
                return resource(type_url, name, patch.value)
        return None

    def patched(
        self, tracker: Tracker, _reader: Reader, held: tuple[Held, ...], side: str, inner: Key
    ) -> Resource | None:
        """A resource after all patches; None: removed by one."""
        made: Resource | None = tracker.need(inner)
        patches = in_order(patch for item in held for patch in self._patches(tracker, item, side))
        if made is None or not patches:
            return made
        return _apply(made, patches, side, _declared(tracker.need, inner, patches))

    def patched_by(
        self, tracker: Tracker, _reader: Reader, held: tuple[Held, ...], side: str, inner: Key
    ) -> tuple[ObjectKey, ...]:
        """The EnvoyFilters without which a resource would be another."""
        made: Resource | None = tracker.need(inner)
        if made is None:
            return ()
        patches = [self._patches(tracker, item, side) for item in held]
        ports = _declared(tracker.need, inner, tuple(chain(*patches)))
        whole = _apply(made, in_order(chain(*patches)), side, ports)
        result = [
            item.rule
            for place, item in enumerate(held)
            if _apply(made, in_order(chain(*patches[:place], *patches[place + 1 :])), side, ports) != whole
        ]
        if not result and whole != made:
            # Two that do the same.
            alone = zip(held, patches, strict=True)
            result = [item.rule for item, own in alone if _apply(made, own, side, ports) != made]
        return tuple(result)


def changing_places(get: Callable[[Key], Any], fragment: Key, rule: ObjectKey) -> tuple[int, ...]:
    """Which patches of `rule`, each by itself, make the resource of a `patched` or `patch-added` fragment another."""
    if fragment[0] == "patch-added":
        *_, name = fragment
        return tuple(place for place, patch in get(("ready-patches", rule)) if patch.adds(str(name)))
    if fragment[0] != "patched":
        return ()
    _, held, side, inner = fragment
    made: Resource | None = get(inner)  # type: ignore[arg-type]
    item = next((item for item in held if item.rule == rule), None)  # type: ignore[attr-defined]
    if made is None or item is None:
        return ()
    contexts = {"ANY", CONTEXTS[str(side)]}
    own = [
        (place, patch)
        for place, patch in get(("ready-patches", rule))
        if place not in item.without and patch.match.context in contexts
    ]
    ports = _declared(get, inner, tuple(patch for _, patch in own))  # type: ignore[arg-type]
    return tuple(place for place, patch in own if _apply(made, [patch], str(side), ports) != made)


def _declared(get: Callable[[Key], Any], inner: Key, patches: tuple[ReadyPatch, ...]) -> frozenset[int]:
    """The ports that the servers of a gateway's route configuration declare, if a patch asks for a port."""
    if inner[0] != "gateway-routes" or not any(patch.routes and patch.routes.port_number for patch in patches):
        return frozenset()
    _, view, port, bind, name = inner
    return frozenset(
        server.number
        for listener in get(("gateway-listeners", view))
        if (listener.port, listener.bind) == (port, bind)
        for server in listener.servers
        if routes_name(listener, server) == name
    )


def _apply(made: Resource, patches: Iterable[ReadyPatch], side: str, declared: frozenset[int]) -> Resource | None:
    element = DeltaDiscoveryResponse.FromString(made.encoded).resources[0]
    message = _MESSAGES[made.type_url].FromString(element.resource.value)
    gateway = side == "gw"
    if made.type_url == CDS:
        message = patch_cluster(message, patches)
    elif made.type_url == LDS:
        message = patch_listener(message, patches, gateway=gateway)
    else:
        message = patch_routes(message, patches, gateway=gateway, declared=declared)
    if message is None:
        return None
    if message_bytes(message) == element.resource.value:
        return made
    return resource(made.type_url, made.name, message)


def _ready(found: EnvoyFilter) -> Iterator[tuple[int, ReadyPatch]]:
    for place, given in enumerate(found.spec.config_patches):
        match = given.match or ConfigMatch()
        version = match.proxy.proxy_version if match.proxy is not None else ""
        if given.patch is None or given.apply_to not in PATCHED or (version and not version_matches(version)):
            continue
        try:
            value = parse_value(given.apply_to, given.patch.value)
        except PatchValueError:
            # Told at the door and by `patch_problems`; the other patches hold.
            continue
        ready = ReadyPatch(
            apply_to=given.apply_to,
            operation=given.patch.operation,
            match=match,
            value=value,
            filter_class=given.patch.filter_class,
            anchors=anchors(given),
        )
        yield place, ready
