"""Istio's annotations: where each belongs, and what has become of it (istio/api's list, in tabular form)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Annotation:
    """`places` are the kinds it has a meaning on; `Any` stands for all."""

    places: tuple[str, ...]
    alpha: bool = True
    deprecated: bool = False


_POD: Final = ("Pod",)
_SIDECAR: Final = "sidecar.istio.io/"
_TRAFFIC: Final = "traffic.sidecar.istio.io/"
_READINESS: Final = "readiness.status.sidecar.istio.io/"


def _of_pods(prefix: str, *names: str, deprecated: bool = False) -> dict[str, Annotation]:
    return {prefix + name: Annotation(_POD, deprecated=deprecated) for name in names}


def _on(places: tuple[str, ...], *names: str, deprecated: bool = False) -> dict[str, Annotation]:
    return {name: Annotation(places, deprecated=deprecated) for name in names}


ANNOTATIONS: Final[dict[str, Annotation]] = {
    **_of_pods(
        _SIDECAR,
        "status",
        "proxyImage",
        "proxyImageType",
        "proxyCPU",
        "proxyCPULimit",
        "proxyMemory",
        "proxyMemoryLimit",
        "interceptionMode",
        "bootstrapOverride",
        "rewriteAppHTTPProbers",
        "statsHistogramBuckets",
        "statsHistogramBins",
        "statsFlushInterval",
        "statsEvictionInterval",
        "statsCompression",
        "userVolume",
        "userVolumeMount",
        "logLevel",
        "componentLogLevel",
        "agentLogLevel",
        "nativeSidecar",
        "enableCoreDump",
    ),
    **_of_pods(
        _SIDECAR,
        "discoveryAddress",
        "extraStatTags",
        "statsInclusionPrefixes",
        "statsInclusionSuffixes",
        "statsInclusionRegexps",
        deprecated=True,
    ),
    _SIDECAR + "inject": Annotation(_POD, alpha=False, deprecated=True),
    **_of_pods(
        _TRAFFIC,
        "includeOutboundIPRanges",
        "excludeOutboundIPRanges",
        "includeInboundPorts",
        "excludeInboundPorts",
        "includeOutboundPorts",
        "excludeOutboundPorts",
        "excludeInterfaces",
        "kubevirtInterfaces",
    ),
    **_of_pods(_READINESS, "initialDelaySeconds", "periodSeconds", "failureThreshold", "applicationPorts"),
    **_on(
        _POD,
        "status.sidecar.istio.io/port",
        "proxy.istio.io/overrides",
        "inject.istio.io/templates",
        "prometheus.istio.io/merge-metrics",
        "istio.io/rev",
        "istio.io/reroute-virtual-interfaces",
        "ambient.istio.io/bypass-inbound-capture",
        "ambient.istio.io/dns-capture",
    ),
    "proxy.istio.io/config": Annotation(_POD, alpha=False),
    "ambient.istio.io/redirection": Annotation(_POD, alpha=False),
    **_on(
        ("Service",),
        "alpha.istio.io/canonical-serviceaccounts",
        "alpha.istio.io/kubernetes-serviceaccounts",
        deprecated=True,
    ),
    **_on(_POD, "alpha.istio.io/identity", deprecated=True),
    **_on(("Service",), "networking.istio.io/exportTo"),
    "traffic.istio.io/nodeSelector": Annotation(("Service",), alpha=False),
    **_on(("Service", "ServiceEntry", "Namespace"), "networking.istio.io/traffic-distribution"),
    **_on(("Namespace", "Service", "ServiceEntry"), "istio.io/use-waypoint-canary-weight"),
    **_on(("Namespace",), "topology.istio.io/controlPlaneClusters"),
    **_on(
        ("Gateway",),
        "gateway.istio.io/name-override",
        "gateway.istio.io/service-account",
        "networking.istio.io/service-type",
        "networking.istio.io/address-type",
    ),
    **_on(("GatewayClass", "Gateway"), "ambient.istio.io/waypoint-inbound-binding"),
    **_on(
        ("WorkloadEntry",),
        "istio.io/autoRegistrationGroup",
        "istio.io/workloadController",
        "istio.io/connectedAt",
        "istio.io/disconnectedAt",
    ),
    **_on(("AuthorizationPolicy",), "istio.io/dry-run"),
    "kubernetes.io/ingress.class": Annotation(("Ingress",), alpha=False),
    **_on(
        ("Any",),
        "galley.istio.io/analyze-suppress",
        "gateway.istio.io/controller-version",
        "install.operator.istio.io/chart-owner",
        "install.operator.istio.io/owner-generation",
        "install.operator.istio.io/version",
    ),
}

#: Written by the control plane, not by people: nothing is said about them.
WRITTEN_BY_MACHINES: Final = frozenset(
    {_SIDECAR + "status", "gateway.istio.io/controller-version", "istio.io/rev", "ambient.istio.io/redirection"}
)

#: Set on every pod where a CNI plugin does the capture.
SET_BY_CNI: Final = frozenset(
    {
        _SIDECAR + "interceptionMode",
        _TRAFFIC + "includeInboundPorts",
        _TRAFFIC + "excludeInboundPorts",
        _TRAFFIC + "includeOutboundIPRanges",
    }
)


def is_istios(name: str) -> bool:
    """Whether an annotation is in Istio's name space; the class of an Ingress is documented with them."""
    return name == "kubernetes.io/ingress.class" or name.partition("/")[0].endswith("istio.io")
