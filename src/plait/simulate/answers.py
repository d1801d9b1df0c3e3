"""What the proxy itself answers, and how a request looks when it goes on: Envoy's filters and route actions."""

from __future__ import annotations

from typing import Any, Final

from envoy.config.route.v3.route_components_pb2 import RedirectAction, Route, VirtualHost
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.simulate.request import Request
from plait.simulate.routes import header_holds, share_of
from plait.simulate.text import any_holds, rewritten

_CORS: Final = "envoy.filters.http.cors"
_FAULT: Final = "envoy.filters.http.fault"
_REDIRECTS: Final = {
    RedirectAction.MOVED_PERMANENTLY: 301,
    RedirectAction.FOUND: 302,
    RedirectAction.SEE_OTHER: 303,
    RedirectAction.TEMPORARY_REDIRECT: 307,
    RedirectAction.PERMANENT_REDIRECT: 308,
}


def fault_of(manager: HttpConnectionManager, host: VirtualHost, route: Route, request: Request) -> tuple[int, float]:
    """Which status the fault filter answers with, and for which share of requests (0: none)."""
    fault = _settings(manager, host, route, _FAULT, HTTPFault)
    if fault is None or not fault.HasField("abort"):
        return 0, 0.0
    if not all(header_holds(each, request) for each in fault.headers):
        return 0, 0.0
    if fault.upstream_cluster and route.route.cluster != fault.upstream_cluster:
        return 0, 0.0
    abort = fault.abort
    # A gRPC status is told in a header, whoever asks.
    status = 200 if abort.WhichOneof("error_type") == "grpc_status" else abort.http_status
    return status, share_of(abort.percentage)


def preflight(manager: HttpConnectionManager, host: VirtualHost, route: Route, request: Request) -> bool:
    """Whether the CORS filter answers by itself (200): a preflight of an origin that it knows, or must not pass on."""
    policy = _settings(manager, host, route, _CORS, CorsPolicy)
    if policy is None or not request.header("origin"):
        return False
    if policy.HasField("filter_enabled") and share_of(policy.filter_enabled.default_value) == 0:
        return False
    if request.method != "OPTIONS" or not request.header("access-control-request-method"):
        return False
    if any_holds(policy.allow_origin_string_match, request.header("origin") or ""):
        return True
    return policy.HasField("forward_not_matching_preflights") and not policy.forward_not_matching_preflights.value


def _settings(manager: HttpConnectionManager, host: VirtualHost, route: Route, name: str, kind: Any) -> Any:
    """A filter's settings for a route: the route's own, else the virtual host's; None where the filter is not there."""
    if not any(each.name == name for each in manager.http_filters):
        return None
    for holder in (route, host):
        if name in holder.typed_per_filter_config:
            found = kind()
            return found if holder.typed_per_filter_config[name].Unpack(found) else None
    return None


def redirect_status(redirect: RedirectAction) -> int:
    """The status of a redirect."""
    return _REDIRECTS[redirect.response_code]


def location(route: Route, request: Request) -> str:
    """Where a redirect leads."""
    redirect = route.redirect
    scheme = "https" if redirect.https_redirect else redirect.scheme_redirect or request.scheme
    port = f":{redirect.port_redirect}" if redirect.port_redirect else ""
    host = redirect.host_redirect or _kept_host(request, scheme, moved=bool(port))
    return f"{scheme}://{host}{port}{_moved_path(route, request)}"


def _kept_host(request: Request, scheme: str, *, moved: bool) -> str:
    """The host as the client wrote it, without a port that would be wrong afterwards."""
    host = request.host
    at = host.rfind("]:") + 1 if host.startswith("[") else host.rfind(":")
    if at <= 0:
        return host
    told = request.header("x-forwarded-proto") or ""
    drop = moved or (scheme != told and host[at:] == {"http": ":80", "https": ":443"}.get(told))
    return host[:at] if drop else host


def _moved_path(route: Route, request: Request) -> str:
    redirect = route.redirect
    query = request.question
    if redirect.path_redirect:
        if "?" in redirect.path_redirect:
            # A query of the rule's own takes the place of the request's, and is never stripped.
            return str(redirect.path_redirect)
        return str(redirect.path_redirect) + ("" if redirect.strip_query else query)
    path = _rewritten(route.match, redirect, request.path)
    return path + ("" if redirect.strip_query else query)


def forwarded(route: Route, share: Any, request: Request) -> tuple[str, str]:
    """Host and path (with query) as the destination gets them; `share` is the chosen one of several destinations."""
    action = route.route
    # What the route says comes after what the share says.
    host = share.host_rewrite_literal if share is not None and share.host_rewrite_literal else request.host
    if action.host_rewrite_literal:
        host = action.host_rewrite_literal
    elif action.host_rewrite_header:
        host = next(iter(request.headers.get(action.host_rewrite_header.lower(), ())), "") or host
    elif action.HasField("host_rewrite_path_regex"):
        rule = action.host_rewrite_path_regex
        host = rewritten(rule.pattern.regex, rule.substitution, request.path)
    path = _rewritten(route.match, action, request.path)
    return host, path + request.question


def _rewritten(match: Any, rule: Any, path: str) -> str:
    """The matched part of a path replaced: a prefix, or the whole where the whole was matched; or by a regex."""
    if rule.HasField("regex_rewrite"):
        return rewritten(rule.regex_rewrite.pattern.regex, rule.regex_rewrite.substitution, path)
    if not rule.prefix_rewrite:
        return path
    kind = match.WhichOneof("path_specifier")
    matched = len(getattr(match, kind)) if kind in {"prefix", "path_separated_prefix"} else len(path)
    return str(rule.prefix_rewrite + path[matched:])
