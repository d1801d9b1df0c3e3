"""What becomes of a call, by the generated configuration alone. Pure, and without Envoy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from plait.simulate.answers import fault_of, forwarded, location, preflight, redirect_status
from plait.simulate.call import STRANGER, Call, Outcome
from plait.simulate.configuration import Configuration
from plait.simulate.filter_chains import AmbiguousError, Connection, choose
from plait.simulate.judgement import Judgement, refusal
from plait.simulate.rbac import Approach, judgements
from plait.simulate.request import Request, client_of, request_of
from plait.simulate.routes import obstacle, route_of, virtual_host
from plait.simulate.text import any_holds
from plait.simulate.tokens import judge
from plait.simulate.upstream import spoken
from plait.xds import names
from plait.xds.mesh_tls import OFFER_BYTES, offering_bytes
from plait.xds.origin import origin_of
from plait.xds.tokens import FILTER

_TLS_INSPECTOR: Final = "envoy.filters.listener.tls_inspector"
_HTTP_INSPECTOR: Final = "envoy.filters.listener.http_inspector"
_MANAGER: Final = "type.googleapis.com/" + HttpConnectionManager.DESCRIPTOR.full_name
_TCP: Final = "type.googleapis.com/" + TcpProxy.DESCRIPTOR.full_name
_SNIFFED: Final = {"http": "http/1.1", "http2": "h2c"}


def simulate(configuration: Configuration, call: Call, *, gateway: bool = False) -> Outcome:
    """Follow `call` through the listeners, routes and clusters of one proxy."""
    listener = _listener(configuration, call, gateway=gateway)
    if listener is None:
        return Outcome(error="no listener")
    met = Outcome(listener=listener.name)
    connection = _connection(listener, call)
    try:
        chain = choose(listener, connection)
    except AmbiguousError:
        return replace(met, error="multiple filter chains")
    if chain is None:
        return replace(met, error="no filter chain")
    met = replace(met, filter_chain=chain.name, origins=_with({}, "filter_chain", chain.metadata))
    error = _handshake(chain, call)
    approach = _approach(chain, connection, call)
    if error == "invalid mtls" and call.tls == "mtls":
        # Of bytes, whom no policy would let through is not let in at all.
        met = replace(met, judged=_judged(chain.filters, approach))
        error = error if met.denied is None else "access denied"
    if error is not None:
        return replace(met, error=error)
    return _through(configuration, chain, call, met, approach)


def _listener(configuration: Configuration, call: Call, *, gateway: bool) -> Listener | None:
    listeners = configuration.listeners
    if call.inbound:
        return listening_at(configuration, call.port) or listeners.get(names.VIRTUAL_INBOUND)
    if gateway:
        wanted = ((call.address, call.port), (names.ANY_ADDRESS, call.port))
        return next((each for place in wanted for each in listeners.values() if _at(each) == place), None)
    others = [each for each in listeners.values() if each.name != names.VIRTUAL_OUTBOUND]
    # Envoy hands a connection to the listener of its original destination, of its port on any address, or keeps it.
    for place in ((call.address, call.port), (names.ANY_ADDRESS, call.port)):
        for each in others:
            if _at(each) == place:
                return each
    return listeners.get(names.VIRTUAL_OUTBOUND)


def listening_at(configuration: Configuration, port: int) -> Listener | None:
    """The listener of a port of the workload for which nothing is captured: the proxy itself listens there."""
    found = (each for each in configuration.listeners.values() if _is_inbound(each) and _binds(each))
    return next((each for each in found if _at(each) == (names.ANY_ADDRESS, port)), None)


def _is_inbound(listener: Listener) -> bool:
    return bool(listener.traffic_direction == 1)


def _binds(listener: Listener) -> bool:
    return not listener.HasField("bind_to_port") or listener.bind_to_port.value


def _at(listener: Listener) -> tuple[str, int]:
    place = listener.address.socket_address
    return place.address, place.port_value


def _connection(listener: Listener, call: Call) -> Connection:
    """What the listener's own filters find out."""
    found = Connection(address=call.address, port=call.port, source=call.source)
    if call.tls != "plaintext":
        if _inspects(listener, _TLS_INSPECTOR, call.port):
            return replace(found, transport="tls", server_name=call.sni, protocols=call.alpn)
        return found
    if call.protocol in _SNIFFED and _inspects(listener, _HTTP_INSPECTOR, call.port):
        return replace(found, protocols=(_SNIFFED[call.protocol],))
    return found


