"""Where each piece of configuration came from, inside it: `filter_metadata.plait.origin`.

Access logs (`%METADATA(ROUTE:plait:origin)%`), explain, the console and the attribution of refusals read it.
"""

from __future__ import annotations

from typing import Final

from envoy.config.core.v3.base_pb2 import Metadata

from plait.mesh.origin import Origin

NAMESPACE: Final = "plait"
"""The metadata namespace of everything plait writes for itself."""


def origin_metadata(origin: Origin | None, **more: str) -> Metadata:
    """Metadata that names `origin`, and other facts beside it."""
    metadata = Metadata()
    fields = {**({"origin": str(origin)} if origin is not None else {}), **more}
    if fields:
        metadata.filter_metadata[NAMESPACE].update(fields)
    return metadata


def origin_of(metadata: Metadata) -> Origin | None:
    """The origin that `metadata` names."""
    if NAMESPACE not in metadata.filter_metadata:
        return None
    fields = metadata.filter_metadata[NAMESPACE].fields
    return Origin.parse(fields["origin"].string_value) if "origin" in fields else None
