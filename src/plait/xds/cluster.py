"""Destinations and their policy -> outbound Clusters."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as EnvoyOutlier
from envoy.config.common.matcher.v3.matcher_pb2 import MatchPredicate
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from plait.api.destinationrule import (
    ConnectionPool,
    HTTPPool,
    OutlierDetection,
    RetryBudget,
    TCPKeepalive,
    TrafficPolicy,
)
from plait.api.durations import parse_duration
from plait.api.mesh_settings import TLSDefaults
from plait.api.spiffe import WorkloadIdentity
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import EffectivePolicy
from plait.mesh.destinations import Destination
from plait.mesh.peers import Servers
from plait.mesh.placing import Placing
from plait.snapshot.keys import SERVICE, ServiceHost
from plait.snapshot.protocols import Protocol
from plait.xds import names
from plait.xds.balancing import set_balancing
from plait.xds.encode import duration, packed
from plait.xds.mesh_tls import OFFER_BYTES, OFFER_EITHER, OFFER_HTTP1, OFFER_HTTP2, terms
from plait.xds.origin import origin_metadata
from plait.xds.upstream_tls import Mutual, begins_tls, set_sockets

UNLIMITED: Final = 0xFFFFFFFF
HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SERVER_ERROR_DEFAULT: Final = 5
#: Istio's choice: connections to hosts nobody knows are kept for less than Envoy's hour.
_UNKNOWN_IDLE_SECONDS: Final = 300
#: Tag of RetryBudget.budget_interval (field 3, a message): Envoy has it, the published classes lag behind.
_BUDGET_INTERVAL: Final = 0x1A


def ads() -> ConfigSource:
    """Configuration by the proxy's one aggregated stream."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def outbound_cluster(
    destination: Destination,
    service: ServiceHost,
    effective: EffectivePolicy,
    *,
    mesh: MeshConfig,
    to_address: bool,
    spread: Placing,
    credentials: bool = False,
    servers: Servers | None = None,
) -> Cluster:
    """The cluster of `destination`.

    `to_address`: the caller has already chosen the address (headless services, PASSTHROUGH); otherwise endpoints come
    by EDS. `spread`: how calls are spread over places. `credentials`: the proxy gets the Secrets that any rule names (a
    gateway). `servers`: who is behind the port; None: the proxy speaks no mutual TLS.
    """
    name = names.outbound_cluster(destination.host, destination.port, destination.subset)
    policy = effective.policy
    cluster = Cluster(name=name)
    cluster.connect_timeout.CopyFrom(
        duration(connect_timeout_of(policy.connection_pool, mesh.connect_timeout).total_seconds())
    )
    cluster.metadata.CopyFrom(
        origin_metadata(effective.origin, svc=f"{destination.host}|{service.service}|{service.namespace}")
    )
    if mesh.outbound_stat_name:
        cluster.alt_stat_name = _stat_name(mesh.outbound_stat_name, destination, service)
    if to_address:
        cluster.type = Cluster.ORIGINAL_DST
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
    else:
        cluster.type = Cluster.EDS
        cluster.eds_cluster_config.eds_config.CopyFrom(ads())
        cluster.eds_cluster_config.service_name = name
        set_balancing(cluster, policy.load_balancer, spread)
        # Without it a returning endpoint counts as healthy for up to a second before the workers know (measured).
        cluster.common_lb_config.update_merge_window.CopyFrom(duration(0))
        # Istio's choice: rather fail than send to endpoints known to be bad.
        cluster.common_lb_config.healthy_panic_threshold.value = 0
    cluster.circuit_breakers.CopyFrom(circuit_breakers(policy.connection_pool, policy.retry_budget))
    set_keepalive(cluster, policy.connection_pool, mesh.tcp_keepalive)
    options = http_options(service.protocol(destination.port), policy, upgrade=mesh.h2_upgrade, gateway=credentials)
    http2 = options is not None and options.explicit_http_config.HasField("http2_protocol_options")
    if options is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    set_sockets(
        cluster,
        policy,
        http2=http2,
        credentials=credentials or effective.selected,
        mutual=_mutual(destination, service, servers, options, mesh) if servers is not None else None,
        defaults=mesh.tls_defaults or TLSDefaults(),
    )
    if policy.outlier_detection is not None and not to_address:
        _outlier(cluster, policy.outlier_detection)
    return cluster


