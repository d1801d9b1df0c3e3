"""HTTP rules of a VirtualService -> the routes that one port of one class of proxies gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from plait.api.durations import parse_duration
from plait.api.meta import ObjectKey
from plait.api.virtualservice import (
    CorsPolicy,
    Destination,
    Headers,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    L4Match,
    VirtualService,
)
from plait.mesh.config import MeshConfig
from plait.mesh.delegation import http_rules
from plait.mesh.origin import Origin
from plait.mesh.rules import Source
from plait.snapshot.hosts import complete_host
from plait.snapshot.indexes import MESH, gateway_name
from plait.snapshot.reader import Reader

_PORTS: Final = {"http": 80, "https": 443}
_RETRY_ON: Final = "connect-failure,refused-stream,unavailable,cancelled"


@dataclass(frozen=True, slots=True, order=True)
class ClusterRef:
    """A destination as routes name it; it need not exist."""

    host: str
    port: int
    subset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedDestination:
    """A destination's share. `origin` is the entry of `route`."""

    cluster: ClusterRef
    weight: int
    headers: Headers | None = None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When a request is sent again. `per_try` None: each try may take as long as the whole.

    `previous_hosts`: a retry avoids endpoints tried before; `other_localities`: and after a while their locality.
    `told`: also where the receiver's proxy answers that asking again does no harm.
    """

    attempts: int
    on: str
    statuses: tuple[int, ...] = ()
    per_try: timedelta | None = None
    backoff: timedelta | None = None
    previous_hosts: bool = True
    other_localities: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A copy of a share of the requests, in per cent."""

    cluster: ClusterRef
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Send on. A `timeout` of zero means none."""

    destinations: tuple[WeightedDestination, ...]
    timeout: timedelta = timedelta()
    retries: Retries | None = None
    rewrite: HTTPRewrite | None = None
    mirrors: tuple[Mirror, ...] = ()


Action: TypeAlias = Forward | HTTPRedirect | HTTPDirectResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route: the first whose `match` holds is used; None holds always."""

    name: str
    match: HTTPMatchRequest | None
    action: Action
    origin: Origin
    headers: Headers | None = None
    fault: HTTPFaultInjection | None = None
    cors: CorsPolicy | None = None

    @property
    def catches_all(self) -> bool:
        """Whether no request gets past this route."""
        match = self.match
        if match is None:
            return True
        if (
            match.headers
            or match.without_headers
            or match.query_params
            or match.method
            or match.scheme
            or match.authority
        ):
            return False
        uri = match.uri
        return uri is None or uri.prefix == "/" or uri.regex in {".*", "*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteContext:
    """For whom routes are made: callers, the gateway names that count as theirs, and the port they call.

    `secure`: they call it with TLS, which ends here.
    """

    source: Source
    gateways: frozenset[str]
    port: int
    mesh: MeshConfig
    secure: bool = False

    @property
    def at_gateway(self) -> bool:
        """Whether it is a gateway that routes."""
        return MESH not in self.gateways


def rule_routes(reader: Reader, key: ObjectKey, rule: VirtualService, context: RouteContext) -> tuple[Route, ...]:
    """The routes of `rule` in `context`, in order, up to the first that catches everything."""
    result: list[Route] = []
    for http, origin in http_rules(reader, key, rule):
        for match in http.match or (None,):
            if not _applies(match, key.namespace, context):
                continue
            action = _action(reader, http, origin, context)
            if action is None:
                continue
            name = http.name
            if name and match is not None and match.name:
                name = f"{name}.{match.name}"
            route = Route(
                name=name,
                match=match,
                action=action,
                origin=origin,
                headers=http.headers,
                fault=http.fault,
                cors=http.cors_policy,
            )
            result.append(route)
            if route.catches_all:
                return tuple(result)
    return tuple(result)


def _applies(match: HTTPMatchRequest | None, namespace: str, context: RouteContext) -> bool:
    """Whether the conditions hold that the control plane decides: port, gateways, and who calls."""
    if match is None:
        return True
    if match.port and match.port != context.port:
        return False
    return applies_to_caller(match, namespace, context)


def applies_to_caller(match: HTTPMatchRequest | L4Match, namespace: str, context: RouteContext) -> bool:
    """Whether a match of a rule in `namespace` is about the caller.

    Istio: naming gateways makes a match of requests void of its source conditions, one of connections not; at gateways
    there is no other condition on connections.
    """
    if match.gateways:
        if not any(gateway_name(name, namespace) in context.gateways for name in match.gateways):
            return False
        if isinstance(match, HTTPMatchRequest):
            return True
    if context.at_gateway and isinstance(match, L4Match):
        return True
    if not set(context.source.labels).issuperset(match.source_labels.items()):
        return False
    return not match.source_namespace or match.source_namespace == context.source.namespace


def _action(reader: Reader, http: HTTPRoute, origin: Origin, context: RouteContext) -> Action | None:
    if http.redirect is not None:
        return _with_port(http.redirect, context)
    if http.direct_response is not None:
        return http.direct_response
    if not http.route:
        return None
    namespace = origin.object.namespace
    single = len(http.route) == 1
    destinations = tuple(
        WeightedDestination(
            cluster=destination_cluster(reader, item.destination, namespace, context.port),
            weight=item.weight or (100 if single else 0),
            headers=item.headers,
            origin=Origin(origin.object, f"{origin.path}.route[{index}]"),
        )
        for index, item in enumerate(http.route)
        if item.weight or single
    )
    # A rule may have requests to the destination find their endpoint again: then they are asked again there.
    sticky = single and reader.is_sticky(destinations[0].cluster.host, destinations[0].cluster.subset)
    return Forward(
        destinations=destinations,
        timeout=(parse_duration(http.timeout) if http.timeout else None) or timedelta(),
        retries=_retries(http.retries, context.mesh, sticky=sticky),
        rewrite=http.rewrite,
        mirrors=tuple(_mirrors(reader, http, namespace, context.port)),
    )


def _with_port(redirect: HTTPRedirect, context: RouteContext) -> HTTPRedirect:
    """Istio: the port that the scheme stands for already is not said."""
    port = redirect.port
    if redirect.derive_port == "FROM_REQUEST_PORT":
        # Routes are made for one port, so the request's is known.
        port = context.port
    if port == _PORTS.get(redirect.scheme or ("https" if context.secure else "http")):
        port = None
    return msgspec.structs.replace(redirect, port=port, derive_port="")


def destination_cluster(reader: Reader, destination: Destination, namespace: str, listener_port: int) -> ClusterRef:
    """The cluster a destination means. Without a port: the only port of the service, else the listener's.

    Istio: an ExternalName means the host that it names.
    """
    host = reader.meant(complete_host(destination.host, namespace, reader.domain))
    port = destination.port.number if destination.port is not None else 0
    if not port and destination.port is not None and destination.port.name:
        service = reader.host(host)
        named = service.ports if service is not None else ()
        port = next((number for number, _, name in named if name == destination.port.name), 0)
    if not port:
        service = reader.host(host)
        port = service.ports[0][0] if service is not None and len(service.ports) == 1 else listener_port
    return ClusterRef(host, port, destination.subset)


def _mirrors(reader: Reader, http: HTTPRoute, namespace: str, port: int) -> Iterator[Mirror]:
    if http.mirror is not None:
        percent = 100.0
        if http.mirror_percentage is not None:
            percent = http.mirror_percentage.value
        elif http.old_mirror_percent is not None:
            percent = float(http.old_mirror_percent)
        if percent > 0:
            yield Mirror(cluster=destination_cluster(reader, http.mirror, namespace, port), percent=percent)
    for item in http.mirrors:
        percent = item.percentage.value if item.percentage is not None else 100.0
        if percent > 0:
            yield Mirror(cluster=destination_cluster(reader, item.destination, namespace, port), percent=percent)


def default_retries(mesh: MeshConfig, *, sticky: bool = False) -> Retries | None:
    """What a route gets that says nothing. `sticky`: its destination is chosen by a hash.

    Istio: an application's own 503 is no reason, since it may have done what it was asked; sticky requests stay.
    """
    if mesh.retry_attempts <= 0:
        return None
    if mesh.retry_policy is not None:
        return _retries(mesh.retry_policy, mesh, sticky=sticky)
    return Retries(attempts=mesh.retry_attempts, on=_RETRY_ON, previous_hosts=not sticky, told=True)


def _retries(retries: HTTPRetry | None, mesh: MeshConfig, *, sticky: bool) -> Retries | None:
    if retries is None:
        return default_retries(mesh, sticky=sticky)
    if retries.attempts <= 0:
        return None
    conditions: list[str] = []
    statuses: list[int] = []
    for part in (part.strip() for part in retries.retry_on.split(",")):
        if part.isascii() and part.isdigit():
            statuses.append(int(part))
        elif part:
            conditions.append(part)
    told = not conditions and not statuses
    if statuses and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    given = retries.retry_ignore_previous_hosts
    return Retries(
        attempts=retries.attempts,
        on=_RETRY_ON if told else ",".join(conditions),
        statuses=tuple(statuses),
        per_try=parse_duration(retries.per_try_timeout) if retries.per_try_timeout else None,
        backoff=parse_duration(retries.backoff) if retries.backoff else None,
        previous_hosts=not sticky if given is None else given,
        other_localities=retries.retry_remote_localities is True,
        told=told,
    )


def default_routes(host: str, port: int, origin: Origin, mesh: MeshConfig) -> tuple[Route, ...]:
    """The route of a service without a rule."""
    destination = WeightedDestination(cluster=ClusterRef(host, port), weight=100, origin=origin)
    action = Forward(destinations=(destination,), retries=default_retries(mesh))
    return (Route(name="default", match=None, action=action, origin=origin),)


def referenced(routes: tuple[Route, ...]) -> frozenset[ClusterRef]:
    """The clusters that `routes` name."""
    result: set[ClusterRef] = set()
    for route in routes:
        if isinstance(route.action, Forward):
            result.update(item.cluster for item in route.action.destinations)
            result.update(mirror.cluster for mirror in route.action.mirrors)
    return frozenset(result)
