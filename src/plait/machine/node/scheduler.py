"""Which pods belong on the one node: all that do not ask for another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _number(value) > _number(values[0]),
    "Lt": lambda value, values: _number(value) < _number(values[0]),
}


def refusal(spec: Mapping[str, Any], labels: Mapping[str, str], *, name: str) -> str | None:
    """Why a pod cannot run on the node, in the scheduler's words; None where it can."""
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    selector = spec.get("nodeSelector") or {}
    terms = affinity.get("nodeSelectorTerms") or ()
    fits = all(labels.get(key) == value for key, value in selector.items())
    if fits and (not terms or any(_matches(term, labels, name) for term in terms)):
        return None
    return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


def _matches(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    by_label = (_fits(rule, labels.get(rule["key"])) for rule in term.get("matchExpressions") or ())
    by_field = (_fits(rule, name) for rule in term.get("matchFields") or ())
    return all(by_label) and all(by_field)


def _fits(rule: Mapping[str, Any], value: str | None) -> bool:
    operator = _OPERATORS.get(rule.get("operator", ""))
    return bool(operator and operator(value, rule.get("values") or [""]))


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
