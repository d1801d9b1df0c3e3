"""What a workload serves -> the listener `virtualInbound` and the clusters of the application's own ports.

Each declared port has its filter chains: for mutual TLS, and for what else is allowed to call it. An application's port
without a Service passes through, on the same terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final, NamedTuple

import msgspec
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import INBOUND
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    ListenerFilter,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector

from plait.api.destinationrule import ConnectionPool, TrafficPolicy
from plait.api.security import MTLSMode
from plait.mesh.config import MeshConfig
from plait.mesh.entry_endpoints import UNIX
from plait.mesh.inbound import InboundPort
from plait.mesh.origin import Origin
from plait.mesh.peers import WorkloadPeers
from plait.snapshot.keys import SERVICE
from plait.snapshot.protocols import Protocol
from plait.xds import names
from plait.xds.access import OPEN, Access
from plait.xds.callers import Identity
from plait.xds.cluster import (
    HTTP_OPTIONS,
    circuit_breakers,
    connect_timeout_of,
    http_options,
    passthrough_cluster,
    set_keepalive,
)
from plait.xds.encode import duration, packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.listener import HTTP_INSPECTOR, PLAIN_HTTP, TLS_INSPECTOR, sniffing_timeout, tcp_proxy
from plait.xds.manners import PLAIN, Manners
from plait.xds.mesh_tls import ALL_PROTOCOLS, HTTP_PROTOCOLS, TCP_PROTOCOLS, server_socket
from plait.xds.origin import origin_metadata
from plait.xds.route import set_timeout
from plait.xds.tls import downstream_tls

CAPTURE_PORT: Final = 15006
_RETRIES: Final = 2
ORIGINAL_DST: Final = "envoy.filters.listener.original_dst"
#: The source address of the sidecar's own calls to the application: capture exempts it.
LOCAL_ADDRESS: Final = "127.0.0.6"
#: How long a client may take to begin TLS before it is taken for one that does not. One that waits for a server which
#: speaks first waits as long; a client of mutual TLS that is taken for another on a busy machine would fail.
HANDSHAKE_PATIENCE: Final = timedelta(seconds=1)


def virtual_inbound(
    ports: tuple[InboundPort, ...],
    *,
    detection_timeout: timedelta,
    manners: Manners = PLAIN,
    peers: WorkloadPeers | None = None,
    access: Access = OPEN,
) -> Listener:
    """The listener of the capture port. `peers`: what is demanded of callers; None: the proxy has no certificate.
    `access` decides who of them is let through, also to ports that nobody declares.

    What connections are looked into is a property of the listener, so a change of it drains all of them: TLS is looked
    for on all ports but those that do without mutual TLS, HTTP on those without a declared protocol.
    """
    listener = Listener(name=names.VIRTUAL_INBOUND, traffic_direction=INBOUND)
    listener.address.socket_address.address = names.ANY_ADDRESS
    listener.address.socket_address.port_value = CAPTURE_PORT
    listener.listener_filters.append(ListenerFilter(name=ORIGINAL_DST, typed_config=packed(OriginalDst())))
    for name, config, (others, looked_into) in (
        (TLS_INSPECTOR, TlsInspector(), _with_tls(ports, peers)),
        (HTTP_INSPECTOR, HttpInspector(), (False, [port.port for port in ports if port.protocol is Protocol.AUTO])),
    ):
        if looked_into or others:
            inspector = ListenerFilter(name=name, typed_config=packed(config))
            if others and looked_into:
                inspector.filter_disabled.CopyFrom(_any_port(looked_into))
            elif looked_into:
                inspector.filter_disabled.not_match.CopyFrom(_any_port(looked_into))
            listener.listener_filters.append(inspector)
    patience = detection_timeout if peers is None else max(detection_timeout, HANDSHAKE_PATIENCE)
    listener.listener_filters_timeout.CopyFrom(duration(patience.total_seconds()))
    listener.continue_on_listener_filters_timeout = True
    loop = FilterChain(name=names.INBOUND_BLACKHOLE_CHAIN, filters=[tcp_proxy(names.BLACKHOLE_CLUSTER)])
    loop.filter_chain_match.destination_port.value = CAPTURE_PORT
    listener.filter_chains.append(loop)
    for port in ports:
        mode = peers.at(port.port).mode if peers is not None else None
        listener.filter_chains.extend(_chains(port, manners, mode, access))
    declared = {port.port for port in ports}
    for number, demanded in peers.ports if peers is not None else ():
        if number not in declared:
            listener.filter_chains.extend(_passing(demanded.mode, manners, access, port=number))
    listener.filter_chains.extend(_passing(peers.whole.mode if peers is not None else None, manners, access))
    return listener


def _with_tls(ports: tuple[InboundPort, ...], peers: WorkloadPeers | None) -> tuple[bool, list[int]]:
    """(False, the only ports where TLS is looked for), or (True, the only ports where it is not)."""
    ending = [port.port for port in ports if port.tls is not None]
    if peers is None:
        return False, ending
    numbers = sorted({*(port.port for port in ports), *(number for number, _ in peers.ports)})
    mutual = [number for number in numbers if peers.at(number).mode != "DISABLE" or number in ending]
    if peers.whole.mode == "DISABLE":
        return False, mutual
    return True, [number for number in numbers if number not in mutual]


def _any_port(ports: list[int]) -> ListenerFilterChainMatchPredicate:
    """Matches connections to any of `ports`; the end of a range is exclusive."""
    rules = []
    for port in ports:
        rule = ListenerFilterChainMatchPredicate()
        rule.destination_port_range.start, rule.destination_port_range.end = port, port + 1
        rules.append(rule)
    if len(rules) == 1:
        return rules[0]
    result = ListenerFilterChainMatchPredicate()
    result.or_match.rules.extend(rules)
    return result


class _Kind(NamedTuple):
    """One chain of a port: for which connections it is, and what it does with them."""

    http: bool
    mutual: bool = False
    transport: str = ""
    protocols: tuple[str, ...] = ()


def _kinds(protocol: Protocol, mode: MTLSMode | None) -> Iterator[_Kind]:
    """The chains of a port by what is demanded (None: no certificate to demand anything by), as in Istio.

    The chains for mutual TLS are the same in PERMISSIVE and in STRICT, so that connections outlive the change. STRICT
    has further ones for any other TLS, whose clients learn that a certificate is required.
    """
    http, auto = protocol.is_http, protocol is Protocol.AUTO
    if mode in {None, "DISABLE"}:
        if auto:
            # No transport protocol: Envoy never goes back to a chain that names none once one that does has its port,
            # and what is no HTTP would find no chain at all.
            yield _Kind(http=True, protocols=PLAIN_HTTP)
        yield _Kind(http=http)
        return
    if auto:
        yield _Kind(http=True, mutual=True, transport="tls", protocols=HTTP_PROTOCOLS)
    yield _Kind(http=http, mutual=True, transport="tls", protocols=TCP_PROTOCOLS if auto else ALL_PROTOCOLS)
    if mode == "STRICT":
        yield _Kind(http=http, mutual=True, transport="tls")
        return
    if not http:
        # TLS of the application's own. HTTP could not be read in it: Istio has no chain for that.
        yield _Kind(http=False, transport="tls")
    if auto:
        yield _Kind(http=True, transport="raw_buffer", protocols=PLAIN_HTTP)
    yield _Kind(http=http, transport="raw_buffer")


def _chains(port: InboundPort, manners: Manners, mode: MTLSMode | None, access: Access) -> Iterator[FilterChain]:
    """All filter chains of one port; they share a name and differ by match."""
    connections = TrafficPolicy(connection_pool=port.pool)
    cluster = names.inbound_cluster(port.port)
    if port.tls is not None and mode in {None, "DISABLE", "PERMISSIVE"}:
        chain = _chain(port, _Kind(http=port.protocol.is_http, transport="tls"), manners)
        chain.transport_socket.CopyFrom(downstream_tls(port.tls, manners.tls, http=port.protocol.is_http))
        proxy = tcp_proxy(cluster, policy=connections, manners=manners)
        http = port.protocol.is_http
        chain.filters.extend((_http(port, manners, access),) if http else (*access.connections, proxy))
        yield chain
    callers = access.callers(port.port)
    for kind in _kinds(port.protocol, mode):
        if port.tls is not None and not kind.mutual:
            continue
        chain = _chain(port, kind, manners, callers)
        proxy = tcp_proxy(
            cluster,
            policy=connections,
            manners=manners,
            after_handshake=kind.mutual,
            after_data=callers is not None,
        )
        chain.filters.extend((_http(port, manners, access),) if kind.http else (*access.connections, proxy))
        yield chain


def _chain(
    port: InboundPort, kind: _Kind, manners: Manners, callers: tuple[Identity, ...] | None = None
) -> FilterChain:
    chain = _matching(kind, manners, callers)
    chain.name = names.listener(port.bind or names.ANY_ADDRESS, port.port)
    if port.protocol is Protocol.AUTO and kind.http and not kind.mutual:
        chain.name += "-http"
    chain.metadata.CopyFrom(origin_metadata(port.origin))
    chain.filter_chain_match.destination_port.value = port.port
    return chain


def _matching(kind: _Kind, manners: Manners, callers: tuple[Identity, ...] | None) -> FilterChain:
    """`callers`: the only ones of a chain of bytes; those of requests are told 403 when theirs has been read."""
    chain = FilterChain()
    if kind.transport:
        chain.filter_chain_match.transport_protocol = kind.transport
    if kind.protocols:
        chain.filter_chain_match.application_protocols.extend(kind.protocols)
    if kind.mutual:
        chain.transport_socket.CopyFrom(
            server_socket(manners.mutual, http=kind.http, callers=None if kind.http else callers)
        )
    return chain


def _passing(mode: MTLSMode | None, manners: Manners, access: Access, *, port: int = 0) -> Iterator[FilterChain]:
    """The chains of ports that nobody declares, or of one of them with a mode of its own. HTTP is read as such only
    behind mutual TLS, where the caller's proxy says that it is.
    """
    cluster = names.INBOUND_PASSTHROUGH_CLUSTER
    callers = access.callers(port or None)
    for kind in _kinds(Protocol.TCP if mode in {None, "DISABLE"} else Protocol.AUTO, mode):
        if kind.http and not kind.mutual:
            continue
        chain = _matching(kind, manners, callers)
        chain.name = names.INBOUND_CATCHALL_HTTP_CHAIN if kind.http else names.INBOUND_CATCHALL_CHAIN
        if port:
            chain.filter_chain_match.destination_port.value = port
        if kind.http:
            prefix = f"inbound_{names.listener(names.ANY_ADDRESS, port)}"
            routes = _routes(cluster, VirtualHost(name=names.inbound_virtual_host(port), domains=["*"]))
            manager = http_connection_manager(
                "inbound", stat_prefix=prefix, routes=routes, manners=manners, access=access.requests
            )
            chain.filters.append(manager)
        else:
            chain.filters.extend(access.connections)
            chain.filters.append(
                tcp_proxy(cluster, manners=manners, after_handshake=kind.mutual, after_data=callers is not None)
            )
        yield chain


def _http(port: InboundPort, manners: Manners, access: Access) -> Filter:
    cluster = names.inbound_cluster(port.port)
    host = VirtualHost(name=names.inbound_virtual_host(port.service_port), domains=["*"])
    host.metadata.CopyFrom(origin_metadata(port.origin))
    routes = _routes(cluster, host, port.origin)
    prefix = f"inbound_{names.listener(names.ANY_ADDRESS, port.port)}"
    web = port.protocol is Protocol.GRPC_WEB
    return http_connection_manager(
        "inbound", stat_prefix=prefix, routes=routes, manners=manners, grpc_web=web, access=access.requests
    )


def _routes(cluster: str, host: VirtualHost, origin: Origin | None = None) -> RouteConfiguration:
    """Everything to one cluster."""
    route = host.routes.add(name="default", metadata=origin_metadata(origin))
    route.match.prefix = "/"
    route.route.cluster = cluster
    set_timeout(route.route, timedelta())
    # Istio: what was reset before any of it was sent is sent again.
    route.route.retry_policy.retry_on = "reset-before-request"
    route.route.retry_policy.num_retries.value = _RETRIES
    routes = RouteConfiguration(name=cluster, virtual_hosts=[host])
    routes.validate_clusters.value = False
    return routes


def inbound_cluster(port: InboundPort, *, mesh: MeshConfig) -> Cluster:
    """The application on `port`, called at the address the caller called: it may listen on the pod's address only."""
    cluster = Cluster(
        name=names.inbound_cluster(port.port), type=Cluster.ORIGINAL_DST, lb_policy=Cluster.CLUSTER_PROVIDED
    )
    timeout = connect_timeout_of(port.pool, mesh.connect_timeout)
    cluster.connect_timeout.CopyFrom(duration(timeout.total_seconds()))
    cluster.circuit_breakers.CopyFrom(circuit_breakers(port.pool))
    set_keepalive(cluster, port.pool, mesh.tcp_keepalive)
    service = port.origin.object
    also = {"also": ",".join(port.also)} if port.also else {}
    svc = f"{port.host}|{service.name}|{service.namespace}"
    cluster.metadata.CopyFrom(origin_metadata(port.origin, svc=svc, **also))
    if mesh.inbound_stat_name:
        cluster.alt_stat_name = names.stat_name(
            mesh.inbound_stat_name, host=port.host, service=service.name if service.kind == SERVICE else "",
            namespace=service.namespace, port=port.service_port, port_name=port.name, target=port.port,
        )  # fmt: skip
    _to_endpoint(cluster, port.endpoint or (f"127.0.0.1:{port.port}" if mesh.inbound_to_localhost else ""))
    options = http_options(port.protocol, TrafficPolicy(connection_pool=_as_declared(port.pool)), upgrade=False)
    if options is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    return cluster


