"""What Istio demands of a DestinationRule beyond its shape, plus whatever would make Envoy refuse a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from plait.api.destinationrule import (
    ClientTLS,
    ConnectionPool,
    DestinationRule,
    OutlierDetection,
    PortPolicy,
    TrafficPolicy,
    Tunnel,
)
from plait.api.names import is_dns_label, is_hostname, is_ip, is_port
from plait.api.validate.balancer import validate_load_balancer
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_labels, validate_selector

#: Linux takes no more (tcp(7): keep-alive times in 15 bits, probes in 7).
_MAX_KEEPALIVE: Final = timedelta(seconds=32767)
_MAX_PROBES: Final = 127
_CONFIG_MAP: Final = "configmap://"


def validate_destinationrule(rule: DestinationRule, findings: Findings) -> None:
    """Add what is wrong with `rule` to `findings`."""
    spec = rule.spec
    findings.host("spec.host", spec.host, wildcard=True)
    findings.export_to("spec.exportTo", spec.export_to)
    if spec.workload_selector is not None:
        validate_selector("spec.workloadSelector.matchLabels", spec.workload_selector.match_labels, findings)
        if any(scope not in {".", findings.key.namespace} for scope in spec.export_to):
            findings.error("spec.exportTo", "a rule with a workloadSelector is for its own namespace", fix='["."]')
    if spec.traffic_policy is not None:
        _traffic_policy("spec.trafficPolicy", spec.traffic_policy, findings)
    names: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if not is_dns_label(subset.name):
            findings.error(
                f"{path}.name", f"{subset.name!r} is not a name", fix="letters, digits and -", value=subset.name
            )
        if subset.name in names:
            findings.error(f"{path}.name", f"a second subset {subset.name!r}", fix="another name", value=subset.name)
        names.add(subset.name)
        validate_labels(f"{path}.labels", subset.labels, findings)
        if subset.traffic_policy is not None:
            _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy, findings)


def _traffic_policy(path: str, policy: TrafficPolicy, findings: Findings) -> None:
    if policy == TrafficPolicy():
        findings.error(path, "an empty policy", fix="at least one setting, such as loadBalancer")
    validate_policy(path, policy, findings)
    ports: set[int] = set()
    for index, setting in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{index}]"
        if setting.port is None:
            findings.error(f"{where}.port", "a port is missing", fix="port: {number: N}")
        else:
            number = setting.port.number
            if not is_port(number):
                # Istio takes it.
                text = f"{number} is not a port: the policy has no effect"
                findings.warn(f"{where}.port.number", text, fix="1 to 65535", value=number)
            if number in ports:
                findings.warn(f"{where}.port.number", f"the first policy for {number} holds", fix="one", value=number)
            ports.add(number)
        if setting == PortPolicy(port=setting.port):
            findings.error(where, "an empty policy", fix="at least one setting, such as loadBalancer")
        validate_policy(where, setting, findings)


def validate_policy(path: str, policy: TrafficPolicy | PortPolicy, findings: Findings) -> None:
    """Of one level: the settings of a destination, a subset, a port, or the whole mesh."""
    if policy.connection_pool is not None:
        validate_connection_pool(f"{path}.connectionPool", policy.connection_pool, findings)
    if policy.outlier_detection is not None:
        _outlier_detection(f"{path}.outlierDetection", policy.outlier_detection, findings)
    _retry_budget(path, policy, findings)
    if policy.tls is not None:
        _tls(f"{path}.tls", policy.tls, findings)
    if policy.load_balancer is not None:
        detects = policy.outlier_detection is not None
        validate_load_balancer(f"{path}.loadBalancer", policy.load_balancer, findings, detects=detects)


def _tls(path: str, tls: ClientTLS, findings: Findings) -> None:
    """Istio: what each mode needs, and what contradicts it."""
    if tls.credential_name.startswith(_CONFIG_MAP):
        _config_map(f"{path}.credentialName", tls.credential_name, findings)
    files = [
        name
        for name, value in (
            ("clientCertificate", tls.client_certificate),
            ("privateKey", tls.private_key),
            ("caCertificates", tls.ca_certificates),
            ("caCrl", tls.ca_crl),
        )
        if value
    ]
    if tls.mode in {"SIMPLE", "MUTUAL"}:
        # The credential of MUTUAL may hold the client's certificate alone.
        verifies = tls.ca_certificates or tls.subject_alt_names or (tls.mode == "SIMPLE" and tls.credential_name)
        if tls.insecure_skip_verify and verifies:
            findings.error(
                f"{path}.insecureSkipVerify",
                "nothing is verified, so caCertificates, credentialName and subjectAltNames mean nothing",
                fix="one or the other",
            )
        if tls.credential_name and files:
            findings.error(path, f"credentialName excludes {' and '.join(files)}", fix="only credentialName")
        elif tls.mode == "MUTUAL" and not tls.credential_name:
            for name, value in (("clientCertificate", tls.client_certificate), ("privateKey", tls.private_key)):
                if not value:
                    findings.error(f"{path}.{name}", "is missing for MUTUAL", fix="a file, or credentialName")
    if tls.ca_crl and not (tls.ca_certificates or tls.credential_name):
        findings.warn(f"{path}.caCrl", "has no effect without caCertificates", fix="caCertificates")
    for index, name in enumerate(tls.subject_alt_names):
        if not name:
            findings.error(f"{path}.subjectAltNames[{index}]", "an empty name", fix="a DNS name or URI")


def _config_map(path: str, text: str, findings: Findings) -> None:
    """Istio: `configmap://NAME` or `configmap://NAMESPACE/NAME`, of the rule's own namespace."""
    *owner, name = text.removeprefix(_CONFIG_MAP).split("/")
    if not name or len(owner) > 1 or owner not in ([], [findings.key.namespace]):
        fix = f"{_CONFIG_MAP}NAME of namespace {findings.key.namespace}"
        findings.error(path, f"{text!r} is not a ConfigMap of this namespace", fix=fix, value=text)


