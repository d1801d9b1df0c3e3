"""Forms of Istio's API that are on their way out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import at, mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import CRD, SIDECAR, VIRTUAL_SERVICE
from plait.analyze.messages import DEPRECATED
from plait.analyze.world import Item, World

#: Kinds that Istio has removed, by group and name, and what is written today.
_REMOVED: Final = {
    ("rbac.istio.io", "ClusterRbacConfig"): "AuthorizationPolicy",
    ("rbac.istio.io", "RbacConfig"): "AuthorizationPolicy",
    ("rbac.istio.io", "ServiceRole"): "AuthorizationPolicy",
    ("rbac.istio.io", "ServiceRoleBinding"): "AuthorizationPolicy",
}


def _check(_world: World, item: Item) -> Iterator[Finding]:
    if item.kind == VIRTUAL_SERVICE:
        for index, route in mappings(item.spec, "http"):
            if number(route, "fault", "delay", "percent") > 0:
                path = f"spec.http[{index}].fault.delay.percent"
                detail = "percent is deprecated, and has whole numbers only"
                value = at(route, "fault", "delay", "percent")
                yield found(DEPRECATED, item, path, fix=f"percentage: {{value: {value}}}", value=value, detail=detail)
    elif item.kind == SIDECAR:
        if isinstance(at(item.spec, "outboundTrafficPolicy", "egressProxy"), dict):
            detail = "egressProxy is deprecated by Istio, which may ignore it; plait does as it says"
            yield found(DEPRECATED, item, "spec.outboundTrafficPolicy.egressProxy", detail=detail)
    else:
        names = mapping(item.spec, "names")
        today = _REMOVED.get((text(item.spec, "group"), text(names, "kind")))
        if today:
            detail = f"Istio has removed the kind {text(names, 'kind')}: its objects have no effect"
            yield found(DEPRECATED, item, "spec.names.kind", fix=today, detail=detail)


ANALYZERS: Final = (
    Analyzer(
        name="deprecation.DeprecationAnalyzer",
        messages=(DEPRECATED,),
        subjects=(VIRTUAL_SERVICE, SIDECAR, CRD),
        check=_check,
    ),
)