def _inspects(listener: Listener, name: str, port: int) -> bool:
    return any(each.name == name and not _disabled(each.filter_disabled, port) for each in listener.listener_filters)


def _disabled(predicate: Any, port: int) -> bool:
    match predicate.WhichOneof("rule"):
        case "destination_port_range":
            return bool(predicate.destination_port_range.start <= port < predicate.destination_port_range.end)
        case "not_match":
            return not _disabled(predicate.not_match, port)
        case "or_match":
            return any(_disabled(rule, port) for rule in predicate.or_match.rules)
        case "and_match":
            return all(_disabled(rule, port) for rule in predicate.and_match.rules)
        case "any_match":
            return True
    return False


def _handshake(chain: FilterChain, call: Call) -> Any:
    """Whether the two ends speak of the same TLS."""
    socket = chain.transport_socket.typed_config
    if not socket.Is(DownstreamTlsContext.DESCRIPTOR):
        # Bytes that are TLS may pass; they are no HTTP.
        return "protocol error" if call.tls != "plaintext" and manager_of(chain) is not None else None
    if call.tls == "plaintext":
        return "invalid tls"
    context = DownstreamTlsContext()
    socket.Unpack(context)
    certificates = context.common_tls_context.tls_certificate_sds_secret_configs
    asks = context.require_client_certificate.value
    of_mesh = asks and any(each.name == call.mesh_certificate for each in certificates)
    if (call.tls == "mtls") != of_mesh:
        return "invalid mtls"
    if not of_mesh and asks and not call.certificate:
        return "invalid mtls"
    names = context.common_tls_context.combined_validation_context.default_validation_context
    wanted = [each.matcher for each in names.match_typed_subject_alt_names]
    if of_mesh and wanted and call.peer != STRANGER and not any_holds(wanted, call.peer):
        return "invalid mtls"
    return None


def _approach(chain: FilterChain, connection: Connection, call: Call) -> Approach:
    """What is known of the caller when nothing has been read."""
    identities: tuple[str, ...] | None = None
    if chain.transport_socket.typed_config.Is(DownstreamTlsContext.DESCRIPTOR):
        shown = call.tls == "mtls" or _asks(chain, call)
        identities = (call.peer,) if shown else ()
    return Approach(
        address=call.address, port=call.port, direct=call.source, remote=call.source, identities=identities,
        sni=connection.server_name, metadata=call.metadata,
    )  # fmt: skip


def _asks(chain: FilterChain, call: Call) -> bool:
    """Whether the caller of ordinary TLS has shown a certificate: one is asked for, and there is one."""
    context = DownstreamTlsContext()
    chain.transport_socket.typed_config.Unpack(context)
    return call.certificate and context.common_tls_context.WhichOneof("validation_context_type") is not None


def _judged(filters: Iterable[Any], approach: Approach) -> tuple[Judgement, ...]:
    """What is said of a call, up to the first refusal."""
    found: list[Judgement] = []
    for each in judgements(filters, approach):
        found.append(each)
        if refusal((each,)):
            break
    return tuple(found)


def manager_of(chain: FilterChain) -> HttpConnectionManager | None:
    """The HTTP connection manager of a chain, to be read only; None where it carries bytes."""
    for each in chain.filters:
        if each.typed_config.type_url == _MANAGER:
            return _manager(each.typed_config.value)
    return None


@lru_cache(maxsize=1024)
def _manager(encoded: bytes) -> HttpConnectionManager:
    return HttpConnectionManager.FromString(encoded)


def _through(configuration: Configuration, chain: FilterChain, call: Call, met: Outcome, approach: Approach) -> Outcome:
    manager = manager_of(chain)
    if manager is not None:
        if call.protocol == "tcp":
            return replace(met, error="protocol error")
        return _http(configuration, manager, call, met, approach)
    met = replace(met, judged=_judged(chain.filters, approach))
    if met.denied is not None:
        return replace(met, error="access denied")
    for each in chain.filters:
        if each.typed_config.type_url == _TCP:
            proxy = TcpProxy.FromString(each.typed_config.value)
            shares = [(share.name, share.weight) for share in proxy.weighted_clusters.clusters]
            met = replace(met, shares=_parts(shares))
            offer = OFFER_BYTES if any(other.name == offering_bytes().name for other in chain.filters) else ()
            return _to(configuration, proxy.cluster or _thrown(shares, call.dice), call, met, offer=offer)
    return replace(met, error="unknown filter")