def _tunnel(path: str, tunnel: Tunnel, findings: Findings) -> None:
    if tunnel.protocol not in {"", "CONNECT", "POST"}:
        findings.error(f"{path}.protocol", f"{tunnel.protocol!r}", fix="CONNECT or POST", value=tunnel.protocol)
    if not is_ip(tunnel.target_host) and not is_hostname(tunnel.target_host):
        findings.error(
            f"{path}.targetHost", f"{tunnel.target_host!r} is not an address or DNS name", value=tunnel.target_host
        )
    findings.port(f"{path}.targetPort", tunnel.target_port)


def _retry_budget(path: str, policy: TrafficPolicy | PortPolicy, findings: Findings) -> None:
    if not isinstance(policy, TrafficPolicy):
        return
    if policy.tunnel is not None:
        _tunnel(f"{path}.tunnel", policy.tunnel, findings)
        if policy.proxy_protocol is not None:
            findings.error(path, "tunnel and proxyProtocol exclude each other", fix="one of them")
    budget = policy.retry_budget
    if budget is None:
        return
    findings.percent(f"{path}.retryBudget.percent", budget.percent)
    findings.count(f"{path}.retryBudget.minRetryConcurrency", budget.min_retry_concurrency)
    findings.duration(f"{path}.retryBudget.budgetInterval", budget.budget_interval, minimum=timedelta(), whole=False)


