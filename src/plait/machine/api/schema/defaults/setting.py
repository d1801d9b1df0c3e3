"""Setting defaults in JSON objects whose shape is not yet checked."""

from __future__ import annotations

from typing import Any


def put(obj: dict[str, Any], **values: Any) -> None:
    """Set each field that is absent, empty text or an empty object."""
    for name, value in values.items():
        if obj.get(name) is None or obj[name] in ("", {}):
            obj[name] = value


def put_number(obj: dict[str, Any], **values: int) -> None:
    """Set each field that is absent or zero: for numbers whose zero means unset."""
    for name, value in values.items():
        if not obj.get(name):
            obj[name] = value


def section(obj: dict[str, Any], name: str) -> dict[str, Any]:
    """The object at a field, made if absent; a detached one if something else is there."""
    if obj.get(name) is None:
        obj[name] = {}
    inner = obj[name]
    return inner if isinstance(inner, dict) else {}


def part(obj: Any, *names: str) -> dict[str, Any]:
    """The object at a path, or an empty detached one."""
    for name in names:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj if isinstance(obj, dict) else {}


def entries(obj: Any, name: str) -> list[dict[str, Any]]:
    """The objects in the list at a field."""
    value = obj.get(name) if isinstance(obj, dict) else None
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
