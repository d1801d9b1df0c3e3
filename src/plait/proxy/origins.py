"""Which user object a route or cluster comes from, as its metadata says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ISTIO_PLURALS = {"virtual-service": "VirtualService", "destination-rule": "DestinationRule"}
_ISTIO_PARTS = 8


def origin(item: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and `name.namespace`; empty when the metadata names nothing.

    plait writes `filter_metadata.plait.origin` = `Kind/namespace/name path`; what Istio writes
    (`filter_metadata.istio.config`) is understood too.
    """
    metadata = (item.get("metadata") or {}).get("filter_metadata") or {}
    kind, _, rest = str((metadata.get("plait") or {}).get("origin") or "").partition("/")
    namespace, _, name = rest.partition(" ")[0].partition("/")
    if kind and name:
        return kind, f"{name}.{namespace}" if namespace else name
    parts = str((metadata.get("istio") or {}).get("config") or "").split("/")
    if len(parts) == _ISTIO_PARTS:
        return _ISTIO_PLURALS.get(parts[6], parts[6]), f"{parts[7]}.{parts[5]}"
    return "", ""


def made_by(item: Mapping[str, Any], kind: str) -> str:
    """`name.namespace` of the object of this kind that the item comes from, else empty."""
    found, name = origin(item)
    return name if found == kind else ""