def _as_declared(pool: ConnectionPool | None) -> ConnectionPool | None:
    """Istio: the application is spoken to as its port says, `h2UpgradePolicy` is for callers."""
    if pool is None or pool.http is None:
        return pool
    http = msgspec.structs.replace(pool.http, h2_upgrade_policy="DO_NOT_UPGRADE")
    return msgspec.structs.replace(pool, http=http)


def _to_endpoint(cluster: Cluster, endpoint: str) -> None:
    """Send to where a Sidecar says; `0.0.0.0:PORT` is another port of the address that was called."""
    if endpoint.startswith(UNIX):
        address = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address
        address.pipe.path = endpoint.removeprefix(UNIX)
    elif endpoint and not endpoint.startswith((names.ANY_ADDRESS, "[::]")):
        host, _, number = endpoint.rpartition(":")
        address = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address
        address.socket_address.address = host.strip("[]") or "127.0.0.1"
        address.socket_address.port_value = int(number)
    else:
        if endpoint:
            cluster.original_dst_lb_config.upstream_port_override.value = int(endpoint.rpartition(":")[2])
        _from_local(cluster)
        return
    cluster.type, cluster.lb_policy = Cluster.STATIC, Cluster.ROUND_ROBIN
    cluster.load_assignment.cluster_name = cluster.name


