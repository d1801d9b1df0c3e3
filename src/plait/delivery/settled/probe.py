"""The listener and route through which a proxy is asked what it runs with.

They are no part of the mesh's configuration: no view has them, no EnvoyFilter sees them, and no access log, metric or
trace is attached. The route answers out of Envoy itself with a *token*. A token is sent when a proxy has acknowledged
everything, and Envoy hands updates to each of its workers in order, so a worker that answers with the token has all
that went before. A second path leads to the few gauges of Envoy that say whether something is warming.

Every path begins with a secret that only this proxy and istiod know; without it the answer is 404.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)

from plait.xds.encode import message_bytes, packed, resource, resource_of_bytes
from plait.xds.names import PROBE as NAME
from plait.xds.resource import LDS, RDS, ViewUpdate

if TYPE_CHECKING:
    from plait.xds.resource import Resource

TOKEN, GAUGES = "token", "stats"
#: What stands for each byte of a secret and of a token in the template: in no other text, and no size before it.
_SECRET: Final = b"|"
_TOKEN: Final = b"^"
#: The bootstrap's cluster of Envoy's own admin interface.
_ADMIN: Final = "prometheus_stats"
WARMING: Final = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
CONCURRENCY: Final = "server.concurrency"
_FILTER: Final = "^(" + "|".join(name.replace(".", "[.]") for name in (*WARMING, CONCURRENCY)) + ")$"
QUERY: Final = f"?filter={_FILTER}".replace("^", "%5E").replace("|", "%7C").replace("[", "%5B").replace("]", "%5D")


def _listener(address: str, port: int) -> Resource:
    manager = HttpConnectionManager(
        stat_prefix=NAME,
        rds=Rds(route_config_name=NAME),
        http_filters=[HttpFilter(name="envoy.filters.http.router", typed_config=packed(Router()))],
    )
    manager.rds.config_source.ads.SetInParent()
    manager.rds.config_source.resource_api_version = 2  # V3
    # The end of an answer is the end of the connection, at once.
    manager.delayed_close_timeout.FromSeconds(0)
    manager.generate_request_id.value = False
    hcm = Filter(name="envoy.filters.network.http_connection_manager", typed_config=packed(manager))
    # A proxy at its limit of connections is still asked what it runs with.
    listener = Listener(name=NAME, filter_chains=[FilterChain(filters=[hcm])], ignore_global_conn_limit=True)
    # The workload's own address: a Service of this port keeps its listener, which is of all addresses.
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    # As many connections at once as there are workers reach every worker.
    listener.connection_balance_config.exact_balance.SetInParent()
    return resource(LDS, NAME, listener)


def _route(secret: str, token: str) -> Resource:
    """Every push that matters to an object makes one of these for each proxy: from a template, of the same sizes."""
    encoded, sought = secret.encode(), token.encode()
    value = _template(len(encoded), len(sought))
    value = value.replace(_SECRET * len(encoded), encoded).replace(_TOKEN * len(sought), sought)
    return resource_of_bytes(RDS, NAME, value)


@lru_cache(maxsize=64)
def _template(secret: int, token: int) -> bytes:
    """The route with a secret and a token of so many bytes."""
    routes = RouteConfiguration(name=NAME)
    host = routes.virtual_hosts.add(name=NAME, domains=["*"])
    answer = host.routes.add()
    answer.match.path = f"/{_SECRET.decode() * secret}/{TOKEN}"
    answer.direct_response.status = 200
    answer.direct_response.body.inline_string = _TOKEN.decode() * token
    gauges = host.routes.add()
    gauges.match.path = f"/{_SECRET.decode() * secret}/{GAUGES}"
    gauges.route.cluster = _ADMIN
    gauges.route.prefix_rewrite = "/stats"
    return message_bytes(routes)


def own_resources(address: str, port: int, secret: str) -> tuple[ViewUpdate, ...]:
    """What a proxy gets when it connects."""
    return ViewUpdate("", LDS, (_listener(address, port),)), *new_token(secret, "none")


def new_token(secret: str, token: str) -> tuple[ViewUpdate, ...]:
    """The route that answers with `token`."""
    return (ViewUpdate("", RDS, (_route(secret, token),)),)


def no_resources() -> tuple[ViewUpdate, ...]:
    """What a proxy gets that cannot have the listener."""
    return ViewUpdate("", LDS, (), (NAME,)), ViewUpdate("", RDS, (), (NAME,))
