"""What objects say of themselves: conditions that are false where true is what one wants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import mappings, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import (
    AUTHORIZATION_POLICY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    KUBERNETES_GATEWAY,
    SERVICE,
    SERVICE_ENTRY,
    Kind,
)
from plait.analyze.messages import NEGATIVE_CONDITION
from plait.analyze.world import Item, World

_OF_GATEWAY_API: Final = frozenset({"Accepted", "Programmed", "ResolvedRefs"})
_OF_WAYPOINT: Final = frozenset({"istio.io/WaypointBound"})
_WANTED: Final[dict[Kind, frozenset[str]]] = {
    SERVICE: _OF_WAYPOINT,
    SERVICE_ENTRY: _OF_WAYPOINT,
    AUTHORIZATION_POLICY: frozenset({"ZtunnelAccepted", "WaypointAccepted"}),
    KUBERNETES_GATEWAY: _OF_GATEWAY_API,
    HTTP_ROUTE: _OF_GATEWAY_API,
    GRPC_ROUTE: _OF_GATEWAY_API,
}


def _check(_world: World, item: Item) -> Iterator[Finding]:
    wanted = _WANTED[item.kind]
    status = item.obj.get("status")
    places = [("status", status)]
    if item.kind in {HTTP_ROUTE, GRPC_ROUTE}:
        # A route is judged by each Gateway it is attached to.
        places = [(f"status.parents[{index}]", parent) for index, parent in mappings(status, "parents")]
    for path, place in places:
        for index, condition in mappings(place, "conditions"):
            kind, reason = text(condition, "type"), text(condition, "reason")
            # Istio sets this one to true, though some targets of the policy were not accepted.
            partly = item.kind == AUTHORIZATION_POLICY and (kind, reason) == ("WaypointAccepted", "PartiallyInvalid")
            if partly or (kind in wanted and text(condition, "status") == "False"):
                detail = text(condition, "message")
                yield found(
                    NEGATIVE_CONDITION, item, f"{path}.conditions[{index}]", type=kind, reason=reason, detail=detail
                )


ANALYZERS: Final = (
    Analyzer(
        name="conditions.ConditionAnalyzer", messages=(NEGATIVE_CONDITION,), subjects=tuple(_WANTED), check=_check
    ),
)
