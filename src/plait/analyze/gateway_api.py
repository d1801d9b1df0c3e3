"""The Gateway API beside Istio's: selectors that do not count there, definitions that are too old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels
from plait.analyze.finding import Finding
from plait.analyze.kinds import AUTHORIZATION_POLICY, CRD, REQUEST_AUTHENTICATION, TELEMETRY, WASM_PLUGIN
from plait.analyze.messages import GATEWAY_API_TOO_OLD, INEFFECTIVE_SELECTOR
from plait.analyze.pods import pods_selected
from plait.analyze.world import Item, World

_GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"


def _check_selector(world: World, item: Item) -> Iterator[Finding]:
    if isinstance(item.spec.get("targetRef"), dict) or not isinstance(item.spec.get("selector"), dict):
        return
    selector = labels(item.spec, "selector", "matchLabels")
    for pod in pods_selected(world, selector, item.namespace):
        gateway = pod.labels.get(_GATEWAY_NAME)
        if gateway is not None:
            fix = f"targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {gateway}}}]"
            yield found(INEFFECTIVE_SELECTOR, item, "spec.selector", fix=fix, value=selector, gateway=gateway)


#: Istio does not read objects of these definitions when their bundle is older.
_MINIMUM: Final = {
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
}
_BUNDLE: Final = "gateway.networking.k8s.io/bundle-version"
_VERSION: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+].*)?")


def _check_version(_world: World, item: Item) -> Iterator[Finding]:
    minimum = _MINIMUM.get(item.name)
    installed = item.annotations.get(_BUNDLE, "")
    read = _VERSION.fullmatch(installed)
    if minimum is None or read is None:
        return
    if tuple(int(part or 0) for part in read.groups()) < minimum:
        wanted = ".".join(map(str, minimum))
        path = f"metadata.annotations.{_BUNDLE}"
        yield found(
            GATEWAY_API_TOO_OLD, item, path, value=installed, name=item.name, installed=installed, minimum=wanted
        )


ANALYZERS: Final = (
    Analyzer(
        name="k8sgateway.SelectorAnalyzer",
        messages=(INEFFECTIVE_SELECTOR,),
        subjects=(AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION, TELEMETRY, WASM_PLUGIN),
        check=_check_selector,
    ),
    Analyzer(
        name="k8sgateway.CRDVersionAnalyzer", messages=(GATEWAY_API_TOO_OLD,), subjects=(CRD,), check=_check_version
    ),
)