def _routes(configuration: Configuration, manager: HttpConnectionManager) -> tuple[str, RouteConfiguration | None]:
    if manager.HasField("rds"):
        name = manager.rds.route_config_name
        return name, configuration.routes.get(name)
    return manager.route_config.name, manager.route_config


def _http(
    configuration: Configuration, manager: HttpConnectionManager, call: Call, met: Outcome, approach: Approach
) -> Outcome:
    name, routes = _routes(configuration, manager)
    request = request_of(manager, call)
    host = virtual_host(routes, request.host) if routes is not None else None
    seen = replace(approach, remote=client_of(manager, call), request=request)
    before, after = _around_tokens(manager)
    met = replace(met, route_configuration=name, judged=_judged(before, seen))
    checked, routed = judge(manager, request, call.now) if met.denied is None else None, request
    if checked is not None:
        met = replace(met, tokens=checked.judgement)
        if checked.judgement.status:
            return replace(_meant(host, request, call, met), error="token refused", status=checked.judgement.status)
        met = replace(met, headers=_passed_on(request, checked.request, call))
        request, noted = checked.request, {**call.metadata, **checked.metadata}
        seen = replace(seen, request=request, metadata=noted)
        if checked.again:
            routed, call = request, replace(call, metadata=noted)
    if met.denied is None:
        met = replace(met, judged=(*met.judged, *_judged(after, seen)))
    if met.denied is not None:
        return replace(_meant(host, routed, call, met), error="access denied", status=403)
    if host is None:
        return replace(met, error="no virtual host", status=404)
    met = _at_host(met, host)
    if host.require_tls == VirtualHost.ALL and request.header("x-forwarded-proto") != "https":
        where = f"https://{request.host}{request.target}"
        return replace(met, error="tls redirect 301", status=301, redirect=where)
    found = route_of(host, routed, call)
    if found is None:
        return replace(met, error="no route", status=404)
    number, route = found
    met = _at_route(met, number, route)
    fault = fault_of(manager, host, route, request)
    met = replace(met, fault=fault)
    if call.dice < fault[1]:
        return replace(met, status=fault[0])
    if fault[1]:
        # What is left of the dice's range decides what comes after.
        call = replace(call, dice=(call.dice - fault[1]) / (1 - fault[1]))
    if route.HasField("route") and preflight(manager, host, route, request):
        return replace(met, status=200)
    return _answer(configuration, route, request, call, met)


def _passed_on(before: Request, after: Request, call: Call) -> dict[str, tuple[str, ...]]:
    """The caller's headers without those that a filter has taken away, and with those that it has put there."""
    kept = {name.lower(): values for name, values in call.headers.items() if name.lower() in after.headers}
    return kept | {name: values for name, values in after.headers.items() if before.headers.get(name) != values}


def _around_tokens(manager: HttpConnectionManager) -> tuple[list[Any], list[Any]]:
    """The filters before and behind the one that checks tokens; without one all are behind."""
    filters = list(manager.http_filters)
    place = next((place for place, each in enumerate(filters) if each.name == FILTER), -1)
    return filters[: max(place, 0)], filters[place + 1 :]


def _at_host(met: Outcome, host: VirtualHost) -> Outcome:
    return replace(met, virtual_host=host.name, origins=_with(met.origins, "virtual_host", host.metadata))


def _at_route(met: Outcome, number: int, route: Route) -> Outcome:
    return replace(met, route=route.name, route_number=number, origins=_with(met.origins, "route", route.metadata))


def _meant(host: VirtualHost | None, request: Request, call: Call, met: Outcome) -> Outcome:
    """Where a request that is refused would have gone: Envoy looks for its route before it asks who may take it."""
    if host is None:
        return met
    found = route_of(host, request, call)
    met = _at_host(met, host)
    return met if found is None else _at_route(met, *found)


