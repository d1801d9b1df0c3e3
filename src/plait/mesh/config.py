"""Mesh-wide settings the core acts on: the part of Istio's MeshConfig that has an effect, with Istio's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal

from plait.api.destinationrule import LocalitySetting, TCPKeepalive, TrafficPolicy, ZoneAwareSetting
from plait.api.durations import parse_duration
from plait.api.extension_providers import ExtensionProvider
from plait.api.mesh_settings import (
    KEY,
    NAME,
    ConfigMap,
    GatewayTopology,
    MutualTLSSettings,
    Normalization,
    OutboundMode,
    TLSDefaults,
    read_settings,
)
from plait.api.meta import ObjectKey
from plait.api.spiffe import DEFAULT_TRUST_DOMAIN
from plait.api.virtualservice import HTTPRetry
from plait.snapshot.reader import Reader

#: HTTP calls of unknown hosts go where the proxy itself finds the name that they ask for.
BY_NAME: Final = "ALLOW_ANY_DYNAMIC_DNS"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """One mesh.

    `outbound_traffic_policy`: what happens to calls of unknown hosts. `detection_timeout`: how long a port whose
    protocol nobody declared waits for the client's first bytes; a server that speaks first is delayed by it.
    `retry_attempts` holds for HTTP routes that say nothing, `retry_policy` says more of them. `access_log_file` is
    where proxies write a line for each request and connection; empty: nowhere. `access_log_format` empty means
    Istio's. `tcp_keepalive`, `h2_upgrade` and `locality_lb` hold for destinations whose DestinationRule says
    nothing else. `inbound_to_localhost`: applications are called at 127.0.0.1 rather than at the address that was
    called. The stat names are patterns for the names of clusters in statistics; empty: the clusters' own.
    `zones_lb` is what `locality_lb` is, of the other kind. `http_proxy_port`: where sidecars take calls as an HTTP
    proxy, on loopback; 0: nowhere. `tls_defaults` hold for servers that say nothing, and for TLS that
    DestinationRules begin. `auto_mutual_tls`: proxies speak mutual TLS to each other where no rule says anything;
    `trust_domain_aliases` are whose certificates are taken beside those of `trust_domain`, `mutual_tls` says more
    of what they speak. `baseline` holds, block by block, where DestinationRules say nothing; its limits of
    connections also towards applications and unknown hosts.
    `extension_providers` are whom AuthorizationPolicies may ask.
    """

    domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    outbound_traffic_policy: OutboundMode = "ALLOW_ANY"
    connect_timeout: timedelta = timedelta(seconds=10)
    detection_timeout: timedelta = timedelta(milliseconds=200)
    retry_attempts: int = 2
    retry_policy: HTTPRetry | None = None
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    tcp_keepalive: TCPKeepalive | None = None
    h2_upgrade: bool = False
    locality_lb: LocalitySetting | None = None
    zones_lb: ZoneAwareSetting | None = None
    dns_refresh_rate: timedelta = timedelta(seconds=60)
    inbound_to_localhost: bool = False
    path_normalization: Normalization = "DEFAULT"
    gateway_topology: GatewayTopology | None = None
    http_proxy_port: int = 0
    tls_defaults: TLSDefaults | None = None
    baseline: TrafficPolicy | None = None
    auto_mutual_tls: bool = True
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    trust_domain_aliases: tuple[str, ...] = ()
    mutual_tls: MutualTLSSettings | None = None
    inbound_stat_name: str = ""
    outbound_stat_name: str = ""
    extension_providers: tuple[ExtensionProvider, ...] = ()

    @property
    def registry_only(self) -> bool:
        """Whether calls of unknown hosts are refused."""
        return self.outbound_traffic_policy == "REGISTRY_ONLY"


def settings_key(mesh: MeshConfig) -> ObjectKey:
    """The object users write their settings in."""
    return ObjectKey("ConfigMap", mesh.root_namespace, NAME)


def mesh_config(reader: Reader, base: MeshConfig) -> MeshConfig:
    """What holds: `base` with what users have set."""
    source: ConfigMap | None = reader.object(settings_key(base))
    if source is None:
        return base
    found = read_settings(source.data.get(KEY, "")).settings
    changes: dict[str, Any] = {}
    if found.locality_lb_setting is not None:
        changes["locality_lb"] = found.locality_lb_setting
    changes["zones_lb"] = found.zone_aware_lb_setting
    changes["http_proxy_port"] = found.proxy_http_port or 0
    changes["tls_defaults"] = found.tls_defaults
    changes["h2_upgrade"] = found.h2_upgrade_policy == "UPGRADE"
    for name in ("access_log_file", "access_log_format", "access_log_encoding", "tcp_keepalive"):
        if (value := getattr(found, name)) is not None:
            changes[name] = value
    if found.outbound_traffic_policy is not None:
        changes["outbound_traffic_policy"] = found.outbound_traffic_policy.mode
    if found.inbound_traffic_policy is not None:
        changes["inbound_to_localhost"] = found.inbound_traffic_policy.mode == "LOCALHOST"
    if found.path_normalization is not None:
        changes["path_normalization"] = found.path_normalization.normalization
    if found.default_config is not None and found.default_config.gateway_topology is not None:
        changes["gateway_topology"] = found.default_config.gateway_topology
    changes["auto_mutual_tls"] = found.enable_auto_mtls is not False
    changes["trust_domain"] = found.trust_domain or base.trust_domain
    changes["trust_domain_aliases"] = found.trust_domain_aliases or ()
    changes["mutual_tls"] = found.mesh_mtls
    changes["extension_providers"] = found.extension_providers or ()
    changes["inbound_stat_name"] = found.inbound_cluster_stat_name or ""
    changes["outbound_stat_name"] = found.outbound_cluster_stat_name or ""
    if found.default_traffic_policy is not None:
        changes["baseline"] = found.default_traffic_policy.policy
    if found.default_http_retry_policy is not None:
        changes["retry_policy"] = found.default_http_retry_policy
        changes["retry_attempts"] = found.default_http_retry_policy.attempts
    for name, text in (
        ("connect_timeout", found.connect_timeout),
        ("detection_timeout", found.protocol_detection_timeout),
        ("dns_refresh_rate", found.dns_refresh_rate),
    ):
        # Zero would mean to wait for ever for a client that waits for the server; Istio's default says so.
        if text and (length := parse_duration(text)):
            changes[name] = length
    return replace(base, **changes)
