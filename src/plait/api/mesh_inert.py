"""Settings of Istio's MeshConfig that are understood but do nothing here: whoever writes one is told so.

As in `inert`: a path within the settings and the sentence that follows it. What is neither here nor among the fields of
`MeshSettings` is no setting at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from plait.api.inert import Inert, row

_OWN_AUTHORITY: Final = "has no effect: istiod is the authority, with a root of yours in the Secret cacerts"
_NO_TELEMETRY: Final = "has no effect yet: there are no metrics or traces of requests"
_FIXED: Final = "cannot be changed: capture and injection rely on it"
_GONE: Final = "has no effect, as in Istio today"
_BOOTSTRAP: Final = "has no effect: every sidecar is started in the same way"
_ONE_CLUSTER: Final = "has no effect: there is one cluster"

#: Kinds of extension providers that are asked nothing about access.
OTHER_PROVIDERS: Final = (
    "datadog", "envoyFileAccessLog", "envoyHttpAls", "envoyOtelAls", "envoyTcpAls", "lightstep", "opencensus",
    "opentelemetry", "prometheus", "sds", "skywalking", "stackdriver", "zipkin",
)  # fmt: skip

#: Of MeshConfig itself.
ROWS: Final[tuple[Inert, ...]] = (
    row("ca", _OWN_AUTHORITY),
    row("caCertificates", _OWN_AUTHORITY),
    row("certificates", _GONE),
    row("configSources", "has no effect: objects come from the Kubernetes API alone"),
    row("defaultProviders", _NO_TELEMETRY),
    *(
        row(
            f"defaultTrafficPolicy.{name}", "has no effect, as in Istio today: connectionPool and outlierDetection have"
        )
        for name in ("loadBalancer", "portLevelSettings", "proxyProtocol", "retryBudget", "tls", "tunnel")
    ),
    row("disableEnvoyListenerLog", "has no effect: listeners write no log of their own"),
    row("enableEnvoyAccessLogService", "has no effect: accessLogFile says where logs go"),
    row("enablePrometheusMerge", _NO_TELEMETRY),
    row("enableTracing", _NO_TELEMETRY),
    *(row(f"extensionProviders[].{name}", _NO_TELEMETRY) for name in OTHER_PROVIDERS),
    row("hboneIdleTimeout", "has no effect: nothing is tunnelled in HBONE"),
    row("proxyInboundListenPort", _FIXED),
    row("proxyListenPort", _FIXED),
    row("serviceEntryVisibility", "has no effect: exportTo and defaultServiceExportTo say who sees what"),
    row("serviceScopeConfigs", "has no effect: it is for the ambient mode"),
    row("serviceSettings", _ONE_CLUSTER),
    row("tlsDefaults.minProtocolVersion", "has no effect, as in Istio today: write it in the Gateway's server"),
    row("verifyCertificateAtClient", "has no effect: a DestinationRule's tls says what is verified"),
)
#: Of `defaultConfig`.
PROXY_ROWS: Final[tuple[Inert, ...]] = tuple(
    row(f"defaultConfig.{name}", says)
    for says, names in (
        (
            _BOOTSTRAP,
            (
                "configPath binaryPath serviceCluster drainDuration discoveryRefreshDelay "
                "proxyAdminPort customConfigFile statNameLength proxyBootstrapTemplatePath interceptionMode "
                "runtimeValues statusPort terminationDrainDuration readinessProbe "
                "holdApplicationUntilProxyStarts image privateKeyProvider proxyHeaders fileFlushInterval "
                "fileFlushMinSizeKb statsCompression connectionSettings availabilityZone"
            ),
        ),
        (_GONE, "controlPlaneAuthPolicy sds"),
        (_OWN_AUTHORITY, "caCertificatesPem"),
        (
            _NO_TELEMETRY,
            (
                "zipkinAddress statsdUdpAddress envoyMetricsServiceAddress tracing envoyAccessLogService "
                "envoyMetricsService extraStatTags proxyStatsMatcher"
            ),
        ),
        (_ONE_CLUSTER, "meshId"),
    )
    for name in names.split()
)


def without_effect(given: Any, kind: type[Any]) -> Iterator[tuple[str, str]]:
    """(path, sentence) of each setting in `given` that `kind`, a struct of settings, does not have."""
    known = {each.path: each.says for each in (*ROWS, *PROXY_ROWS)}
    for path in _foreign(given, kind, ""):
        yield path, known.get(re.sub(r"\[\d+\]", "[]", path), "is not a setting of Istio's MeshConfig")


def _foreign(given: Any, kind: Any, path: str) -> Iterator[str]:
    """The paths of keys that structs of the type `kind` do not have."""
    struct, items = _struct_of(kind)
    if struct is None:
        return
    if items:
        for index, item in enumerate(given if isinstance(given, list) else ()):
            yield from _foreign(item, struct, f"{path}[{index}]")
        return
    if not isinstance(given, dict):
        return
    hints = get_type_hints(struct)
    fields = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
    for name, value in given.items():
        here = f"{path}.{name}" if path else str(name)
        if value is None:
            continue
        if name not in fields:
            yield here
        else:
            yield from _foreign(value, fields[name], here)


def _struct_of(kind: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct in a type such as `X | None` or `tuple[X, ...] | None`, and whether it is one of a list's."""
    arguments = get_args(kind)
    if isinstance(kind, type) and not arguments and issubclass(kind, msgspec.Struct):
        return kind, False
    origin = get_origin(kind)
    if origin is tuple:
        return _struct_of(arguments[0])[0], True
    if origin is dict:
        return None, False
    found = (_struct_of(argument) for argument in arguments if argument is not type(None))
    return next((each for each in found if each[0] is not None), (None, False))
