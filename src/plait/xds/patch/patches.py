"""EnvoyFilters at work: patches on listeners, route configurations and clusters.

Each function takes a message of its own and changes it; patches come in the order in which they hold. A patch whose
place does not exist changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.api.envoyfilter import ConfigMatch, ListenerMatch, RouteConfigurationMatch
from plait.xds.encode import packed
from plait.xds.patch.lists import INSERTS, MERGES, change_list
from plait.xds.patch.matching import (
    http_filter,
    matches_chain,
    matches_cluster,
    matches_host,
    matches_listener,
    matches_route,
    matches_routes,
    network_filter,
    wanted_route,
)
from plait.xds.patch.merge import merge
from plait.xds.slots import ALLOW, AUDIT, DENY, SLOTS

MANAGER: Final = "envoy.filters.network.http_connection_manager"


def _long(*names: str) -> tuple[str, ...]:
    return tuple(f"envoy.filters.http.{name}" for name in names)


_MANAGER_TYPE: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = "envoy.filters.http.router"
_TERMINAL: Final = frozenset({MANAGER, "envoy.filters.network.tcp_proxy"})
IN_LISTENERS: Final = frozenset({"LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"})
IN_ROUTES: Final = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_BEFORE_STATS: Final = ("ext_proc", "grpc_web")
_STATS: Final = ("grpc_stats", "fault", "cors", "stateful_session", "router")
#: HTTP filters that come after those of a class, in Istio's order. Of slots the ones for CUSTOM count for AUTHN alone:
#: they are there without a policy, and what is of the class AUTHZ comes behind the tokens.
_AFTER_CLASS: Final = {
    "AUTHN": (*(slot.name for slot in SLOTS), *_long("jwt_authn", "rbac", *_BEFORE_STATS, *_STATS)),
    "AUTHZ": (AUDIT.name, DENY.name, ALLOW.name, *_long("rbac", *_BEFORE_STATS, *_STATS)),
    "STATS": _long(*_STATS),
}
#: Filters that every connection manager of Istio has, in their order. Users insert before and after them; the place is
#: known where plait needs no such filter.
_EVERYWHERE: Final = (
    "istio.metadata_exchange",
    "envoy.filters.http.grpc_stats",
    "istio.alpn",
    "envoy.filters.http.fault",
    "envoy.filters.http.cors",
    "istio.stats",
    _ROUTER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyPatch:
    """One entry of `configPatches`, its value read. `value` is None for REMOVE without one."""

    apply_to: str
    operation: str
    match: ConfigMatch
    value: Any
    filter_class: str = "UNSPECIFIED"
    #: It speaks of a filter that decides over requests.
    anchors: bool = False

    @property
    def listener(self) -> ListenerMatch | None:
        """What is said about listeners."""
        return self.match.listener

    def adds(self, name: object) -> bool:
        """Whether it makes a resource of this name."""
        return self.operation == "ADD" and getattr(self.value, "name", None) == name

    @property
    def routes(self) -> RouteConfigurationMatch | None:
        """What is said about route configurations."""
        return self.match.route_configuration


#: Istio's order of work on one resource: what is there is changed before what is new joins it; only filters are added
#: before others are merged.
_FILTERS: Final = {"LISTENER_FILTER": 1, "NETWORK_FILTER": 3, "HTTP_FILTER": 5}
_OUTER: Final = {"LISTENER": 0, "FILTER_CHAIN": 2, "ROUTE_CONFIGURATION": 7, "VIRTUAL_HOST": 8, "HTTP_ROUTE": 9}
_LAST: Final = 10


def in_order(patches: Iterable[ReadyPatch]) -> tuple[ReadyPatch, ...]:
    """Patches of one resource, given in order of precedence, in the order of their work (Istio's rule)."""
    return tuple(sorted(patches, key=_phase))


def _phase(patch: ReadyPatch) -> int:
    if patch.apply_to in _FILTERS:
        return _FILTERS[patch.apply_to] + (patch.operation in MERGES)
    if patch.apply_to == "HTTP_ROUTE":
        return _OUTER["HTTP_ROUTE"] + (patch.operation in INSERTS)
    return _LAST + 1 if patch.operation in INSERTS else _OUTER.get(patch.apply_to, 0)


def patch_cluster(cluster: Any, patches: Iterable[ReadyPatch]) -> Any | None:
    """The cluster as it is after `patches`; None: removed."""
    for patch in patches:
        if patch.apply_to != "CLUSTER" or patch.operation == "ADD" or not matches_cluster(patch.match.cluster, cluster):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.operation in MERGES:
            _merge_cluster(cluster, patch)
    return cluster


def _merge_cluster(cluster: Any, patch: ReadyPatch) -> None:
    """Istio: where endpoints are told apart, a socket belongs to those that are called through one of its name."""
    lists = patch.operation != "MERGE"
    value = patch.value
    if cluster.transport_socket_matches and value.HasField("transport_socket"):
        wanted = value.transport_socket
        for each in cluster.transport_socket_matches:
            if each.transport_socket.name == wanted.name:
                merge(each.transport_socket, wanted, replace_lists=lists)
                break
        value = _copy(value)
        value.ClearField("transport_socket")
    merge(cluster, value, replace_lists=lists)


def patch_listener(listener: Any, patches: Iterable[ReadyPatch], *, gateway: bool) -> Any | None:
    """The listener as it is after `patches`; None: removed."""
    for patch in patches:
        whole = patch.apply_to == "LISTENER"
        if patch.apply_to in IN_ROUTES:
            _each_manager(listener, partial(_inline_routes, patch=patch, gateway=gateway))
            continue
        if patch.apply_to not in IN_LISTENERS or not matches_listener(patch.listener, listener, whole=whole):
            continue
        if whole:
            if patch.operation == "REMOVE":
                return None
            if patch.operation in MERGES:
                merge(listener, patch.value, replace_lists=patch.operation != "MERGE")
        elif patch.apply_to == "LISTENER_FILTER":
            wanted = patch.listener.listener_filter if patch.listener is not None else ""
            _change_named(listener.listener_filters, patch, wanted)
        elif patch.apply_to == "FILTER_CHAIN":
            _patch_chains(listener, patch)
        else:
            _in_chains(listener, patch)
    return listener


def _change_named(
    elements: Any, patch: ReadyPatch, wanted: str, terminal: Callable[[Any], bool] = lambda _element: False
) -> None:
    if patch.operation == "REMOVE" and not wanted:
        # Istio: only a filter that is named is removed.
        return
    change_list(
        elements,
        patch.operation,
        patch.value,
        matches=lambda element: element.name == wanted if wanted else _same_type(element, patch),
        named=bool(wanted),
        terminal=terminal,
    )


def _same_type(element: Any, patch: ReadyPatch) -> bool:
    """Whether what is merged belongs into `element`: without a name the type of the configuration decides."""
    value = patch.value
    if patch.operation not in MERGES or not value.HasField("typed_config"):
        return True
    return bool(element.typed_config.type_url == value.typed_config.type_url)


def _patch_chains(listener: Any, patch: ReadyPatch) -> None:
    change_list(
        listener.filter_chains,
        patch.operation,
        patch.value,
        matches=lambda chain: matches_chain(patch.listener, listener, chain),
        named=patch.listener is not None and patch.listener.filter_chain is not None,
    )
    if listener.HasField("default_filter_chain") and matches_chain(
        patch.listener, listener, listener.default_filter_chain
    ):
        if patch.operation == "REMOVE":
            listener.ClearField("default_filter_chain")
        elif patch.operation in MERGES:
            merge(listener.default_filter_chain, patch.value, replace_lists=patch.operation != "MERGE")


def _chains(listener: Any) -> list[Any]:
    rest = [listener.default_filter_chain] if listener.HasField("default_filter_chain") else []
    return [*listener.filter_chains, *rest]


def _in_chains(listener: Any, patch: ReadyPatch) -> None:
    wanted = network_filter(patch.listener)
    for chain in _chains(listener):
        if not matches_chain(patch.listener, listener, chain):
            continue
        if patch.apply_to == "NETWORK_FILTER":
            _change_named(chain.filters, patch, wanted, lambda item: item.name in _TERMINAL)
        elif not wanted or wanted == MANAGER:
            for item in chain.filters:
                _in_manager(item, lambda manager: _patch_http_filters(manager, patch))


def _in_manager(item: Any, change: Callable[[Any], None]) -> None:
    """Change what a network filter holds, if it is an HTTP connection manager."""
    if not item.typed_config.type_url.endswith("/" + _MANAGER_TYPE):
        return
    manager = HttpConnectionManager.FromString(item.typed_config.value)
    before = HttpConnectionManager.FromString(item.typed_config.value)
    change(manager)
    if manager != before:
        item.typed_config.CopyFrom(packed(manager))


def _each_manager(listener: Any, change: Callable[[Any], None]) -> None:
    for chain in _chains(listener):
        for item in chain.filters:
            _in_manager(item, change)


def _patch_http_filters(manager: Any, patch: ReadyPatch) -> None:
    wanted = http_filter(patch.listener)
    joins = patch.operation in INSERTS and patch.operation != "INSERT_FIRST"
    if joins or (wanted and _stands_in(patch, wanted)):
        followers = _followers(manager, patch, wanted)
        if followers is not None:
            change_list(
                manager.http_filters,
                "ADD",
                patch.value if joins or patch.operation == "REPLACE" else _called(patch.value, wanted),
                matches=lambda _item: False,
                named=False,
                terminal=lambda item: item.name in followers,
            )
            return
    _change_named(manager.http_filters, patch, wanted, lambda item: item.name == _ROUTER)


def _stands_in(patch: ReadyPatch, wanted: str) -> bool:
    """Whether a patch makes a filter of one that Istio has and plait does not need, and so does not have.

    What Istio has there does nothing until it is told more, so what is merged into it is the whole of it.
    """
    if patch.operation == "REPLACE":
        return True
    stock = wanted in _EVERYWHERE and wanted.startswith("envoy.")
    return patch.operation in MERGES and stock and bool(patch.value.typed_config.type_url)


def _called(value: Any, name: str) -> Any:
    result = _copy(value)
    result.name = name
    return result


def _copy(value: Any) -> Any:
    result = type(value)()
    result.CopyFrom(value)
    return result


def _followers(manager: Any, patch: ReadyPatch, wanted: str) -> Iterable[str] | None:
    """Before which filters an insertion goes that no filter here gives its place to; None: one does."""
    if not wanted:
        return _AFTER_CLASS.get(patch.filter_class)
    if wanted not in _EVERYWHERE or any(item.name == wanted for item in manager.http_filters):
        return None
    return _EVERYWHERE[_EVERYWHERE.index(wanted) + 1 :]


def _inline_routes(manager: Any, *, patch: ReadyPatch, gateway: bool) -> None:
    if manager.HasField("route_config"):
        patch_routes(manager.route_config, (patch,), gateway=gateway)


def patch_routes(
    routes: Any, patches: Iterable[ReadyPatch], *, gateway: bool, declared: frozenset[int] = frozenset()
) -> Any:
    """The route configuration as it is after `patches`; it is never removed. `declared` are the ports of a gateway's
    servers that have it.
    """
    for patch in patches:
        if patch.apply_to not in IN_ROUTES:
            continue
        if not matches_routes(patch.routes, routes.name, gateway=gateway, declared=declared):
            continue
        if patch.apply_to == "ROUTE_CONFIGURATION":
            if patch.operation in MERGES:
                merge(routes, patch.value, replace_lists=patch.operation != "MERGE")
        elif patch.apply_to == "VIRTUAL_HOST":
            change_list(
                routes.virtual_hosts,
                patch.operation,
                patch.value,
                matches=partial(matches_host, patch.routes),
                named=patch.routes is not None and patch.routes.vhost is not None,
            )
        else:
            _patch_host_routes(routes, patch)
    return routes


def _patch_host_routes(routes: Any, patch: ReadyPatch) -> None:
    for host in routes.virtual_hosts:
        if not matches_host(patch.routes, host):
            continue
        named = wanted_route(patch.routes) is not None
        if named and patch.operation == "INSERT_FIRST" and not any(matches_route(patch.routes, r) for r in host.routes):
            # Istio: it comes first only where the route that is named is there.
            continue
        change_list(
            host.routes,
            patch.operation,
            patch.value,
            matches=lambda route: matches_route(patch.routes, route),
            named=named,
        )
