"""Faults of a rule -> the settings of the fault filter for one route."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.type.v3.percent_pb2 import FractionalPercent

from plait.api.durations import parse_duration
from plait.api.grpc_status import GRPC_STATUS
from plait.api.virtualservice import Abort, Delay, HTTPFaultInjection, Percent
from plait.xds.encode import duration

#: Istio takes 600 as well, which Envoy does not.
LAST_STATUS: Final = 599


def fraction(percent: float) -> FractionalPercent:
    """A percentage to the millionth."""
    return FractionalPercent(
        numerator=round(min(max(percent, 0.0), 100.0) * 10_000), denominator=FractionalPercent.MILLION
    )


def share(percentage: Percent | None, percent: int | None) -> float:
    """The share of requests a fault hits; the 1.0-era form counts when the new one is absent.

    Istio: without either no request is hit.
    """
    return percentage.value if percentage is not None else float(percent or 0)


def fault_settings(fault: HTTPFaultInjection) -> HTTPFault | None:
    """The filter's settings, or None when no request would be hit."""
    result = HTTPFault()
    if fault.delay is not None:
        _delay(result, fault.delay)
    if fault.abort is not None:
        _abort(result, fault.abort)
    return result if result.HasField("delay") or result.HasField("abort") else None


def _delay(result: HTTPFault, delay: Delay) -> None:
    length = parse_duration(delay.fixed_delay) if delay.fixed_delay else None
    part = share(delay.percentage, delay.percent)
    if length is not None and length > timedelta() and part > 0:
        result.delay.fixed_delay.CopyFrom(duration(length.total_seconds()))
        result.delay.percentage.CopyFrom(fraction(part))


def _abort(result: HTTPFault, abort: Abort) -> None:
    part = share(abort.percentage, abort.percent)
    if part <= 0:
        return
    if abort.http_status is not None:
        result.abort.http_status = min(abort.http_status, LAST_STATUS)
    elif abort.grpc_status in GRPC_STATUS:
        result.abort.grpc_status = GRPC_STATUS[abort.grpc_status]
    else:
        return
    result.abort.percentage.CopyFrom(fraction(part))
