"""One stored object, several versions: most differ in `apiVersion` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.normal import copied

if TYPE_CHECKING:
    from plait.machine.api.schema.kinds import ServedKind


def to_storage(kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
    """A copy in the stored version.

    A Deployment of an old group gets the selector it did not have to name (its template's labels) and loses rollbackTo;
    its other defaults are those of apps/v1.
    """
    given = obj.get("apiVersion")
    made: dict[str, Any] = copied(obj)
    made["apiVersion"] = kind.api_version
    if kind.kind == "Deployment" and given != kind.api_version:
        spec = made.get("spec")
        if isinstance(spec, dict):
            spec.pop("rollbackTo", None)
            labels = _template_labels(spec)
            if not spec.get("selector") and labels:
                spec["selector"] = {"matchLabels": dict(labels)}
    return made


def to_version(kind: ServedKind, obj: dict[str, Any], api_version: str) -> dict[str, Any]:
    """A stored object as a client of another version sees it (a shallow copy)."""
    return obj if api_version == kind.api_version else {**obj, "apiVersion": api_version}


def _template_labels(spec: dict[str, Any]) -> dict[str, Any]:
    value: Any = spec
    for name in ("template", "metadata", "labels"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
