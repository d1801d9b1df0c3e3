"""A user's partial container laid over the one that injection makes."""

from __future__ import annotations

from typing import Any

#: What identifies an item of a container's lists, as in Kubernetes' strategic merge.
_KEYS = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort"}


def overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the user's fields on top: maps are merged, known lists by their key, anything else is replaced."""
    result = dict(base)
    for field, value in changes.items():
        mine = base.get(field)
        if isinstance(mine, dict) and isinstance(value, dict):
            result[field] = overlay(mine, value)
        elif isinstance(mine, list) and isinstance(value, list) and field in _KEYS:
            result[field] = _by_key(mine, value, _KEYS[field])
        elif value is not None:
            result[field] = value
    return result


def _by_key(base: list[dict[str, Any]], changes: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    changed = {item.get(key): item for item in changes}
    kept = [changed.pop(item.get(key), item) for item in base]
    return [*kept, *(item for item in changes if item.get(key) in changed)]