def _mutual(
    destination: Destination,
    service: ServiceHost,
    servers: Servers,
    options: HttpProtocolOptions | None,
    mesh: MeshConfig,
) -> Mutual:
    """Mutual TLS towards a destination: Istio's rules. What is offered must agree with the HTTP that is spoken."""
    protocol = service.protocol(destination.port)
    if protocol is None or not protocol.may_be_http:
        offer: tuple[str, ...] = OFFER_BYTES
    elif options is not None and options.HasField("use_downstream_protocol_config"):
        offer = OFFER_EITHER
    else:
        http2 = options is not None and options.explicit_http_config.HasField("http2_protocol_options")
        offer = OFFER_HTTP2 if http2 else OFFER_HTTP1
    agreed = terms(mesh)
    return Mutual(
        agreed=agreed,
        sni=names.sni(destination.host, destination.port, destination.subset),
        offer=offer,
        servers=(
            *servers.names,
            *(WorkloadIdentity(domain, *account).uri for account in servers.accounts for domain in agreed.domains),
        ),
        auto=mesh.auto_mutual_tls and not service.external and servers.mutual,
        whole=servers.whole,
    )


def _stat_name(pattern: str, destination: Destination, service: ServiceHost) -> str:
    return names.stat_name(
        pattern,
        host=destination.host,
        service=service.service if service.kind == SERVICE else "",
        namespace=service.namespace,
        port=destination.port,
        port_name=next((name for number, _, name in service.ports if number == destination.port), ""),
        subset=destination.subset,
    )


def chooses_address(policy: TrafficPolicy) -> bool:
    """Whether the policy leaves the choice of the address to the caller (`simple: PASSTHROUGH`)."""
    return policy.load_balancer is not None and policy.load_balancer.simple == "PASSTHROUGH"


def connect_timeout_of(pool: ConnectionPool | None, default: timedelta) -> timedelta:
    """How long a connection may take to come about."""
    if pool is not None and pool.tcp is not None and pool.tcp.connect_timeout:
        return parse_duration(pool.tcp.connect_timeout) or default
    return default


def circuit_breakers(pool: ConnectionPool | None, budget: RetryBudget | None = None) -> CircuitBreakers:
    """Limits, always explicit: Envoy's own default of 1024 would bite where nobody asked for a limit."""
    tcp, http = (pool.tcp, pool.http) if pool is not None else (None, None)
    limits = CircuitBreakers.Thresholds(track_remaining=True)
    limits.max_connections.value = (tcp.max_connections if tcp is not None else 0) or UNLIMITED
    limits.max_pending_requests.value = (http.http1_max_pending_requests if http is not None else 0) or UNLIMITED
    limits.max_requests.value = (http.http2_max_requests if http is not None else 0) or UNLIMITED
    limits.max_retries.value = (http.max_retries if http is not None else 0) or UNLIMITED
    if budget is not None:
        # It takes the place of maxRetries.
        limits.retry_budget.SetInParent()
        if budget.percent is not None:
            limits.retry_budget.budget_percent.value = budget.percent
        if budget.min_retry_concurrency is not None:
            limits.retry_budget.min_retry_concurrency.value = budget.min_retry_concurrency
        if budget.budget_interval and (interval := parse_duration(budget.budget_interval)) is not None:
            text = duration(interval.total_seconds()).SerializeToString()
            limits.retry_budget.MergeFromString(bytes((_BUDGET_INTERVAL, len(text))) + text)
    return CircuitBreakers(thresholds=[limits])


def set_keepalive(cluster: Cluster, pool: ConnectionPool | None, default: TCPKeepalive | None) -> None:
    """Probes of the operating system, where anybody asks for them; the mesh's fields hold where a rule leaves them."""
    own = pool.tcp.tcp_keepalive if pool is not None and pool.tcp is not None else None
    for keepalive in (default, own):
        if keepalive is None:
            continue
        target = cluster.upstream_connection_options.tcp_keepalive
        target.SetInParent()
        if keepalive.probes:
            target.keepalive_probes.value = keepalive.probes
        for text, field in ((keepalive.time, target.keepalive_time), (keepalive.interval, target.keepalive_interval)):
            value = parse_duration(text) if text else None
            if value is not None:
                field.value = int(value.total_seconds())


