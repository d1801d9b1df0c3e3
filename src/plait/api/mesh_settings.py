"""Istio's MeshConfig as users write it: key `mesh` of the ConfigMap `istio` in the root namespace, a YAML text.

Only what has an effect is read; everything else is named in a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from plait.api.destinationrule import (
    ConnectionPool,
    LocalitySetting,
    OutlierDetection,
    TCPKeepalive,
    TrafficPolicy,
    ZoneAwareSetting,
)
from plait.api.extension_providers import ExtensionProvider, validate_providers
from plait.api.formats import log_format_error
from plait.api.ingress import IngressSettings
from plait.api.mesh_inert import without_effect
from plait.api.meta import Metadata
from plait.api.names import is_host_port
from plait.api.spiffe import DEFAULT_TRUST_DOMAIN, is_trust_domain
from plait.api.type_words import WrongValue, wrong_values
from plait.api.validate.destinationrule import validate_policy
from plait.api.validate.findings import Findings
from plait.api.validate.gateway import PROXY_PORTS, validate_ciphers, validate_curves
from plait.api.validate.http_actions import validate_retries
from plait.api.validate.locality import validate_locality, validate_zones
from plait.api.virtualservice import HTTPRetry
from plait.api.yaml import read_yaml

NAME: Final = "istio"
KEY: Final = "mesh"
#: What stands for a part of a destination in the names of clusters in statistics.
STAT_VARIABLES: Final = (
    "%SERVICE%",
    "%SERVICE_NAME%",
    "%SERVICE_FQDN%",
    "%SERVICE_PORT%",
    "%SERVICE_PORT_NAME%",
    "%TARGET_PORT%",
    "%SUBSET_NAME%",
)


class ConfigMap(msgspec.Struct, frozen=True):
    """v1 ConfigMap, as far as the mesh reads one."""

    metadata: Metadata
    data: dict[str, str] = {}


OutboundMode: TypeAlias = Literal["ALLOW_ANY", "REGISTRY_ONLY", "ALLOW_ANY_DYNAMIC_DNS"]


class OutboundPolicy(msgspec.Struct, frozen=True):
    """What happens to calls of hosts that nobody knows."""

    mode: OutboundMode = "ALLOW_ANY"


class InboundPolicy(msgspec.Struct, frozen=True):
    """Where applications are called: at the address that was called, or at 127.0.0.1 (Istio's way before 1.10)."""

    mode: Literal["PASSTHROUGH", "LOCALHOST"] = "PASSTHROUGH"


Normalization: TypeAlias = Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]


class PathNormalization(msgspec.Struct, frozen=True):
    """How the paths of requests are made plain before any rule looks at them."""

    normalization: Normalization = "DEFAULT"


class SelectorExpression(msgspec.Struct, frozen=True):
    """One condition on a label."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds for `labels`."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class DiscoverySelector(msgspec.Struct, frozen=True, rename="camel"):
    """Namespaces by their labels; all conditions must hold."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[SelectorExpression, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with `labels` is meant."""
        return self.match_labels.items() <= labels.items() and all(
            expression.matches(labels) for expression in self.match_expressions
        )


class DefaultRetries(HTTPRetry, frozen=True):
    """Retries of HTTP routes that say nothing."""

    attempts: int = 2


class ProxyProtocol(msgspec.Struct, frozen=True):
    """Clients of gateways are preceded by a PROXY header; there is nothing to say of it."""


class GatewayTopology(msgspec.Struct, frozen=True, rename="camel"):
    """What stands in front of the gateways: so many proxies whose x-forwarded-for is believed, and what of clients'
    certificates (x-forwarded-client-cert) goes on.
    """

    num_trusted_proxies: int = 0
    forward_client_cert_details: Literal[
        "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
    ] = "UNDEFINED"
    proxy_protocol: ProxyProtocol | None = None


class TLSDefaults(msgspec.Struct, frozen=True, rename="camel"):
    """Of servers of Gateways that say nothing of it, and of TLS that a DestinationRule begins. Istio: neither of mutual
    TLS within the mesh, nor of versions.
    """

    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()


class MutualTLSSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Of mutual TLS within the mesh."""

    min_protocol_version: Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()


class BaselinePolicy(msgspec.Struct, frozen=True, rename="camel"):
    """What holds for destinations whose DestinationRule leaves a block out. Istio takes these two blocks alone."""

    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None

    @property
    def policy(self) -> TrafficPolicy:
        """As a DestinationRule would say it."""
        return TrafficPolicy(connection_pool=self.connection_pool, outlier_detection=self.outlier_detection)


class ProxyDefaults(msgspec.Struct, frozen=True, rename="camel"):
    """`defaultConfig`: what sidecars are started with, and what gateways trust; only what has an effect here."""

    concurrency: int | None = None
    proxy_metadata: dict[str, str] = {}
    gateway_topology: GatewayTopology | None = None
    discovery_address: str = ""


class MeshSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that have an effect; None is not set."""

    access_log_file: str | None = None
    access_log_format: str | None = None
    access_log_encoding: Literal["TEXT", "JSON"] | None = None
    outbound_traffic_policy: OutboundPolicy | None = None
    inbound_traffic_policy: InboundPolicy | None = None
    path_normalization: PathNormalization | None = None
    inbound_cluster_stat_name: str | None = None
    outbound_cluster_stat_name: str | None = None
    connect_timeout: str | None = None
    protocol_detection_timeout: str | None = None
    default_http_retry_policy: DefaultRetries | None = None
    default_traffic_policy: BaselinePolicy | None = None
    tcp_keepalive: TCPKeepalive | None = None
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] | None = None
    locality_lb_setting: LocalitySetting | None = None
    zone_aware_lb_setting: ZoneAwareSetting | None = None
    tls_defaults: TLSDefaults | None = None
    mesh_mtls: MutualTLSSettings | None = msgspec.field(default=None, name="meshMTLS")
    enable_auto_mtls: bool | None = None
    proxy_http_port: int | None = None
    dns_refresh_rate: str | None = None
    default_service_export_to: tuple[str, ...] | None = None
    default_virtual_service_export_to: tuple[str, ...] | None = None
    default_destination_rule_export_to: tuple[str, ...] | None = None
    discovery_selectors: tuple[DiscoverySelector, ...] | None = None
    default_config: ProxyDefaults | None = None
    ingress_class: str | None = None
    ingress_service: str | None = None
    ingress_selector: str | None = None
    ingress_controller_mode: Literal["OFF", "DEFAULT", "STRICT"] | None = None
    trust_domain: str | None = None
    trust_domain_aliases: tuple[str, ...] | None = None
    root_namespace: str | None = None
    extension_providers: tuple[ExtensionProvider, ...] | None = None

    @property
    def ingress(self) -> IngressSettings:
        """Of Ingresses."""
        usual = IngressSettings()
        return IngressSettings(
            self.ingress_controller_mode or usual.mode,
            self.ingress_class or usual.name,
            self.ingress_service or usual.service,
            self.ingress_selector or usual.selector,
        )


class ReadSettings(NamedTuple):
    """`inert` are (path, sentence) of fields without an effect."""

    settings: MeshSettings
    faults: tuple[WrongValue, ...] = ()
    inert: tuple[tuple[str, str], ...] = ()


def read_settings(text: str) -> ReadSettings:
    """The settings in a text; of one that cannot be read, none."""
    reading = read_yaml(text)
    if reading.problems:
        problem = reading.problems[0]
        return ReadSettings(MeshSettings(), (WrongValue("", f"not YAML: {problem.message} in line {problem.line}"),))
    documents = [document.value for document in reading.documents]
    if not documents:
        return ReadSettings(MeshSettings())
    value = documents[0]
    if len(documents) > 1 or not isinstance(value, dict):
        return ReadSettings(MeshSettings(), (WrongValue("", "not one map of settings"),))
    given: dict[str, Any] = {str(key): item for key, item in value.items() if item is not None}
    known = {field.encode_name for field in msgspec.structs.fields(MeshSettings)}
    try:
        settings = msgspec.convert({key: item for key, item in given.items() if key in known}, MeshSettings)
    except msgspec.ValidationError:
        faults = (
            fault for key, item in given.items() if key in known for fault in wrong_values(MeshSettings, key, item)
        )
        return ReadSettings(MeshSettings(), tuple(faults))
    return ReadSettings(settings, inert=tuple(sorted(without_effect(given, MeshSettings))))


