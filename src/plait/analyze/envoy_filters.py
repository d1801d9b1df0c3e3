"""EnvoyFilters whose patches find nothing to act on, or only sometimes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import at, mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import ENVOY_FILTER
from plait.analyze.messages import (
    ADD_INCORRECTLY,
    RELATIVE_OPERATION,
    RELATIVE_WITH_VERSION,
    REMOVE_INCORRECTLY,
    REPLACE_INCORRECTLY,
)
from plait.analyze.world import Item, World

_ROUTES: Final = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
_REPLACEABLE: Final = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"})
_FIX: Final = "spec.priority: 10, or INSERT_FIRST or ADD"


def _check(world: World, item: Item) -> Iterator[Finding]:
    tied = world.derived("versioned-filters", (ENVOY_FILTER,), lambda: _versioned(world))
    for index, patch in mappings(item.spec, "configPatches"):
        if not isinstance(patch.get("patch"), dict):
            # Istio stops here: what follows an empty patch is not looked at.
            break
        path = f"spec.configPatches[{index}].patch.operation"
        operation, target = text(patch, "patch", "operation"), text(patch, "applyTo")
        match operation:
            case "ADD" if target in _ROUTES:
                yield found(ADD_INCORRECTLY, item, path, fix="MERGE", apply_to=target)
            case "REMOVE" if target in _ROUTES:
                yield found(REMOVE_INCORRECTLY, item, path, fix="MERGE", apply_to=target)
            case "REPLACE" if target not in _REPLACEABLE:
                yield found(REPLACE_INCORRECTLY, item, path, fix="MERGE", apply_to=target or "nothing")
            case "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" if not number(item.spec, "priority"):
                name = _instance(patch)
                if (item, index) in tied:
                    yield found(
                        RELATIVE_WITH_VERSION, item, path, fix=_FIX, operation=operation, filter=name or "a part"
                    )
                else:
                    yield found(RELATIVE_OPERATION, item, path, fix=_FIX, operation=operation)


def _instance(patch: dict[str, Any]) -> str:
    """The filter that a patch is about: the one it brings, else the one it looks for."""
    value = at(patch, "patch", "value")
    if not isinstance(value, dict) or not value:
        return ""
    name = value.get("name")
    return str(name) if name is not None else text(mapping(patch, "match", "listener", "filterChain", "filter"), "name")


def _versioned(world: World) -> frozenset[tuple[Item, int]]:
    """Patches that come after one which brings the same filter, but for one proxyVersion only. Istio: in the order
    in which the objects are read; here that of their names, so that equal input gives equal findings.
    """
    names: set[str] = set()
    tied: set[tuple[Item, int]] = set()
    for item in sorted(world.all(ENVOY_FILTER), key=lambda item: item.key):
        for index, patch in mappings(item.spec, "configPatches"):
            if not isinstance(patch.get("patch"), dict):
                break
            name = _instance(patch)
            if name in names:
                tied.add((item, index))
            if text(patch, "match", "proxy", "proxyVersion"):
                names.add(name)
    return frozenset(tied)


ANALYZERS: Final = (
    Analyzer(
        name="envoyfilter.EnvoyPatchAnalyzer",
        messages=(
            RELATIVE_OPERATION,
            REPLACE_INCORRECTLY,
            ADD_INCORRECTLY,
            REMOVE_INCORRECTLY,
            RELATIVE_WITH_VERSION,
        ),
        subjects=(ENVOY_FILTER,),
        check=_check,
    ),
)