def _speaks_http2(protocol: Protocol, http: HTTPPool | None, *, upgrade: bool) -> bool:
    """Istio: a rule's `h2UpgradePolicy` makes HTTP/2 of whatever a port is declared as; the mesh's of HTTP/1.1."""
    if http is not None and http.use_client_protocol:
        return False
    if protocol.is_http2:
        return True
    policy = http.h2_upgrade_policy if http is not None else "DEFAULT"
    return policy == "UPGRADE" or (policy == "DEFAULT" and upgrade and protocol is Protocol.HTTP)


def http_options(
    protocol: Protocol | None, policy: TrafficPolicy, *, upgrade: bool, gateway: bool = False
) -> HttpProtocolOptions | None:
    """How HTTP is spoken to the destination; None: HTTP/1.1 with Envoy's defaults.

    Ports that are declared otherwise are asked too: a route may send requests there, where TLS begins at the proxy.
    `gateway`: clients outside choose HTTP/2 for themselves, not for a destination that they do not know.
    """
    pool = policy.connection_pool
    http = pool.http if pool is not None else None
    tcp = pool.tcp if pool is not None else None
    result = HttpProtocolOptions()
    if protocol is None:
        return None
    if _speaks_http2(protocol, http, upgrade=upgrade):
        result.explicit_http_config.http2_protocol_options.SetInParent()
        _http2(result.explicit_http_config.http2_protocol_options, http)
    elif (protocol is Protocol.AUTO and not gateway) or (http is not None and http.use_client_protocol):
        # What the client speaks is what its server speaks: nobody declared anything else.
        result.use_downstream_protocol_config.http_protocol_options.SetInParent()
        result.use_downstream_protocol_config.http2_protocol_options.SetInParent()
        _http2(result.use_downstream_protocol_config.http2_protocol_options, http)
    else:
        result.explicit_http_config.http_protocol_options.SetInParent()
    common = result.common_http_protocol_options
    idle = (http.idle_timeout if http is not None else None) or (tcp.idle_timeout if tcp is not None else None)
    if idle:
        common.idle_timeout.CopyFrom(duration((parse_duration(idle) or timedelta()).total_seconds()))
    if http is not None and http.max_requests_per_connection:
        common.max_requests_per_connection.value = http.max_requests_per_connection
    if tcp is not None and tcp.max_connection_duration:
        limit = parse_duration(tcp.max_connection_duration) or timedelta()
        common.max_connection_duration.CopyFrom(duration(limit.total_seconds()))
    if policy.outlier_detection is not None:
        _error_codes(result, policy.outlier_detection)
    _names_of_server(result, policy)
    plain = result.explicit_http_config.HasField("http_protocol_options")
    fields = ("common_http_protocol_options", "outlier_detection", "upstream_http_protocol_options")
    return None if plain and not any(result.HasField(name) for name in fields) else result


def _names_of_server(options: HttpProtocolOptions, policy: TrafficPolicy) -> None:
    """Istio: where TLS begins here and no `sni` is given, the name that the call asks for is sent and verified."""
    tls = begins_tls(policy)
    if tls is None or tls.sni:
        return
    options.upstream_http_protocol_options.auto_sni = True
    if not tls.subject_alt_names and not tls.insecure_skip_verify:
        options.upstream_http_protocol_options.auto_san_validation = True


def _error_codes(options: HttpProtocolOptions, outlier: OutlierDetection) -> None:
    """Which answers count as errors of an endpoint, where the user says so instead of 5xx."""
    matches = []
    for code in outlier.outlier_detection_http_error_codes:
        match = MatchPredicate()
        status = HeaderMatcher(name=":status", string_match=StringMatcher(exact=str(code)))
        match.http_response_headers_match.headers.append(status)
        matches.append(match)
    if len(matches) == 1:
        options.outlier_detection.error_matcher.CopyFrom(matches[0])
    elif matches:
        options.outlier_detection.error_matcher.or_match.rules.extend(matches)


