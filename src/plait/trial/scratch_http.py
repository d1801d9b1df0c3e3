"""The HTTP side of a scratch configuration: every answer says which filter chain, route and cluster it came by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation, HeaderMutationPerRoute
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.trial.scratch_access import judging
from plait.xds.encode import duration, packed
from plait.xds.http_connection import CORS, FAULT, HTTP_CONNECTION_MANAGER, ROUTER, http_filter
from plait.xds.slots import HTTP_RBAC
from plait.xds.tokens import FILTER

CHAIN: Final = "x-plait-chain"
ROUTE: Final = "x-plait-route"
CLUSTER: Final = "x-plait-cluster"
HOST: Final = "x-plait-host"
PATH: Final = "x-plait-path"

_MARKS: Final = "plait.marks"
#: Filters that answer by themselves; what others would do is not part of a trial.
_KEPT: Final = frozenset({CORS, FAULT, FILTER, HTTP_RBAC})


@dataclass(slots=True)
class Places:
    """What the numbers in answers mean, and the clusters that routes lead to."""

    chains: list[tuple[str, str]] = field(default_factory=list)
    routes: list[tuple[str, str, int]] = field(default_factory=list)
    clusters: set[str] = field(default_factory=set)

    def chain(self, listener: str, chain: str) -> int:
        """A number for a filter chain."""
        self.chains.append((listener, chain))
        return len(self.chains) - 1

    def route(self, configuration: str, host: str, number: int) -> int:
        """A number for a route."""
        self.routes.append((configuration, host, number))
        return len(self.routes) - 1


def scratch_manager(given: HttpConnectionManager, routes: RouteConfiguration, chain: int, places: Places) -> Filter:
    """A connection manager that reads requests and routes them as the given one does."""
    made = HttpConnectionManager.FromString(given.SerializeToString())
    for name in ("rds", "route_config", "scoped_routes", "tracing", "local_reply_config", "request_id_extension"):
        made.ClearField(name)
    del made.access_log[:]
    del made.http_filters[:]
    made.stat_prefix = "scratch"
    # Whoever asks closes by itself; Envoy would wait a second for it.
    made.delayed_close_timeout.CopyFrom(duration(0))
    made.route_config.CopyFrom(_routes(routes, places))
    marks = HeaderMutation()
    _mark(marks.mutations, CHAIN, str(chain))
    made.http_filters.extend(judging(each) for each in given.http_filters if each.name in _KEPT)
    # Behind them, since a filter may have the route looked for anew; answers of theirs come by here all the same.
    made.http_filters.append(http_filter(_MARKS, marks))
    made.http_filters.append(http_filter(ROUTER, Router()))
    return Filter(name=HTTP_CONNECTION_MANAGER, typed_config=packed(made))


def _mark(mutations: Any, name: str, value: str) -> None:
    option = mutations.response_mutations.add().append
    option.header.key, option.header.value = name, value
    option.append_action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def _routes(given: RouteConfiguration, places: Places) -> RouteConfiguration:
    made = RouteConfiguration.FromString(given.SerializeToString())
    made.validate_clusters.value = False
    _only_kept(made.typed_per_filter_config)
    for host in made.virtual_hosts:
        _only_kept(host.typed_per_filter_config)
        del host.rate_limits[:]
        for number, route in enumerate(host.routes):
            _route(route, places.route(given.name, host.name, number), places)
    return made


def _route(route: Route, number: int, places: Places) -> None:
    route.ClearField("metadata")
    _only_kept(route.typed_per_filter_config)
    marks = HeaderMutationPerRoute()
    _mark(marks.mutations, ROUTE, str(number))
    if route.HasField("route"):
        _mark(marks.mutations, CLUSTER, "%UPSTREAM_CLUSTER_RAW%")
        _calls_nobody(route, places)
    route.typed_per_filter_config[_MARKS].CopyFrom(packed(marks))


def _calls_nobody(route: Route, places: Places) -> None:
    action = route.route
    for name in (
        "retry_policy",
        "request_mirror_policies",
        "rate_limits",
        "internal_redirect_policy",
        "metadata_match",
    ):
        action.ClearField(name)
    places.clusters |= {action.cluster, *(share.name for share in action.weighted_clusters.clusters)} - {""}
    for share in action.weighted_clusters.clusters:
        share.typed_per_filter_config.clear()


def _only_kept(configs: Any) -> None:
    """Settings of the filters that are kept; a fault does not delay anybody here."""
    for name in [*configs]:
        fault = HTTPFault()
        if name not in _KEPT:
            del configs[name]
        elif name == FAULT and configs[name].Unpack(fault):
            fault.ClearField("delay")
            configs[name].CopyFrom(packed(fault))


def mirror(path: Path) -> Listener:
    """The end of all routes, on a socket: answers 200, with the host and the path that it got."""
    listener = Listener(name="plait mirror")
    listener.address.pipe.path = str(path)
    routes = RouteConfiguration(name="mirror")
    host = routes.virtual_hosts.add(name="mirror", domains=["*"])
    route = host.routes.add()
    route.match.prefix = "/"
    route.direct_response.status = 200
    for name, value in ((HOST, "%REQ(:AUTHORITY)%"), (PATH, "%REQ(:PATH)%")):
        option = route.response_headers_to_add.add()
        option.header.key, option.header.value = name, value
    manager = HttpConnectionManager(stat_prefix="mirror", route_config=routes)
    manager.http_filters.append(http_filter(ROUTER, Router()))
    listener.filter_chains.add().filters.append(Filter(name=HTTP_CONNECTION_MANAGER, typed_config=packed(manager)))
    return listener
