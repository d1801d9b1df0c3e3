"""telemetry.istio.io Telemetry: metrics, access logs and traces."""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.meta import Metadata
from plait.api.security import Provider
from plait.api.selection import LabelSelector, TargetReference

Mode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]


class MetricMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A metric of Istio's or one's own, on which side."""

    metric: str | None = None
    custom_metric: str | None = None
    mode: Mode = "CLIENT_AND_SERVER"


class TagOverride(msgspec.Struct, frozen=True):
    """What becomes of a tag; `value` is an expression in CEL."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: str = ""


class MetricOverride(msgspec.Struct, frozen=True, rename="camel"):
    """Changes of some metrics."""

    match: MetricMatch | None = None
    disabled: bool | None = None
    tag_overrides: dict[str, TagOverride] = {}


class Metrics(msgspec.Struct, frozen=True, rename="camel"):
    """Metrics for some providers."""

    providers: tuple[Provider, ...] = ()
    overrides: tuple[MetricOverride, ...] = ()
    reporting_interval: str | None = None


class ModeMatch(msgspec.Struct, frozen=True):
    """Which side."""

    mode: Mode = "CLIENT_AND_SERVER"


class LogFilter(msgspec.Struct, frozen=True):
    """What is logged: an expression in CEL."""

    expression: str = ""


class AccessLogging(msgspec.Struct, frozen=True):
    """Access logs for some providers."""

    match: ModeMatch | None = None
    providers: tuple[Provider, ...] = ()
    disabled: bool | None = None
    filter: LogFilter | None = None


class Named(msgspec.Struct, frozen=True, rename="camel"):
    """A header or environment variable."""

    name: str = ""
    default_value: str = ""


class Valued(msgspec.Struct, frozen=True):
    """A text."""

    value: str = ""


class CustomTag(msgspec.Struct, frozen=True):
    """A tag of spans; one of the forms is set."""

    literal: Valued | None = None
    environment: Named | None = None
    header: Named | None = None
    formatter: Valued | None = None


class Tracing(msgspec.Struct, frozen=True, rename="camel"):
    """Traces for one provider."""

    match: ModeMatch | None = None
    providers: tuple[Provider, ...] = ()
    random_sampling_percentage: float | None = None
    disable_span_reporting: bool | None = None
    disable_context_propagation: bool | None = None
    custom_tags: dict[str, CustomTag] = {}
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None


class TelemetrySpec(msgspec.Struct, frozen=True, rename="camel"):
    """Without a selector it holds for the namespace; in the root namespace for the mesh."""

    selector: LabelSelector | None = None
    target_ref: TargetReference | None = None
    target_refs: tuple[TargetReference, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()
    tracing: tuple[Tracing, ...] = ()


class Telemetry(msgspec.Struct, frozen=True):
    """telemetry.istio.io Telemetry, any version."""

    metadata: Metadata
    spec: TelemetrySpec = TelemetrySpec()