def alternatives(
    configuration: Configuration, call: Call, *, gateway: bool = False
) -> tuple[tuple[str, str, str], ...]:
    """The routes of the virtual host that a call meets: name, origin, why it was not taken (empty: it was)."""
    listener = _listener(configuration, call, gateway=gateway)
    chain = choose(listener, _connection(listener, call)) if listener is not None else None
    manager = manager_of(chain) if chain is not None else None
    if manager is None:
        return ()
    request = request_of(manager, call)
    checked = judge(manager, request, call.now)
    if checked is not None and checked.again:
        request, call = checked.request, replace(call, metadata={**call.metadata, **checked.metadata})
    _, routes = _routes(configuration, manager)
    host = virtual_host(routes, request.host) if routes is not None else None
    result: list[tuple[str, str, str]] = []
    taken = False
    for route in host.routes if host is not None else ():
        reason = obstacle(route.match, request, call)
        if reason is None and taken:
            reason = "an earlier one was taken"
        taken = taken or reason is None
        found = origin_of(route.metadata)
        result.append((route.name, str(found) if found is not None else "", reason or ""))
    return tuple(result)


def _answer(configuration: Configuration, route: Route, request: Request, call: Call, met: Outcome) -> Outcome:
    match route.WhichOneof("action"):
        case "redirect":
            where = location(route, request)
            if route.redirect.https_redirect and call.tls == "plaintext":
                met = replace(met, error="tls redirect 301")
            return replace(met, status=redirect_status(route.redirect), redirect=where)
        case "direct_response":
            return replace(met, status=route.direct_response.status)
        case "route":
            return _forward(configuration, route, request, call, met)
    return replace(met, error="no route", status=404)


def _forward(configuration: Configuration, route: Route, request: Request, call: Call, met: Outcome) -> Outcome:
    action = route.route
    weighted = {share.name: share for share in action.weighted_clusters.clusters}
    shares = [(share.name, share.weight.value) for share in action.weighted_clusters.clusters]
    if action.cluster_header:
        cluster = request.header(action.cluster_header.lower()) or ""
    else:
        cluster = action.cluster or _thrown(shares, call.dice)
    host, path = forwarded(route, weighted.get(cluster), request)
    met = replace(met, host=host, path=path, shares=_parts(shares))
    if cluster not in configuration.clusters:
        return replace(met, cluster=cluster, status=503)
    return _to(configuration, cluster, call, met)


def _parts(shares: list[tuple[str, int]]) -> tuple[tuple[str, float], ...]:
    total = sum(weight for _, weight in shares)
    return tuple((name, weight / total) for name, weight in shares) if total else ()


def _thrown(shares: list[tuple[str, int]], dice: float) -> str:
    at = dice * sum(weight for _, weight in shares)
    for name, weight in shares:
        if at < weight:
            return name
        at -= weight
    return shares[-1][0] if shares else ""


def _to(configuration: Configuration, name: str, call: Call, met: Outcome, *, offer: tuple[str, ...] = ()) -> Outcome:
    cluster = configuration.clusters.get(name)
    origins = met.origins if cluster is None else _with(met.origins, "cluster", cluster.metadata)
    if cluster is not None and cluster.type == Cluster.ORIGINAL_DST:
        place = f"{call.address}:{call.port}"
        known = spoken(cluster, None, offer=offer)
        return replace(met, cluster=name, endpoints=(place,), origins=origins, spoken=known)
    told = cluster.eds_cluster_config.service_name if cluster is not None else ""
    found = configuration.endpoints.get(told or name)
    if found is None and cluster is not None:
        found = cluster.load_assignment
    endpoints = tuple(
        place
        for group in (found.endpoints if found is not None else ())
        for each in group.lb_endpoints
        if (place := _written(each.endpoint.address))
    )
    first = next(
        (each for group in (found.endpoints if found is not None else ()) for each in group.lb_endpoints), None
    )
    how = spoken(cluster, first, offer=offer) if cluster is not None and first is not None else None
    return replace(met, cluster=name, endpoints=endpoints, origins=origins, spoken=how)


def _written(address: Address) -> str:
    """ADDRESS:PORT, or the path of a socket as Istio writes it; empty for an address inside of the proxy."""
    if address.pipe.path:
        return f"unix://{address.pipe.path}"
    place = address.socket_address
    return f"{place.address}:{place.port_value}" if place.address else ""


def _with(origins: dict[str, str], stage: str, metadata: Any) -> dict[str, str]:
    found = origin_of(metadata)
    return {**origins, stage: str(found)} if found is not None else origins
