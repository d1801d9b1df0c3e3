"""networking.istio.io DestinationRule, in full: subsets of a host and the policy towards it."""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.meta import Metadata
from plait.api.virtualservice import PortSelector

TLSMode = Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]


class TCPKeepalive(msgspec.Struct, frozen=True):
    """Keep-alive probes of the operating system."""

    probes: int = 0
    time: str | None = None
    interval: str | None = None


class TCPPool(msgspec.Struct, frozen=True, rename="camel"):
    """Limits that hold for every connection; 0 or unset means no limit."""

    max_connections: int = 0
    connect_timeout: str | None = None
    tcp_keepalive: TCPKeepalive | None = None
    max_connection_duration: str | None = None
    idle_timeout: str | None = None


class HTTP2KeepAlive(msgspec.Struct, frozen=True):
    """PING frames towards the destination."""

    interval: str | None = None
    timeout: str | None = None


class HTTPPool(msgspec.Struct, frozen=True, rename="camel"):
    """Limits of HTTP; 0 or unset means no limit."""

    http1_max_pending_requests: int = msgspec.field(default=0, name="http1MaxPendingRequests")
    http2_max_requests: int = msgspec.field(default=0, name="http2MaxRequests")
    max_requests_per_connection: int = 0
    max_retries: int = 0
    idle_timeout: str | None = None
    h2_upgrade_policy: str = msgspec.field(default="DEFAULT", name="h2UpgradePolicy")
    use_client_protocol: bool = False
    max_concurrent_streams: int = 0
    http2_keep_alive: HTTP2KeepAlive | None = msgspec.field(default=None, name="http2KeepAlive")


class ConnectionPool(msgspec.Struct, frozen=True):
    """Limits on connections and requests."""

    tcp: TCPPool | None = None
    http: HTTPPool | None = None


class OutlierDetection(msgspec.Struct, frozen=True, rename="camel"):
    """When an endpoint that fails is left out for a while."""

    consecutive_5xx_errors: int | None = msgspec.field(default=None, name="consecutive5xxErrors")
    consecutive_gateway_errors: int | None = None
    consecutive_errors: int | None = None
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: int | None = None
    interval: str | None = None
    base_ejection_time: str | None = None
    max_ejection_percent: int = 0
    min_health_percent: int = 0
    outlier_detection_http_error_codes: tuple[int, ...] = ()


class CookieAttribute(msgspec.Struct, frozen=True):
    """`SameSite=Strict` and the like, of a cookie that is made."""

    name: str = ""
    value: str = ""


class HTTPCookie(msgspec.Struct, frozen=True):
    """A cookie to hash; with a ttl it is made when absent."""

    name: str = ""
    path: str = ""
    ttl: str | None = None
    attributes: tuple[CookieAttribute, ...] = ()


class RingHash(msgspec.Struct, frozen=True, rename="camel"):
    """Ring hashing."""

    minimum_ring_size: int | None = None


class Maglev(msgspec.Struct, frozen=True, rename="camel"):
    """Maglev hashing."""

    table_size: int | None = None


class ConsistentHash(msgspec.Struct, frozen=True, rename="camel"):
    """What of a request picks the endpoint."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: int | None = None


class Failover(msgspec.Struct, frozen=True, rename="camel"):
    """From a region to another."""

    from_: str = msgspec.field(default="", name="from")
    to: str = ""


class Distribute(msgspec.Struct, frozen=True):
    """Shares of the traffic of one locality."""

    from_: str = msgspec.field(default="", name="from")
    to: dict[str, int] = {}


class LocalitySetting(msgspec.Struct, frozen=True, rename="camel"):
    """Locality load balancing."""

    enabled: bool | None = None
    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class ZoneAwareSetting(msgspec.Struct, frozen=True, rename="camel"):
    """Zones within a region share calls as the proxy sees fit; other regions are for failures."""

    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: int | None = None


class Warmup(msgspec.Struct, frozen=True, rename="camel"):
    """Slow start of new endpoints."""

    duration: str | None = None
    minimum_percent: float | None = None
    aggression: float | None = None


class BackendUtilization(msgspec.Struct, frozen=True, rename="camel"):
    """Shares by the load that endpoints report with their answers (ORCA); unset: Envoy's defaults."""

    weight_stabilization_period: str | None = None
    weight_expiration_period: str | None = None
    weight_update_period: str | None = None
    error_utilization_penalty_percent: int | None = None
    metric_names_for_computing_utilization: tuple[str, ...] = ()


class LoadBalancer(msgspec.Struct, frozen=True, rename="camel"):
    """How an endpoint is chosen; LEAST_REQUEST without a setting."""

    simple: Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalitySetting | None = None
    zone_aware_lb_setting: ZoneAwareSetting | None = None
    backend_utilization: BackendUtilization | None = None
    warmup: Warmup | None = None
    warmup_duration_secs: str | None = None


class ClientTLS(msgspec.Struct, frozen=True, rename="camel"):
    """TLS towards the destination."""

    mode: TLSMode = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None
    ca_crl: str = ""


class PortPolicy(msgspec.Struct, frozen=True, rename="camel"):
    """The policy of one port: replaces the whole policy of its level, nothing is inherited."""

    port: PortSelector | None = None
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class RetryBudget(msgspec.Struct, frozen=True, rename="camel"):
    """Retries as a share of the requests under way."""

    percent: float | None = None
    min_retry_concurrency: int | None = None
    budget_interval: str | None = None


class Tunnel(msgspec.Struct, frozen=True, rename="camel"):
    """TCP through a proxy: CONNECT or POST to `target_host`."""

    protocol: str = ""
    target_host: str = ""
    target_port: int = 0


class ProxyProtocol(msgspec.Struct, frozen=True):
    """The PROXY header that the destination gets, V1 or V2."""

    version: str = "V1"


class TrafficPolicy(msgspec.Struct, frozen=True, rename="camel"):
    """Policy towards a destination."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    port_level_settings: tuple[PortPolicy, ...] = ()
    retry_budget: RetryBudget | None = None
    proxy_protocol: ProxyProtocol | None = None
    tunnel: Tunnel | None = None


class Subset(msgspec.Struct, frozen=True, rename="camel"):
    """The endpoints of the host whose pods carry `labels`."""

    name: str = ""
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class WorkloadSelector(msgspec.Struct, frozen=True, rename="camel"):
    """The client workloads a rule holds for."""

    match_labels: dict[str, str] = {}


class DestinationRuleSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Policy towards `host`, which may have a wildcard."""

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadSelector | None = None


class DestinationRule(msgspec.Struct, frozen=True):
    """networking.istio.io DestinationRule, any version."""

    metadata: Metadata
    spec: DestinationRuleSpec = DestinationRuleSpec()
