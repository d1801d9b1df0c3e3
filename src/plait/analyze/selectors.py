"""Label selectors: as maps of equalities, and in Kubernetes' longer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.analyze.fields import labels, mappings, text, texts


def selects(selector: Mapping[str, str], carried: Mapping[str, str]) -> bool:
    """Whether every label of `selector` is carried; an empty selector selects everything."""
    return all(carried.get(name) == value for name, value in selector.items())


def selector_text(selector: Mapping[str, str]) -> str:
    """`app=web,version=v1`, in order."""
    return ",".join(f"{name}={selector[name]}" for name in sorted(selector))


def label_selector_holds(selector: Any, carried: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) holds; a missing one always does."""
    if not isinstance(selector, dict):
        return True
    if not selects(labels(selector, "matchLabels"), carried):
        return False
    return all(_expression_holds(expression, carried) for _, expression in mappings(selector, "matchExpressions"))


def _expression_holds(expression: dict[str, Any], carried: Mapping[str, str]) -> bool:
    name, values = text(expression, "key"), texts(expression, "values")
    match text(expression, "operator"):
        case "In":
            return carried.get(name) in values
        case "NotIn":
            return name not in carried or carried[name] not in values
        case "Exists":
            return name in carried
        case "DoesNotExist":
            return name not in carried
    return False