def validate_mesh_settings(source: ConfigMap, findings: Findings) -> None:
    """Settings must be ones a proxy takes: they reach all of them at once."""
    text = source.data.get(KEY, "")
    found = read_settings(text)
    for fault in found.faults:
        path = f"data.{KEY}" + (f".{fault.path}" if fault.path else "")
        value = fault.value if isinstance(fault.value, (str, int, float)) else None
        findings.error(path, fault.message, fix=fault.instead or "Istio's MeshConfig", value=value)
    if found.faults:
        return
    for inner, says in found.inert:
        findings.warn(f"data.{KEY}.{inner}", says)
    settings, path = found.settings, f"data.{KEY}"
    findings.duration(f"{path}.connectTimeout", settings.connect_timeout)
    timeout = settings.protocol_detection_timeout
    findings.duration(f"{path}.protocolDetectionTimeout", timeout, minimum=timedelta())
    retries = settings.default_http_retry_policy
    if retries is not None:
        validate_retries(f"{path}.defaultHttpRetryPolicy", retries, findings)
    if settings.default_traffic_policy is not None:
        validate_policy(f"{path}.defaultTrafficPolicy", settings.default_traffic_policy.policy, findings)
    findings.duration(f"{path}.dnsRefreshRate", settings.dns_refresh_rate)
    if settings.locality_lb_setting is not None:
        validate_locality(f"{path}.localityLbSetting", settings.locality_lb_setting, findings)
    _stat_names(path, settings, findings)
    if settings.zone_aware_lb_setting is not None:
        if settings.locality_lb_setting is not None:
            findings.error(path, "localityLbSetting and zoneAwareLbSetting exclude each other", fix="one of them")
        # Whether failures are found out, each DestinationRule says for itself.
        validate_zones(f"{path}.zoneAwareLbSetting", settings.zone_aware_lb_setting, findings, detects=True)
    if settings.default_config is not None:
        findings.variables(f"{path}.defaultConfig.proxyMetadata", settings.default_config.proxy_metadata)
        address = settings.default_config.discovery_address
        if address and not is_host_port(address):
            where, fix = f"{path}.defaultConfig.discoveryAddress", "istiod.istio-system.svc:15012"
            findings.error(where, f"{address!r} is not HOST:PORT", fix=fix, value=address)
    for name, tls in (("tlsDefaults", settings.tls_defaults), ("meshMTLS", settings.mesh_mtls)):
        if tls is not None:
            validate_ciphers(f"{path}.{name}", tls.cipher_suites, findings)
            validate_curves(f"{path}.{name}", tls.ecdh_curves, findings)
    validate_providers(f"{path}.extensionProviders", settings.extension_providers or (), findings)
    _proxy_port(f"{path}.proxyHttpPort", settings.proxy_http_port, findings)
    _exports(path, settings, findings)
    _trust_domains(path, settings, findings)
    _fixed(path, settings, findings)
    file = settings.access_log_file
    if file and (not file.startswith("/") or "\0" in file):
        findings.error(f"{path}.accessLogFile", f"{file!r} is not an absolute path", fix="/dev/stdout", value=file)
    _log_format(f"{path}.accessLogFormat", settings, findings)


def _stat_names(path: str, settings: MeshSettings, findings: Findings) -> None:
    """Of names of clusters in statistics: what is no variable stays as it is written, as in Istio."""
    for name, given in (
        ("inboundClusterStatName", settings.inbound_cluster_stat_name),
        ("outboundClusterStatName", settings.outbound_cluster_stat_name),
    ):
        for found in re.findall("%[A-Z_]+%", given or ""):
            if found not in STAT_VARIABLES:
                text = f"{found!r} is no variable: it stays as it is"
                findings.warn(f"{path}.{name}", text, fix=", ".join(STAT_VARIABLES), value=given)


def _exports(path: str, settings: MeshSettings, findings: Findings) -> None:
    """As in `exportTo` itself."""
    for name, given in (
        ("defaultServiceExportTo", settings.default_service_export_to),
        ("defaultVirtualServiceExportTo", settings.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", settings.default_destination_rule_export_to),
    ):
        findings.export_to(f"{path}.{name}", given or ())


def _trust_domains(path: str, settings: MeshSettings, findings: Findings) -> None:
    """They become parts of URIs in certificates."""
    aliases = (
        (f"{path}.trustDomainAliases[{place}]", each) for place, each in enumerate(settings.trust_domain_aliases or ())
    )
    for where, given in ((f"{path}.trustDomain", settings.trust_domain or None), *aliases):
        if given is not None and not is_trust_domain(given):
            text = f"{given!r} is no trust domain: lower-case letters, digits, '.', '-' and '_', at most 255"
            findings.error(where, text, fix=DEFAULT_TRUST_DOMAIN, value=given)


def _fixed(path: str, settings: MeshSettings, findings: Findings) -> None:
    """What is given to the mesh when it is made cannot be changed while it runs."""
    given, held = settings.root_namespace, "istio-system"
    if given not in {None, "", held}:
        findings.warn(f"{path}.rootNamespace", f"stays {held!r}: it cannot change while the mesh runs", value=given)
    if settings.default_config is not None:
        findings.count(f"{path}.defaultConfig.concurrency", settings.default_config.concurrency)
        topology = settings.default_config.gateway_topology or GatewayTopology()
        findings.count(f"{path}.defaultConfig.gatewayTopology.numTrustedProxies", topology.num_trusted_proxies)


def _proxy_port(path: str, port: int | None, findings: Findings) -> None:
    findings.integer(path, port, low=0, high=65535)
    if port in PROXY_PORTS:
        findings.error(path, f"every proxy listens on {port} already", fix="15002", value=port)


def _log_format(path: str, settings: MeshSettings, findings: Findings) -> None:
    text = settings.access_log_format
    if not text:
        return
    fields = json_fields(text) if settings.access_log_encoding == "JSON" else {"": text}
    if fields is None:
        findings.error(path, "not a JSON object of texts", fix='for example {"code": "%RESPONSE_CODE%"}', value=text)
        return
    for field, part in fields.items():
        if reason := log_format_error(part):
            findings.error(f"{path}.{field}" if field else path, reason, fix="%% for a per cent sign", value=part)


def json_fields(text: str) -> dict[str, str] | None:
    """The fields of a JSON log line, each a format; None when `text` is no such object."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return None
    return value
