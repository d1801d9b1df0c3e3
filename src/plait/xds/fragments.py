"""Every fragment of the configuration, by kind, and the one function that makes any of them.

A fragment's key says all that it depends on besides what it reads. From the world to the wire:

    public-ports                                                                           of a namespace
    private-ports, scope-rules, -targets, -ports, port-kinds, mesh-rules, foreign-hosts, destinations, host-claims,
    listening, telling                                                                    of a scope (who calls)
    local-rules, exported-rules                                                            of a namespace
    authorization, access, asked, slots                                                   of a workload
    acting, authorizing, slot, token-slot                                                 of some policies together
    token-policies                                                                         of a namespace
    chosen-tokens                                                                          of a workload
    inbound-ports, gateway-listeners, gateway-hosts, gateway-clusters, gateway-credentials of a workload
    sidecar-credentials, rule-credentials                                                  of a view, of a rule
    virtual-host (a content, shared), rule-routes, check                                   of a rule or service
    cluster, endpoints, routes, service-routes, gateway-routes, listener-..., inbound-..., secret  resources
    amendments, ready-patches, added, patched, patch-added, patched-by, anchored    EnvoyFilters, laid over the rest
    list                                                                                   the names of a view

A list depends on structure only (which services and subsets exist), never on the content of what it names, so that a
change of an endpoint or a route does not touch it.
"""

from __future__ import annotations

from typing import Any, Final

from plait.kit.memo import Key, Tracker
from plait.mesh.config import MeshConfig
from plait.snapshot.reader import Reader
from plait.xds.authorization_fragments import AuthorizationFragments
from plait.xds.gateway_fragments import GatewayFragments
from plait.xds.inbound_fragments import InboundFragments
from plait.xds.patch.fragments import PatchFragments
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS
from plait.xds.shared_fragments import Lister, Maker, SharedFragments
from plait.xds.sidecar_fragments import SidecarFragments
from plait.xds.sidecar_listeners import SidecarListeners
from plait.xds.sidecar_routes import SidecarRoutes
from plait.xds.token_fragments import TokenFragments
from plait.xds.views import ViewKey

VIEW_TYPES: Final = (CDS, EDS, LDS, RDS, ECDS, SDS)


def list_key(view: ViewKey, type_url: str) -> Key:
    """The list of one type of one view."""
    return ("list", view, type_url)


class Fragments:
    """Makes fragments for one mesh; `compute` is what the memo calls."""

    def __init__(self, mesh: MeshConfig) -> None:
        self._domain = mesh.domain
        self._patches = PatchFragments(mesh)
        sidecar, inbound, gateway = SidecarFragments(mesh), InboundFragments(mesh), GatewayFragments(mesh)
        routes, listeners = SidecarRoutes(mesh), SidecarListeners(mesh)
        access = AuthorizationFragments(mesh)
        self._makers: dict[str, Maker] = {
            **SharedFragments(mesh).makers(),
            **sidecar.makers(),
            **routes.makers(),
            **listeners.makers(),
            **inbound.makers(),
            **access.makers(),
            **gateway.makers(),
            **TokenFragments(mesh).makers(),
            **self._patches.makers(),
            "list": self._list,
        }
        self._lists: dict[tuple[str, str], Lister] = {
            **sidecar.lists(),
            **routes.lists(),
            **listeners.lists(),
            **inbound.lists(),
            **gateway.lists(),
            **access.lists(),
        }

    def compute(self, key: Key, tracker: Tracker) -> Any:
        """The value of the fragment `key`."""
        return self._makers[str(key[0])](tracker, Reader(tracker.read, self._domain), *key[1:])

    def _list(self, tracker: Tracker, reader: Reader, view: ViewKey, type_url: str) -> tuple[tuple[str, Key], ...]:
        """What a view consists of, for one type: each name once, of several of a name the first."""
        lister = self._lists.get((view.side, type_url))
        found = lister(tracker, reader, view) if lister is not None else iter(())
        pairs = tuple(self._patches.entries(tracker, view, type_url, found))
        if len(dict(pairs)) < len(pairs):
            pairs = tuple(dict(reversed(pairs)).items())
        # The pairs themselves, which lists of other views hold too.
        return pairs