def _http2(options: object, http: HTTPPool | None) -> None:
    if http is None:
        return
    if http.max_concurrent_streams:
        options.max_concurrent_streams.value = http.max_concurrent_streams  # type: ignore[attr-defined]
    keepalive = http.http2_keep_alive
    interval = parse_duration(keepalive.interval) if keepalive is not None and keepalive.interval else None
    timeout = parse_duration(keepalive.timeout) if keepalive is not None and keepalive.timeout else None
    if interval is not None:
        target = options.connection_keepalive  # type: ignore[attr-defined]
        target.interval.CopyFrom(duration(interval.total_seconds()))
        target.timeout.CopyFrom(duration((timeout or timedelta(seconds=20)).total_seconds()))


def _outlier(cluster: Cluster, outlier: OutlierDetection) -> None:
    """Consecutive errors only, as in Istio: Envoy's statistical detectors are off."""
    result = EnvoyOutlier()
    result.enforcing_success_rate.value = 0
    fives, gateway = outlier.consecutive_5xx_errors, outlier.consecutive_gateway_errors
    # The 1.0-era form.
    fives = fives if fives is not None else outlier.consecutive_errors
    result.consecutive_5xx.value = fives if fives is not None else _SERVER_ERROR_DEFAULT
    result.enforcing_consecutive_5xx.value = 0 if fives == 0 else 100
    if gateway is not None:
        result.consecutive_gateway_failure.value = gateway
        result.enforcing_consecutive_gateway_failure.value = 100 if gateway > 0 else 0
    if outlier.split_external_local_origin_errors:
        result.split_external_local_origin_errors = True
        local = outlier.consecutive_local_origin_failures
        if local is not None:
            result.consecutive_local_origin_failure.value = local
            result.enforcing_consecutive_local_origin_failure.value = 100 if local > 0 else 0
        result.enforcing_local_origin_success_rate.value = 0
    for text, field in (
        (outlier.interval, result.interval),
        (outlier.base_ejection_time, result.base_ejection_time),
    ):
        value = parse_duration(text) if text else None
        if value is not None:
            field.CopyFrom(duration(value.total_seconds()))
    base = parse_duration(outlier.base_ejection_time) if outlier.base_ejection_time else None
    if base is not None and base > timedelta(seconds=300):
        # Envoy caps ejections at 300 s unless told otherwise, and refuses a cap below the base.
        result.max_ejection_time.CopyFrom(duration(base.total_seconds()))
    if outlier.max_ejection_percent:
        result.max_ejection_percent.value = outlier.max_ejection_percent
    if outlier.min_health_percent:
        cluster.common_lb_config.healthy_panic_threshold.value = outlier.min_health_percent
    cluster.outlier_detection.CopyFrom(result)


def passthrough_cluster(name: str, mesh: MeshConfig) -> Cluster:
    """Traffic to where the caller meant it to go, within the limits that the mesh sets for all."""
    pool = mesh.baseline.connection_pool if mesh.baseline is not None else None
    cluster = Cluster(name=name, type=Cluster.ORIGINAL_DST, lb_policy=Cluster.CLUSTER_PROVIDED)
    cluster.connect_timeout.CopyFrom(duration(connect_timeout_of(pool, mesh.connect_timeout).total_seconds()))
    cluster.circuit_breakers.CopyFrom(circuit_breakers(pool))
    set_keepalive(cluster, pool, mesh.tcp_keepalive)
    options = HttpProtocolOptions()
    options.common_http_protocol_options.idle_timeout.CopyFrom(duration(_UNKNOWN_IDLE_SECONDS))
    options.use_downstream_protocol_config.http_protocol_options.SetInParent()
    options.use_downstream_protocol_config.http2_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    cluster.metadata.CopyFrom(origin_metadata(None, svc=f"{name}||"))
    return cluster


def blackhole_cluster() -> Cluster:
    """Traffic to nowhere."""
    cluster = Cluster(name=names.BLACKHOLE_CLUSTER, type=Cluster.STATIC)
    cluster.connect_timeout.CopyFrom(duration(1))
    cluster.metadata.CopyFrom(origin_metadata(None, svc=f"{names.BLACKHOLE_CLUSTER}||"))
    return cluster