def bound_name(port: InboundPort) -> str:
    """The name of the listener of a port that the proxy itself listens on."""
    return names.listener(port.bind or names.ANY_ADDRESS, port.port)


def bound_listener(
    port: InboundPort,
    *,
    detection_timeout: timedelta,
    manners: Manners = PLAIN,
    mode: MTLSMode | None = None,
    access: Access = OPEN,
) -> Listener:
    """A port of a Sidecar with captureMode NONE, what is demanded of its callers, and who of them is let through."""
    listener = Listener(name=bound_name(port), traffic_direction=INBOUND)
    listener.address.socket_address.address = port.bind or names.ANY_ADDRESS
    listener.address.socket_address.port_value = port.port
    for chain in _chains(port, manners, mode, access):
        chain.filter_chain_match.ClearField("destination_port")
        listener.filter_chains.append(chain)
    mutual = mode not in {None, "DISABLE"}
    if port.tls is not None or mutual:
        listener.listener_filters.append(ListenerFilter(name=TLS_INSPECTOR, typed_config=packed(TlsInspector())))
        sniffing_timeout(listener, max(detection_timeout, HANDSHAKE_PATIENCE) if mutual else detection_timeout)
    if port.protocol is Protocol.AUTO:
        listener.listener_filters.append(ListenerFilter(name=HTTP_INSPECTOR, typed_config=packed(HttpInspector())))
        sniffing_timeout(listener, max(detection_timeout, HANDSHAKE_PATIENCE) if mutual else detection_timeout)
    return listener


def inbound_passthrough(mesh: MeshConfig) -> Cluster:
    """Ports that no Service declares."""
    cluster = passthrough_cluster(names.INBOUND_PASSTHROUGH_CLUSTER, mesh)
    _from_local(cluster)
    return cluster


def _from_local(cluster: Cluster) -> None:
    cluster.upstream_bind_config.source_address.address = LOCAL_ADDRESS
    cluster.upstream_bind_config.source_address.port_value = 0
