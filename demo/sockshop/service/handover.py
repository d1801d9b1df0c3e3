"""The headers that make one trace of the calls that one request leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE_HEADERS = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "grpc-trace-bin",
    "sw8",
    "uber-trace-id",
)
"""W3C Trace Context, Zipkin B3 (one header and many), and the headers that Envoy's other tracers read."""


def trace_headers(incoming: Mapping[str, str]) -> dict[str, str]:
    """The headers that belong on every call made for a request. The original shop forwards none: its traces break."""
    return {name: incoming[name] for name in TRACE_HEADERS if name in incoming}
