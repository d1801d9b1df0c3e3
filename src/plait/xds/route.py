"""Routes of the mesh model -> Envoy routes, virtual hosts and route configurations.

A virtual host's content (routes) is kept apart from its head (name and domains), since the content is shared by all
namespaces and the head is not; an encoded host is the head followed by the content.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3 import route_components_pb2 as pb
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2 import (
    PreviousPrioritiesConfig,
)

from plait.api.virtualservice import HeaderOperations, Headers, HTTPDirectResponse, HTTPRedirect
from plait.mesh.origin import Origin
from plait.mesh.routes import ClusterRef, Forward, Retries, Route
from plait.xds import names
from plait.xds.cors import cors_settings
from plait.xds.encode import Part, duration, length_delimited, message_bytes, packed, part
from plait.xds.fault import LAST_STATUS, fault_settings, fraction
from plait.xds.http_connection import ASK_AGAIN, CORS, FAULT
from plait.xds.matching import regex, route_match
from plait.xds.origin import origin_metadata

_NAME_FIELD: Final = 1
_VIRTUAL_HOSTS_FIELD: Final = 2
_DOMAINS_FIELD: Final = 2
_ROUTES_FIELD: Final = 3
_PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"
_PREVIOUS_PRIORITIES: Final = "envoy.retry_priorities.previous_priorities"
#: Istio's choice: a retry turns to other localities after two tries.
_TRIES_PER_PRIORITY: Final = 2
#: Istio's way to say that only the matched part of the path is replaced.
_PREFIX: Final = "%PREFIX()%"
_HOST_HEADERS: Final = frozenset({"host", ":authority"})
#: Envoy refuses direct responses above its limit of 4 KiB; Istio's is 1 MiB.
MAX_DIRECT_RESPONSE: Final = 1024 * 1024


def cluster_name(cluster: ClusterRef) -> str:
    """The Envoy name of a destination."""
    return names.outbound_cluster(cluster.host, cluster.port, cluster.subset)


def virtual_host_content(
    routes: Iterable[Route],
    *,
    origin: Origin,
    https_only: bool = False,
    element: Callable[[Route], bytes] | None = None,
) -> bytes:
    """An encoded VirtualHost without name and domains. `element` is `route_element`, or one that remembers."""
    host = pb.VirtualHost(include_request_attempt_count=True, metadata=origin_metadata(origin))
    if https_only:
        host.require_tls = pb.VirtualHost.ALL
    # In the order of the fields' numbers, as protobuf itself would write them.
    return b"".join(map(element or route_element, routes)) + message_bytes(host)


def route_element(route: Route) -> bytes:
    """A route as an encoded field of a VirtualHost."""
    return length_delimited(_ROUTES_FIELD, message_bytes(envoy_route(route)))


@lru_cache(maxsize=8192)
def virtual_host_head(name: str, domains: tuple[str, ...]) -> bytes:
    """Name and domains of an encoded VirtualHost; its content is appended."""
    head = length_delimited(_NAME_FIELD, name.encode())
    return head + b"".join(length_delimited(_DOMAINS_FIELD, domain.encode()) for domain in domains)


def virtual_host_element(virtual_host: bytes) -> Part:
    """An encoded VirtualHost as a field of a RouteConfiguration."""
    return part(length_delimited(_VIRTUAL_HOSTS_FIELD, virtual_host))


@lru_cache(maxsize=1024)
def route_configuration_head(name: str, *, by_port: bool = False) -> Part:
    """An encoded RouteConfiguration to which `virtual_host_element`s are appended. `by_port`: their domains say which
    port is meant.
    """
    head = RouteConfiguration(name=name, ignore_port_in_host_matching=not by_port)
    # A route may name a cluster that does not exist (yet): it answers 503 instead of spoiling all the others.
    head.validate_clusters.value = False
    head.max_direct_response_body_size_bytes.value = MAX_DIRECT_RESPONSE
    # It is a word among proxies.
    head.response_headers_to_remove.append(ASK_AGAIN)
    return part(message_bytes(head))


_CATCH_ALL: Final = {
    names.BLACKHOLE_CLUSTER: names.BLOCK_ALL,
    names.DYNAMIC_DNS_CLUSTER: names.ALLOW_ANY_DYNAMIC_DNS,
}


@lru_cache(maxsize=64)
def catch_all_host(cluster: str) -> Part:
    """What hosts nobody knows get: the cluster for the unknown, or 502 where that leads nowhere."""
    registry_only = cluster == names.BLACKHOLE_CLUSTER
    name = _CATCH_ALL.get(cluster, names.ALLOW_ANY)
    host = pb.VirtualHost(name=name, domains=["*"])
    host.include_request_attempt_count = True
    route = host.routes.add(name=host.name)
    route.match.prefix = "/"
    if registry_only:
        route.direct_response.status = 502
    else:
        route.route.cluster = cluster
        set_timeout(route.route, timedelta())
    return virtual_host_element(message_bytes(host))


def empty_gateway_host(port: int) -> Part:
    """A gateway port without routes: no route matches, which is 404."""
    return virtual_host_element(message_bytes(pb.VirtualHost(name=names.blackhole_host(port), domains=["*"])))


def envoy_route(route: Route) -> pb.Route:
    """One route."""
    result = pb.Route(name=route.name, match=route_match(route.match), metadata=origin_metadata(route.origin))
    match route.action:
        case Forward():
            _forward(result, route.action)
        case HTTPRedirect():
            _redirect(result.redirect, route.action)
        case HTTPDirectResponse():
            _direct_response(result.direct_response, route.action)
    _headers(result, route.headers)
    if isinstance(route.action, Forward):
        # After the rule's own: of two that set one header the destination's holds.
        _of_only_destination(result, route.action)
    fault = fault_settings(route.fault) if route.fault is not None else None
    if fault is not None:
        result.typed_per_filter_config[FAULT].CopyFrom(packed(fault))
    if route.cors is not None:
        result.typed_per_filter_config[CORS].CopyFrom(packed(cors_settings(route.cors)))
    if route.match is not None:
        result.stat_prefix = route.match.stat_prefix
    return result


def _forward(result: pb.Route, forward: Forward) -> None:
    action = result.route
    if len(forward.destinations) == 1:
        action.cluster = cluster_name(forward.destinations[0].cluster)
    else:
        for item in forward.destinations:
            share = action.weighted_clusters.clusters.add(name=cluster_name(item.cluster))
            share.weight.value = item.weight
            _headers(share, item.headers)
    set_timeout(action, forward.timeout)
    if forward.retries is not None:
        action.retry_policy.CopyFrom(_retry_policy(forward.retries))
    rewrite = forward.rewrite
    if rewrite is not None:
        if rewrite.uri_regex_rewrite is not None:
            action.regex_rewrite.pattern.CopyFrom(regex(rewrite.uri_regex_rewrite.match))
            action.regex_rewrite.substitution = rewrite.uri_regex_rewrite.rewrite
        elif rewrite.uri:
            _rewrite_path(result, rewrite.uri)
    for mirror in forward.mirrors:
        copy = action.request_mirror_policies.add(cluster=cluster_name(mirror.cluster))
        copy.runtime_fraction.default_value.CopyFrom(fraction(mirror.percent))


def set_timeout(action: pb.RouteAction, timeout: timedelta) -> None:
    """How long a request may take; zero: any time. Istio: what a gRPC client says of it (`grpc-timeout`) holds too, up
    to this.
    """
    action.timeout.CopyFrom(duration(timeout.total_seconds()))
    # Envoy has a successor, which counts the time of a stream and not that of its answer.
    action.max_grpc_timeout.CopyFrom(duration(timeout.total_seconds()))


def _of_only_destination(result: pb.Route, forward: Forward) -> None:
    """Istio: of names for the host, `rewrite` has the first word, then the rule's headers, then the destination's."""
    named = result.route.host_rewrite_literal
    if len(forward.destinations) == 1:
        _headers(result, forward.destinations[0].headers)
    authority = (forward.rewrite.authority if forward.rewrite is not None else "") or named
    if authority:
        result.route.host_rewrite_literal = authority


def _rewrite_path(result: pb.Route, path: str) -> None:
    """Replace what was matched. A regex match has no matched part that Envoy could replace, so the whole path goes."""
    if result.match.HasField("safe_regex"):
        result.route.regex_rewrite.pattern.CopyFrom(regex(result.match.safe_regex.regex))
        result.route.regex_rewrite.substitution = path.replace("\\", "\\\\")
    else:
        result.route.prefix_rewrite = path


def _retry_policy(retries: Retries) -> pb.RetryPolicy:
    policy = pb.RetryPolicy(retry_on=retries.on, retriable_status_codes=retries.statuses)
    if retries.told:
        policy.retry_on += ",retriable-headers"
        policy.retriable_headers.add(name=ASK_AGAIN, present_match=True)
    policy.num_retries.value = retries.attempts
    policy.host_selection_retry_max_attempts = 5
    if retries.previous_hosts:
        policy.retry_host_predicate.add(name=_PREVIOUS_HOSTS, typed_config=packed(PreviousHostsPredicate()))
    if retries.other_localities:
        config = PreviousPrioritiesConfig(update_frequency=_TRIES_PER_PRIORITY)
        policy.retry_priority.name = _PREVIOUS_PRIORITIES
        policy.retry_priority.typed_config.CopyFrom(packed(config))
    if retries.per_try is not None:
        policy.per_try_timeout.CopyFrom(duration(retries.per_try.total_seconds()))
    if retries.backoff is not None:
        base = max(retries.backoff, timedelta(milliseconds=1)).total_seconds()
        policy.retry_back_off.base_interval.CopyFrom(duration(base))
    return policy


def _redirect(result: pb.RedirectAction, redirect: HTTPRedirect) -> None:
    if redirect.uri.startswith(_PREFIX):
        result.prefix_rewrite = redirect.uri.removeprefix(_PREFIX)
    elif redirect.uri:
        result.path_redirect = redirect.uri
    elif redirect.prefix_rewrite:
        result.prefix_rewrite = redirect.prefix_rewrite
    result.host_redirect = redirect.authority
    if redirect.scheme:
        result.scheme_redirect = redirect.scheme
    if redirect.port is not None:
        result.port_redirect = redirect.port
    codes = {
        302: pb.RedirectAction.FOUND,
        303: pb.RedirectAction.SEE_OTHER,
        307: pb.RedirectAction.TEMPORARY_REDIRECT,
        308: pb.RedirectAction.PERMANENT_REDIRECT,
    }
    result.response_code = codes.get(redirect.redirect_code, pb.RedirectAction.MOVED_PERMANENTLY)


def _direct_response(result: pb.DirectResponseAction, response: HTTPDirectResponse) -> None:
    result.status = min(response.status, LAST_STATUS)
    if response.body is not None and response.body.string is not None:
        result.body.inline_string = response.body.string
    elif response.body is not None and response.body.bytes is not None:
        try:
            result.body.inline_bytes = b64decode(response.body.bytes)
        except BadBase64:
            result.body.inline_bytes = b""


def _headers(target: Any, headers: Headers | None) -> None:
    """Header changes, on a route or on one share of it."""
    if headers is None:
        return
    if headers.request is not None:
        _operations(target.request_headers_to_add, target.request_headers_to_remove, headers.request)
        for name, value in (*headers.request.add.items(), *headers.request.set.items()):
            # Envoy does not let these be set like headers. Of both `set` holds.
            if name.lower() in _HOST_HEADERS:
                if not isinstance(target, pb.Route):
                    target.host_rewrite_literal = value
                elif target.HasField("route"):
                    target.route.host_rewrite_literal = value
    if headers.response is not None:
        _operations(target.response_headers_to_add, target.response_headers_to_remove, headers.response)


def _operations(to_add: Any, to_remove: Any, operations: HeaderOperations) -> None:
    actions = (
        (operations.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        (operations.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    )
    for headers, action in actions:
        for name, value in sorted(headers.items()):
            if name.lower() in _HOST_HEADERS:
                continue
            option = to_add.add(append_action=action)
            option.header.key, option.header.value = name, value
    to_remove.extend(operations.remove)
