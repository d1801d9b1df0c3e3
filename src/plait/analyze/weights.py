"""Weights: shares of nothing, and shares that are not percentages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import mappings, number, sequence, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import WEIGHT_TO_NOWHERE, WEIGHTS_NOT_HUNDRED
from plait.analyze.world import Item, World

_PERCENT: Final = 100


def _check(_world: World, item: Item) -> Iterator[Finding]:
    for protocol in ("http", "tcp", "tls"):
        for index, rule in mappings(item.spec, protocol):
            yield from _rule(item, f"spec.{protocol}[{index}].route", list(mappings(rule, "route")))


def _rule(item: Item, path: str, routes: list[tuple[int, dict[str, Any]]]) -> Iterator[Finding]:
    weights = [number(route, "weight") for _, route in routes]
    written = ["weight" in route for _, route in routes]
    if len(routes) < 2 or not any(written) or not any(weights):
        # One destination gets everything; that none gets anything is refused.
        return
    total = sum(weights)
    for (index, route), weight in zip(routes, weights, strict=True):
        if weight == 0:
            shown = text(route, "destination", "host") + _subset(route)
            how = "weight is 0" if "weight" in route else "it has no weight beside others that have"
            yield found(
                WEIGHT_TO_NOWHERE,
                item,
                f"{path}[{index}].weight",
                fix="a weight, or without this destination",
                detail=f"{shown} gets nothing: {how}",
            )
    if total != _PERCENT and sequence(item.spec, "hosts"):
        yield found(WEIGHTS_NOT_HUNDRED, item, path, fix="weights that add up to 100", value=weights, total=total)


def _subset(route: dict[str, Any]) -> str:
    subset = text(route, "destination", "subset")
    return f" subset {subset}" if subset else ""


ANALYZERS: Final = (
    Analyzer(
        name="plait.Weights",
        messages=(WEIGHT_TO_NOWHERE, WEIGHTS_NOT_HUNDRED),
        subjects=(VIRTUAL_SERVICE,),
        check=_check,
    ),
)
