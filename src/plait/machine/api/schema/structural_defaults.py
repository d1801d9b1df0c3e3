"""Defaults that the schema of a custom resource declares. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.machine.api.schema.normal import copied

Json = Mapping[str, Any]


def pruned(schema: Json) -> Json | None:
    """What of a schema `fill` has to look at: the ways to defaults, and nothing else; None where there are none."""
    kept: dict[str, Any] = {}
    properties = schema.get("properties")
    named = properties if isinstance(properties, Mapping) else {}
    inner = {name: found for name, each in named.items() if (found := pruned(each)) is not None}
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping) and (found := pruned(extra)) is not None:
        # Which names are declared decides what the others are.
        kept["additionalProperties"], inner = found, {name: inner.get(name, {}) for name in named}
    if inner:
        kept["properties"] = inner
    if isinstance(items := schema.get("items"), Mapping) and (found := pruned(items)) is not None:
        kept["items"] = found
    if not kept and "default" not in schema:
        return None
    return kept | {name: schema[name] for name in ("default", "nullable") if name in schema}


def fill(schema: Json, value: Any) -> None:
    """Fill in, in place, what is absent and has a default; a null where null is not allowed counts as absent."""
    if isinstance(value, dict):
        properties = schema.get("properties")
        for name, inner in (properties if isinstance(properties, Mapping) else {}).items():
            absent = name not in value or (value[name] is None and not inner.get("nullable"))
            if absent and "default" in inner:
                value[name] = copied(inner["default"])
            if name in value:
                fill(inner, value[name])
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping):
            for name, inner in value.items():
                if not isinstance(properties, Mapping) or name not in properties:
                    fill(extra, inner)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for entry in value:
            fill(schema["items"], entry)
