"""The HTTP connection manager, as outbound listeners, inbound chains and gateways have it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLogFilter, AndFilter, ResponseFlagFilter
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors
from envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2 import FilterConfig
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.grpc_web.v3.grpc_web_pb2 import GrpcWeb
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)

from plait.xds.cluster import ads
from plait.xds.encode import duration, packed
from plait.xds.manners import PLAIN, Manners, tell_certificate

HTTP_CONNECTION_MANAGER: Final = "envoy.filters.network.http_connection_manager"
DYNAMIC_DNS: Final = "envoy.filters.http.dynamic_forward_proxy"
CORS: Final = "envoy.filters.http.cors"
GRPC_WEB: Final = "envoy.filters.http.grpc_web"
FAULT: Final = "envoy.filters.http.fault"
ROUTER: Final = "envoy.filters.http.router"
#: Order matters: a fault is made before the request is routed; the router is always last.
_OUTBOUND_FILTERS: Final = ((FAULT, HTTPFault), (CORS, Cors), (ROUTER, Router))
_INBOUND_FILTERS: Final = ((ROUTER, Router),)

#: By this header a receiver's proxy tells a caller's that asking again does no harm.
ASK_AGAIN: Final = "x-plait-ask-again"
#: Methods that change nothing (RFC 9110, 9.2.1).
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")

Side = Literal["outbound", "inbound", "gateway"]


def http_connection_manager(
    side: Side,
    *,
    stat_prefix: str,
    route_name: str = "",
    routes: RouteConfiguration | None = None,
    manners: Manners = PLAIN,
    grpc_web: bool = False,
    access: Iterable[HttpFilter] = (),
) -> Filter:
    """The filter; its routes are either inline or come by RDS under `route_name`.

    `grpc_web`: calls of gRPC that come as browsers make them are translated. `access` decides who is let through,
    before anything else is done with a request.
    """
    manager = HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type=HttpConnectionManager.AUTO,
        # Istio: a caller's own sidecar signs answers with Envoy's name.
        server_name="" if side == "outbound" else "istio-envoy",
        # Whether a body is wanted the server says, not the proxy.
        proxy_100_continue=True,
        http_protocol_options=Http1ProtocolOptions(accept_http_10=True),
        access_log=manners.logs,
    )
    # At the edge the peer is the client; inside, x-forwarded-for tells who it was.
    manager.use_remote_address.value = side == "gateway"
    manager.generate_request_id.value = True
    # A name in full may end in a dot, as in DNS.
    manager.strip_trailing_host_dot = side != "inbound"
    manners.tidy_paths(manager)
    manager.stream_idle_timeout.CopyFrom(duration(0))
    manager.upgrade_configs.add(upgrade_type="websocket")
    if side == "inbound":
        manager.forward_client_cert_details = HttpConnectionManager.APPEND_FORWARD
        tell_certificate(manager)
        _tell_what_is_harmless(manager)
    elif side == "gateway":
        manners.at_the_edge(manager)
    if routes is not None:
        manager.route_config.CopyFrom(routes)
    else:
        manager.rds.route_config_name = route_name
        manager.rds.config_source.CopyFrom(ads())
    manager.http_filters.extend(access)
    if grpc_web:
        manager.http_filters.append(http_filter(GRPC_WEB, GrpcWeb()))
    for name, config in _INBOUND_FILTERS if side == "inbound" else _OUTBOUND_FILTERS:
        if name == ROUTER and side == "outbound" and manners.dns is not None:
            manager.http_filters.append(http_filter(DYNAMIC_DNS, FilterConfig(dns_cache_config=manners.dns)))
        manager.http_filters.append(http_filter(name, config()))
    return Filter(name=HTTP_CONNECTION_MANAGER, typed_config=packed(manager))


def _tell_what_is_harmless(manager: HttpConnectionManager) -> None:
    """Mark answers to what never reached the application, and to what only reads and was lost on the way."""
    unreached = AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=["UF", "UO"]))
    lost = AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=["UC"]))
    reads = AccessLogFilter()
    method = reads.header_filter.header
    method.name = ":method"
    method.string_match.safe_regex.regex = "|".join(_SAFE)
    both = AccessLogFilter(and_filter=AndFilter(filters=[lost, reads]))
    for condition in (unreached, both):
        mapper = manager.local_reply_config.mappers.add(filter=condition)
        mapper.headers_to_add.add().header.CopyFrom(HeaderValue(key=ASK_AGAIN, value="1"))


def http_filter(name: str, config: Any) -> HttpFilter:
    """One HTTP filter."""
    return HttpFilter(name=name, typed_config=packed(config))
