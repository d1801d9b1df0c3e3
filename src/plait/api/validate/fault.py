"""What Istio demands of a rule's faults and cross-origin policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from plait.api.durations import parse_duration
from plait.api.grpc_status import GRPC_STATUS
from plait.api.names import is_header_name
from plait.api.validate.findings import Findings
from plait.api.validate.http_actions import validate_status
from plait.api.virtualservice import CorsPolicy, HTTPFaultInjection, StringMatch

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"})
#: Istio: a share is nothing at all or at least this much.
_SMALLEST_SHARE: Final = 0.0001


def validate_fault(path: str, fault: HTTPFaultInjection, findings: Findings) -> None:
    """Faults must be ones that Envoy can make."""
    if fault.delay is None and fault.abort is None:
        findings.error(path, "neither delay nor abort", fix="one of them, or no fault")
    for name, part in (("delay", fault.delay), ("abort", fault.abort)):
        if part is None:
            continue
        share = part.percentage.value if part.percentage else None
        findings.percent(f"{path}.{name}.percentage.value", share)
        if share is not None and 0 < share < _SMALLEST_SHARE:
            findings.error(f"{path}.{name}.percentage.value", f"{share:g} is too little", fix="0, or 0.0001 and more")
        findings.percent(f"{path}.{name}.percent", part.percent)
        if part.percent is not None:
            findings.warn(
                f"{path}.{name}.percent",
                "is the form of Istio 1.0" + (" and ignored beside percentage" if part.percentage else ""),
                fix=f"percentage: {{value: {part.percent}}}",
                value=part.percent,
            )
        if part.percent is None and part.percentage is None:
            findings.warn(f"{path}.{name}", "has no percentage, so it hits no request", fix="percentage: {value: 100}")
    if fault.delay is not None:
        findings.duration(f"{path}.delay.fixedDelay", fault.delay.fixed_delay)
        if fault.delay.exponential_delay is not None:
            findings.error(f"{path}.delay.exponentialDelay", "is not supported", fix="fixedDelay")
    abort = fault.abort
    if abort is None:
        return
    validate_status(f"{path}.abort.httpStatus", abort.http_status, findings)
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
        findings.error(f"{path}.abort.http2Error", "is not supported", fix="httpStatus or grpcStatus")
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
            if not is_header_name(name):
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
