"""What Istio demands of a DestinationRule beyond its shape, plus whatever would make Envoy refuse a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from plait.api.destinationrule import ConnectionPool, DestinationRule, OutlierDetection, PortPolicy, TrafficPolicy
from plait.api.names import is_dns_label
from plait.api.validate_balancer import validate_load_balancer
from plait.api.validation import Findings

#: Linux takes no more (tcp(7): keep-alive times in 15 bits, probes in 7).
_MAX_KEEPALIVE: Final = timedelta(seconds=32767)
_MAX_PROBES: Final = 127


def validate_destinationrule(rule: DestinationRule, findings: Findings) -> None:
    """Add what is wrong with `rule` to `findings`."""
    spec = rule.spec
    findings.host("spec.host", spec.host, wildcard=True)
    findings.export_to("spec.exportTo", spec.export_to)
    if spec.traffic_policy is not None:
        _traffic_policy("spec.trafficPolicy", spec.traffic_policy, findings)
    if spec.workload_selector is not None:
        findings.warn("spec.workloadSelector", "has no effect yet: the rule holds for every caller that sees it")
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
        if subset.traffic_policy is not None:
            _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy, findings)


def _traffic_policy(path: str, policy: TrafficPolicy, findings: Findings) -> None:
    _policy(path, policy, findings)
    for index, setting in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{index}]"
        if setting.port is None:
            findings.error(f"{where}.port", "a port is missing", fix="port: {number: N}")
        else:
            findings.port(f"{where}.port.number", setting.port.number)
        _policy(where, setting, findings)


def _policy(path: str, policy: TrafficPolicy | PortPolicy, findings: Findings) -> None:
    if policy.connection_pool is not None:
        _connection_pool(f"{path}.connectionPool", policy.connection_pool, findings)
    if policy.outlier_detection is not None:
        _outlier_detection(f"{path}.outlierDetection", policy.outlier_detection, findings)
    _retry_budget(path, policy, findings)
    if policy.tls is not None and policy.tls.mode != "DISABLE":
        findings.warn(
            f"{path}.tls.mode",
            f"{policy.tls.mode} has no effect yet: traffic stays as the application sends it",
            value=policy.tls.mode,
        )
    if policy.load_balancer is not None:
        validate_load_balancer(f"{path}.loadBalancer", policy.load_balancer, findings)


def _retry_budget(path: str, policy: TrafficPolicy | PortPolicy, findings: Findings) -> None:
    if not isinstance(policy, TrafficPolicy):
        return
    for name, value in (("proxyProtocol", policy.proxy_protocol), ("tunnel", policy.tunnel)):
        if value is not None:
            findings.warn(f"{path}.{name}", "has no effect yet")
    budget = policy.retry_budget
    if budget is None:
        return
    findings.percent(f"{path}.retryBudget.percent", budget.percent)
    findings.count(f"{path}.retryBudget.minRetryConcurrency", budget.min_retry_concurrency)
    if budget.budget_interval is not None:
        findings.warn(f"{path}.retryBudget.budgetInterval", "has no effect", value=budget.budget_interval)


def _connection_pool(path: str, pool: ConnectionPool, findings: Findings) -> None:
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
        if http.http2_keep_alive is not None:
            findings.duration(f"{path}.http.http2KeepAlive.interval", http.http2_keep_alive.interval)
            findings.duration(f"{path}.http.http2KeepAlive.timeout", http.http2_keep_alive.timeout)


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
    for index, code in enumerate(outlier.outlier_detection_http_error_codes):
        findings.integer(f"{path}.outlierDetectionHttpErrorCodes[{index}]", code, low=100, high=599)
