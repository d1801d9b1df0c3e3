"""Constraints of CRD schemas: required fields, enums, patterns, bounds and one-of groups.

Types and unknown fields are `decode`'s part; a value of the wrong type is passed over here.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import (
    TOO_LONG,
    TOO_MANY,
    FieldError,
    child,
    duplicate,
    invalid,
    item,
    not_supported,
    required,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(schema: Mapping[str, Any], value: Any, path: str = "") -> list[FieldError]:
    """Faults of a value by the constraints of its schema."""
    if value is None:
        return []
    found = [] if _GROUPS.isdisjoint(schema) else _group_faults(schema, value, path)
    if isinstance(value, dict):
        found += _object(schema, value, path)
    elif isinstance(value, list):
        found += _list(schema, value, path)
    elif isinstance(value, str):
        found += _string(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found += _number(schema, value, path)
    if "enum" in schema and isinstance(value, str | int | bool) and value not in schema["enum"]:
        found.append(not_supported(path, value, schema["enum"]))
    return found


def _object(schema: Mapping[str, Any], value: dict[str, Any], path: str) -> list[FieldError]:
    found = [required(child(path, name)) for name in schema.get("required", ()) if value.get(name) is None]
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        declared = properties.get(name, extra)
        if isinstance(declared, dict):
            found += check(declared, inner, child(path, name))
    least, most = schema.get("minProperties", 0), schema.get("maxProperties")
    if len(value) < least:
        found.append(invalid(path, len(value), f"must have at least {least} entries"))
    if most is not None and len(value) > most:
        message = f"Too many: {len(value)}: must have at most {most} items"
        found.append(FieldError(path=path, message=message, reason=TOO_MANY))
    return found


def _list(schema: Mapping[str, Any], value: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    inner = schema.get("items")
    if isinstance(inner, dict):
        for index, entry in enumerate(value):
            found += check(inner, entry, item(path, index))
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < least:
        what = "1 item" if least == 1 else f"{least} items"
        found.append(invalid(path, len(value), f"must have at least {what}"))
    if most is not None and len(value) > most:
        message = f"Too many: {len(value)}: must have at most {most} items"
        found.append(FieldError(path=path, message=message, reason=TOO_MANY))
    if keys := schema.get("x-kubernetes-list-map-keys"):
        found += _unique(value, keys, path)
    return found


def _unique(value: list[Any], keys: list[str], path: str) -> list[FieldError]:
    seen: set[str] = set()
    found: list[FieldError] = []
    for index, entry in enumerate(value):
        if isinstance(entry, dict):
            identity = {name: entry.get(name) for name in keys}
            known = json.dumps(identity, sort_keys=True)
            if known in seen:
                found.append(duplicate(item(path, index), identity))
            seen.add(known)
    return found


def _string(schema: Mapping[str, Any], value: str, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    pattern = schema.get("pattern")
    if pattern is not None and not _pattern(pattern).search(value):
        found.append(invalid(path, value, f"must match the pattern {pattern}"))
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < least:
        what = "not be empty" if least == 1 else f"have at least {least} characters"
        found.append(invalid(path, value, f"must {what}"))
    if most is not None and len(value) > most:
        message = f"Too long: may not be more than {most} characters, has {len(value)}"
        found.append(FieldError(path=path, message=message, reason=TOO_LONG))
    return found


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    """Go's `$` is the very end of the text; Python's also matches before a last newline."""
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", text))


def _number(schema: Mapping[str, Any], value: float, path: str) -> list[FieldError]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and value < least:
        return [invalid(path, value, f"must be greater than or equal to {least}")]
    if most is not None and value > most:
        return [invalid(path, value, f"must be less than or equal to {most}")]
    return []


def _group_faults(schema: Mapping[str, Any], value: Any, path: str) -> list[FieldError]:
    """allOf, anyOf, oneOf and not: how Istio's schemas say "at most one of these fields"."""
    found = [fault for part in schema.get("allOf", ()) for fault in _group_faults(part, value, path)]
    plain = ({key: inner for key, inner in part.items() if key not in _GROUPS} for part in schema.get("allOf", ()))
    found += [invalid(path, value, "breaks a constraint of its schema") for part in plain if not _holds(part, value)]
    if (one := schema.get("oneOf")) and sum(_holds(part, value) for part in one) != 1:
        found.append(_one_of_fault(one, value, path))
    if (some := schema.get("anyOf")) and not any(_holds(part, value) for part in some):
        names = " or ".join(_required_names(some)) or "one of the forms its schema allows"
        found.append(invalid(path, value, f"must have {names}"))
    if "not" in schema and _holds(schema["not"], value):
        names = " or ".join(_required_names([schema["not"]]))
        found.append(invalid(path, value, f"may not have {names}" if names else "breaks a constraint of its schema"))
    return found


_GROUPS = frozenset({"allOf", "anyOf", "oneOf", "not"})


def _one_of_fault(parts: list[Mapping[str, Any]], value: Any, path: str) -> FieldError:
    names = _required_names(parts)
    optional = any("not" in part for part in parts)
    present = [name for name in names if isinstance(value, dict) and name in value]
    choice = ", ".join(names)
    if len(present) > 1:
        return invalid(path, value, f"may have only one of {choice}; has {', '.join(present)}")
    how = "may have only one" if optional else "must have exactly one"
    return invalid(path, value, f"{how} of {choice}")


def _required_names(parts: list[Mapping[str, Any]]) -> list[str]:
    names: list[str] = []
    for part in parts:
        for name in (*part.get("required", ()), *_required_names(part.get("anyOf", []))):
            if name not in names:
                names.append(name)
        if "not" in part:
            names += [name for name in _required_names([part["not"]]) if name not in names]
    return names


def _holds(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value breaks nothing; of the forms by which Istio says "one of these fields" without any words."""
    if isinstance(value, dict) and len(schema) == 1:
        match schema:
            case {"required": names}:
                return all(value.get(name) is not None for name in names)
            case {"not": inner}:
                return not _holds(inner, value)
            case {"anyOf": parts}:
                return any(_holds(part, value) for part in parts)
    return not check(schema, value)
