"""What Istio demands of a rule's faults and cross-origin policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from plait.api.durations import parse_duration
from plait.api.grpc_status import GRPC_STATUS
from plait.api.names import is_header_name, is_header_value
from plait.api.validation import Findings
from plait.api.virtualservice import CorsPolicy, HTTPFaultInjection, StringMatch

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"})


def validate_fault(path: str, fault: HTTPFaultInjection, findings: Findings) -> None:
    """Faults must be ones that Envoy can make."""
    for name, part in (("delay", fault.delay), ("abort", fault.abort)):
        if part is None:
            continue
        findings.percent(f"{path}.{name}.percentage.value", part.percentage.value if part.percentage else None)
        findings.percent(f"{path}.{name}.percent", part.percent)
        if part.percent is not None:
            findings.warn(
                f"{path}.{name}.percent",
                "is the form of Istio 1.0" + (" and ignored beside percentage" if part.percentage else ""),
                fix=f"percentage: {{value: {part.percent}}}",
                value=part.percent,
            )
    if fault.delay is not None:
        findings.duration(f"{path}.delay.fixedDelay", fault.delay.fixed_delay)
        if fault.delay.exponential_delay is not None:
            findings.warn(f"{path}.delay.exponentialDelay", "has no effect", fix="fixedDelay")
    abort = fault.abort
    if abort is None:
        return
    findings.integer(f"{path}.abort.httpStatus", abort.http_status, low=200, high=599)
    if abort.http_status is not None and abort.grpc_status is not None:
        findings.error(f"{path}.abort", "httpStatus and grpcStatus exclude each other", fix="one of them")
    if abort.grpc_status is not None and abort.grpc_status not in GRPC_STATUS:
        findings.error(
            f"{path}.abort.grpcStatus",
            f"{abort.grpc_status!r} is not a status of gRPC",
            fix="one of " + ", ".join(GRPC_STATUS),
            value=abort.grpc_status,
        )
    if abort.http2_error is not None:
        findings.warn(f"{path}.abort.http2Error", "has no effect", fix="httpStatus or grpcStatus")
    elif abort.http_status is None and abort.grpc_status is None:
        findings.warn(f"{path}.abort", "has no status, so nothing is aborted", fix="httpStatus or grpcStatus")


def validate_cors(
    path: str, policy: CorsPolicy, findings: Findings, *, origin: Callable[[str, StringMatch, Findings], None]
) -> None:
    """`origin` checks one comparison of texts."""
    for index, match in enumerate(policy.allow_origins):
        origin(f"{path}.allowOrigins[{index}]", match, findings)
    if policy.allow_origin:
        findings.warn(
            f"{path}.allowOrigin", "is the form of Istio 1.0", fix="allowOrigins: [{exact: ORIGIN}]", value=None
        )
    for index, method in enumerate(policy.allow_methods):
        if method not in _METHODS:
            findings.error(
                f"{path}.allowMethods[{index}]", f"{method!r} is not a method", fix="for example GET", value=method
            )
    for field, names in (("allowHeaders", policy.allow_headers), ("exposeHeaders", policy.expose_headers)):
        for index, name in enumerate(names):
            if not is_header_name(name) or not is_header_value(name):
                findings.error(f"{path}.{field}[{index}]", f"{name!r} is not the name of a header", value=name)
    findings.duration(f"{path}.maxAge", policy.max_age, minimum=timedelta())
    age = parse_duration(policy.max_age) if policy.max_age else None
    if age is not None and age.microseconds:
        findings.error(f"{path}.maxAge", f"{policy.max_age!r} is not whole seconds", fix="for example 24h")
    if policy.unmatched_preflights not in {"", "UNSPECIFIED", "FORWARD", "IGNORE"}:
        findings.error(
            f"{path}.unmatchedPreflights",
            f"{policy.unmatched_preflights!r}",
            fix="FORWARD or IGNORE",
            value=policy.unmatched_preflights,
        )