def validate_connection_pool(path: str, pool: ConnectionPool, findings: Findings) -> None:
    """Limits must be ones that Envoy and the kernel take; a Sidecar has them as well."""
    if pool.tcp is None and pool.http is None:
        findings.error(path, "an empty connectionPool", fix="tcp or http")
    if pool.tcp is not None:
        tcp = pool.tcp
        findings.count(f"{path}.tcp.maxConnections", tcp.max_connections)
        findings.duration(f"{path}.tcp.connectTimeout", tcp.connect_timeout)
        findings.duration(f"{path}.tcp.maxConnectionDuration", tcp.max_connection_duration)
        findings.duration(f"{path}.tcp.idleTimeout", tcp.idle_timeout, minimum=timedelta())
        if tcp.tcp_keepalive is not None:
            keepalive, where = tcp.tcp_keepalive, f"{path}.tcp.tcpKeepalive"
            findings.integer(f"{where}.probes", keepalive.probes, low=0, high=_MAX_PROBES)
            for name, text in (("time", keepalive.time), ("interval", keepalive.interval)):
                findings.duration(f"{where}.{name}", text, minimum=timedelta(seconds=1), maximum=_MAX_KEEPALIVE)
    if pool.http is not None:
        http = pool.http
        findings.count(f"{path}.http.http1MaxPendingRequests", http.http1_max_pending_requests)
        findings.count(f"{path}.http.http2MaxRequests", http.http2_max_requests)
        findings.count(f"{path}.http.maxRequestsPerConnection", http.max_requests_per_connection)
        findings.count(f"{path}.http.maxRetries", http.max_retries)
        findings.duration(f"{path}.http.idleTimeout", http.idle_timeout, minimum=timedelta())
        if not 0 <= http.max_concurrent_streams < 2**31:
            findings.error(f"{path}.http.maxConcurrentStreams", f"{http.max_concurrent_streams} is out of range")
        if http.h2_upgrade_policy not in {"DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"}:
            findings.error(
                f"{path}.http.h2UpgradePolicy", f"{http.h2_upgrade_policy!r}", fix="UPGRADE or DO_NOT_UPGRADE"
            )
        if http.use_client_protocol and http.h2_upgrade_policy == "UPGRADE":
            findings.error(
                f"{path}.http.useClientProtocol", "h2UpgradePolicy UPGRADE contradicts it", fix="one of them"
            )
        if http.http2_keep_alive is not None:
            findings.duration(f"{path}.http.http2KeepAlive.interval", http.http2_keep_alive.interval, whole=False)
            findings.duration(f"{path}.http.http2KeepAlive.timeout", http.http2_keep_alive.timeout, whole=False)


def _outlier_detection(path: str, outlier: OutlierDetection, findings: Findings) -> None:
    findings.duration(f"{path}.interval", outlier.interval)
    findings.duration(f"{path}.baseEjectionTime", outlier.base_ejection_time)
    findings.percent(f"{path}.maxEjectionPercent", outlier.max_ejection_percent)
    findings.percent(f"{path}.minHealthPercent", outlier.min_health_percent)
    findings.count(f"{path}.consecutive5xxErrors", outlier.consecutive_5xx_errors)
    findings.count(f"{path}.consecutiveGatewayErrors", outlier.consecutive_gateway_errors)
    findings.count(f"{path}.consecutiveLocalOriginFailures", outlier.consecutive_local_origin_failures)
    findings.count(f"{path}.consecutiveErrors", outlier.consecutive_errors)
    if outlier.consecutive_errors is not None:
        ignored = outlier.consecutive_5xx_errors is not None
        findings.warn(
            f"{path}.consecutiveErrors",
            "is ignored beside consecutive5xxErrors" if ignored else "is the form of Istio 1.0",
            fix=f"consecutive5xxErrors: {outlier.consecutive_errors}",
            value=outlier.consecutive_errors,
        )
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        findings.error(
            f"{path}.consecutiveLocalOriginFailures",
            "is counted only where errors are told apart",
            fix="splitExternalLocalOriginErrors: true",
            value=outlier.consecutive_local_origin_failures,
        )
    for index, code in enumerate(outlier.outlier_detection_http_error_codes):
        findings.integer(f"{path}.outlierDetectionHttpErrorCodes[{index}]", code, low=100, high=599)
