"""Reading and copying Kubernetes objects as JSON values. Stored objects are never changed: they are copied first."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def copy_json(value: Any) -> Any:
    """A deep copy of a JSON value; several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def without_nulls(value: Any) -> Any:
    """The value with null members of objects left out: Go reads null as unset."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def metadata(obj: Json) -> Json:
    """`metadata`, empty if it is missing or not an object."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Json) -> str:
    """`metadata.name`, or empty."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Json) -> str:
    """`metadata.namespace`, or empty."""
    return str(metadata(obj).get("namespace") or "")


def at_path(obj: Any, *path: str, default: Any = None) -> Any:
    """The value at a path of member names, or `default` where any step is missing."""
    for step in path:
        if not isinstance(obj, dict) or step not in obj:
            return default
        obj = obj[step]
    return obj


def put_path(obj: Json, path: tuple[str, ...], value: Any) -> Json:
    """The object with `value` at a path of member names, without it for None; what is on the way is copied."""
    name, *rest = path
    if rest:
        value = put_path(obj.get(name) or {}, tuple(rest), value)
    if value is None:
        return {key: item for key, item in obj.items() if key != name}
    return {**obj, name: value}
