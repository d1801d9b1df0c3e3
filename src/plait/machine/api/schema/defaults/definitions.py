"""Defaults of CustomResourceDefinitions."""

from __future__ import annotations

from typing import Any

from plait.machine.api.schema.defaults.setting import put, section


def default_definition(definition: dict[str, Any]) -> None:
    """Names that follow from the kind, and no conversion."""
    spec = section(definition, "spec")
    names = section(spec, "names")
    if isinstance(kind := names.get("kind"), str) and kind:
        put(names, singular=kind.lower(), listKind=f"{kind}List")
    put(section(spec, "conversion"), strategy="None")
