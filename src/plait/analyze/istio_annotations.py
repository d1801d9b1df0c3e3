"""Annotations of Istio on the objects of Kubernetes: unknown, misplaced, unreadable, deprecated or of alpha quality."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.annotation_table import ANNOTATIONS, SET_BY_CNI, WRITTEN_BY_MACHINES, is_istios
from plait.analyze.fields import mappings
from plait.analyze.finding import Finding
from plait.analyze.kinds import DEPLOYMENT, NAMESPACE, POD, SERVICE
from plait.analyze.messages import (
    ALPHA_ANNOTATION,
    DEPRECATED_ANNOTATION,
    INVALID_ANNOTATION,
    MISPLACED_ANNOTATION,
    UNKNOWN_ANNOTATION,
)
from plait.analyze.world import Item, World
from plait.api.names import is_host_port
from plait.api.yaml import read_yaml

_INJECT: Final = "sidecar.istio.io/inject"
_INSTEAD: Final = {_INJECT: f": the label {_INJECT} takes its place"}


def _check(_world: World, item: Item) -> Iterator[Finding]:
    for name, value in item.annotations.items():
        if not is_istios(name) or name in WRITTEN_BY_MACHINES:
            continue
        path = f"metadata.annotations.{name}"
        known = ANNOTATIONS.get(name)
        if known is None:
            yield found(UNKNOWN_ANNOTATION, item, path, value=value, annotation=name)
            continue
        # Who writes the label too knows of it, and keeps the annotation for older injectors.
        if known.deprecated and not (name == _INJECT and name in item.labels):
            yield found(DEPRECATED_ANNOTATION, item, path, annotation=name, instead=_INSTEAD.get(name, ""))
        if "Any" in known.places:
            continue
        if item.kind[1] not in known.places:
            places = ", ".join(known.places)
            yield found(
                MISPLACED_ANNOTATION, item, path, value=value, annotation=name, kind=item.kind[1], places=places
            )
            continue
        fault = _VALUES[name](value) if name in _VALUES else ""
        if fault:
            yield found(INVALID_ANNOTATION, item, path, value=value, annotation=name, detail=fault)


def _check_quality(_world: World, item: Item) -> Iterator[Finding]:
    captured_by_cni = item.kind == POD and not any(
        container.get("name") == "istio-init" for _, container in mappings(item.spec, "initContainers")
    )
    for name in item.annotations:
        known = ANNOTATIONS.get(name) if is_istios(name) and name not in WRITTEN_BY_MACHINES else None
        if known is None or not known.alpha or (captured_by_cni and name in SET_BY_CNI):
            continue
        yield found(ALPHA_ANNOTATION, item, f"metadata.annotations.{name}", annotation=name)


# What a value must be; the answer is what is wrong with it, or nothing.


def _interception_mode(value: str) -> str:
    return "" if value in {"REDIRECT", "TPROXY", "NONE"} else f"{value!r} is none of REDIRECT, TPROXY, NONE"


def _port(value: str) -> str:
    value = value.strip()
    good = value.isascii() and value.isdigit() and int(value) <= 0xFFFF
    return "" if good else f"{value!r} is no port"


def _ports(value: str) -> str:
    value = value.strip()
    return next((fault for part in value.split(",") if (fault := _port(part))), "") if value else ""


def _ports_or_all(value: str) -> str:
    return "" if value == "*" else _ports(value)


def _ranges(value: str) -> str:
    for part in value.split(",") if value else ():
        try:
            ip_interface(part)
        except ValueError:
            return f"{part!r} is no range of addresses such as 10.0.0.0/8"
        if "/" not in part:
            return f"{part!r} has no length: {part}/32 is one address"
        if not part.partition("/")[2].isdigit():
            return f"{part!r} has no number as its length, such as 10.0.0.0/8"
    return ""


def _ranges_or_all(value: str) -> str:
    return "" if value == "*" else _ranges(value)


def _count(value: str) -> str:
    good = value.isascii() and value.isdigit() and int(value) < 1 << 32
    return "" if good else f"{value!r} is no whole number"


#: As Go reads them.
_BOOLEANS: Final = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})


def _boolean(value: str) -> str:
    return "" if value in _BOOLEANS else f"{value!r} is neither true nor false"


#: As the Service's own field `trafficDistribution` has them; Istio reads the annotation in any case of letters.
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")


def _distribution(value: str) -> str:
    if value.lower() in map(str.lower, _DISTRIBUTIONS):
        return ""
    return f"{value!r} has no effect: it is none of {', '.join(_DISTRIBUTIONS)}"


_DURATION: Final = re.compile(r"-?(\d+(\.\d*)?(h|m|s|ms|us|ns))+")


def _is_whole(value: object) -> bool:
    """As in Istio's JSON, where a number may stand in quotes."""
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit()


