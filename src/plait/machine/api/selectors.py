"""Label and field selectors, as they stand in query parameters and in `spec.selector`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from plait.machine.api.errors import bad_request
from plait.machine.api.objects import at_path

Predicate = Callable[[dict[str, Any]], bool]

_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<absent>!)\s*(?P<absent_key>[^\s,=!()<>]+)"
    r"|(?P<key>[^\s,=!()<>]+)\s*(?:"
    r"(?P<op>==|=|!=)\s*(?P<value>[^\s,=!()<>]*)"
    r"|(?P<cmp>[<>])\s*(?P<number>-?\d+)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r")?"
    r")\s*(?:,|$)"
)


def parse_labels(text: str) -> Predicate | None:
    """A test on objects for `a=b,c!=d,e in (f,g),h,!i,j>1`; None for an empty selector. Raises 400 if malformed."""
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        found = _REQUIREMENT.match(text, at)
        if not found:
            raise bad_request(f"unable to parse requirement: found {text[at:]!r} in label selector {text!r}")
        tests.append(_label_test(found))
        at = found.end()
    if not tests:
        return None
    return lambda obj: all(test(at_path(obj, "metadata", "labels", default={})) for test in tests)


def _label_test(found: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    if found["absent"]:
        key = found["absent_key"]
        return lambda labels: key not in labels
    key = found["key"]
    if found["op"]:
        value = found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found["cmp"]:
        bound, above = int(found["number"]), found["cmp"] == ">"
        return lambda labels: _compares(labels.get(key), bound, above=above)
    if found["set"]:
        values = {item.strip() for item in found["values"].split(",")}
        if found["set"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    return lambda labels: key in labels


def _compares(value: str | None, bound: int, *, above: bool) -> bool:
    if value is None or not re.fullmatch(r"-?\d+", value):
        return False
    return int(value) > bound if above else int(value) < bound


def parse_fields(text: str) -> Predicate | None:
    """A test on objects for `metadata.name=x,status.phase!=Failed`: any dotted path, a missing value being empty."""
    tests: list[tuple[tuple[str, ...], str, bool]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        path, sign, value = _split_field(part.strip(), text)
        tests.append((tuple(path.removeprefix(".").split(".")), value, sign == "!="))
    if not tests:
        return None

    def matches(obj: dict[str, Any]) -> bool:
        return all((_text(at_path(obj, *path)) == value) is not negated for path, value, negated in tests)

    return matches


def field_paths(text: str) -> list[str]:
    """The fields that a field selector names; raises 400 if it is malformed."""
    return [_split_field(part.strip(), text)[0].removeprefix(".") for part in text.split(",") if part.strip()]


def _split_field(part: str, whole: str) -> tuple[str, str, str]:
    for sign in ("!=", "==", "="):
        path, found, value = part.partition(sign)
        if found:
            return path, sign, re.sub(r"\\([,=\\])", r"\1", value)
    raise bad_request(f"invalid selector: {whole!r}; can't understand {part!r}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector object in query form, sorted: what `status.selector` of a Scale and wide tables show."""
    parts = [f"{key}={value}" for key, value in sorted((selector or {}).get("matchLabels", {}).items())]
    for item in (selector or {}).get("matchExpressions", []):
        key, operator, values = item.get("key", ""), item.get("operator"), sorted(item.get("values", []))
        match operator:
            case "In" | "NotIn":
                parts.append(f"{key} {operator.lower()} ({','.join(values)})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)