def _one_of(*words: object) -> tuple[Callable[[object], bool], str]:
    shown = ", ".join(word for word in words if isinstance(word, str))
    # By their numbers too; True is not one.
    return lambda value: not isinstance(value, bool) and value in words, f"is none of {shown}"


_Kind = tuple[Callable[[object], bool], str]
_WHOLE: Final[_Kind] = _is_whole, "is no whole number"
_PORT: Final[_Kind] = lambda value: _is_whole(value) and int(str(value)) <= 0xFFFF, "is no port"
_PERIOD: Final[_Kind] = (
    lambda value: isinstance(value, str) and _DURATION.fullmatch(value) is not None,
    "is no duration such as 5s",
)
_TEXT: Final[_Kind] = lambda value: isinstance(value, str), "is no text; put it in quotes"
_TRUTH: Final[_Kind] = lambda value: isinstance(value, bool), "is neither true nor false"
_MAP: Final[_Kind] = lambda value: isinstance(value, dict), "is no map"
_TEXTS: Final[_Kind] = (
    lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "is no list of texts",
)
_TEXT_MAP: Final[_Kind] = (
    lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values()),
    "is no map of texts; put the values in quotes",
)
_ADDRESS: Final[_Kind] = lambda value: isinstance(value, str) and (not value or is_host_port(value)), "is not HOST:PORT"
#: What the fields of Istio's ProxyConfig are; Istio passes over others.
_FIELDS: Final[dict[str, _Kind]] = {
    **dict.fromkeys(
        ("drainDuration", "terminationDrainDuration", "fileFlushInterval", "discoveryRefreshDelay"), _PERIOD
    ),
    **dict.fromkeys(("concurrency", "statNameLength", "fileFlushMinSizeKb"), _WHOLE),
    **dict.fromkeys(("statusPort", "proxyAdminPort"), _PORT),
    **dict.fromkeys(
        ("configPath", "binaryPath", "serviceCluster", "customConfigFile", "proxyBootstrapTemplatePath", "meshId"),
        _TEXT,
    ),
    **dict.fromkeys(("discoveryAddress", "statsdUdpAddress"), _ADDRESS),
    **dict.fromkeys(("proxyMetadata", "runtimeValues"), _TEXT_MAP),
    **dict.fromkeys(("extraStatTags", "caCertificatesPem"), _TEXTS),
    **dict.fromkeys(
        (
            "tracing", "sds", "envoyAccessLogService", "envoyMetricsService", "gatewayTopology", "readinessProbe",
            "proxyStatsMatcher", "image", "privateKeyProvider", "proxyHeaders",
        ),
        _MAP,
    ),
    "holdApplicationUntilProxyStarts": _TRUTH,
    "controlPlaneAuthPolicy": _one_of("NONE", "MUTUAL_TLS", 0, 1),
    "interceptionMode": _one_of("REDIRECT", "TPROXY", "NONE", 0, 1, 2),
}  # fmt: skip


def _proxy_config(value: str) -> str:
    """Istio: it must be a map of known types."""
    reading = read_yaml(value)
    if reading.problems:
        return f"no YAML: {reading.problems[0].message}"
    config = reading.documents[0].value if reading.documents else {}
    if not isinstance(config, dict):
        return "must be a map, such as {holdApplicationUntilProxyStarts: true}"
    for name, content in config.items():
        holds, what = _FIELDS.get(name, (None, ""))
        if holds is not None and content is not None and not holds(content):
            return f"{name}: {content!r} {what}"
    return ""


_VALUES: Final[dict[str, Callable[[str], str]]] = {
    "sidecar.istio.io/interceptionMode": _interception_mode,
    "status.sidecar.istio.io/port": _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _count,
    "readiness.status.sidecar.istio.io/periodSeconds": _count,
    "readiness.status.sidecar.istio.io/failureThreshold": _count,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _ranges_or_all,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _ranges,
    "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
    "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _boolean,
    "proxy.istio.io/config": _proxy_config,
    "networking.istio.io/traffic-distribution": _distribution,
}
_SUBJECTS: Final = (NAMESPACE, SERVICE, POD, DEPLOYMENT)

USUAL: Final = Analyzer(
    name="annotations.K8sAnalyzer",
    messages=(UNKNOWN_ANNOTATION, DEPRECATED_ANNOTATION, MISPLACED_ANNOTATION, INVALID_ANNOTATION),
    subjects=_SUBJECTS,
    check=_check,
)
ANALYZERS: Final = (
    USUAL,
    # Istio leaves it out too: most annotations are of alpha quality, and have been for years.
    Analyzer(
        name="annotations.AlphaAnalyzer",
        messages=(ALPHA_ANNOTATION,),
        subjects=_SUBJECTS,
        check=_check_quality,
        usual=False,
    ),
)
