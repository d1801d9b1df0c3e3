"""Objects and lists in the form the client asked for: plain, as Table, or metadata only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from plait.machine.api.objects import metadata
from plait.machine.api.tables.rows import cells, column_definitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.machine.api.negotiation import Accepted
    from plait.machine.api.registry import Resource
    from plait.machine.api.store import Entry

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """How one client wants objects of one resource. `include` is the Table parameter `includeObject`."""

    resource: Resource
    accepted: Accepted
    include: str = "Metadata"

    def one(self, obj: Json, *, now: float, columns: bool = True) -> bytes:
        """A single object."""
        match self.accepted.form:
            case "Table":
                meta = {"resourceVersion": metadata(obj).get("resourceVersion", "")}
                return msgspec.json.encode(self._table([obj], meta, now=now, columns=columns))
            case "PartialObjectMetadata":
                return msgspec.json.encode(self._partial(obj))
            case _:
                return msgspec.json.encode(self.resource.present(obj))

    def raw(self, entry: Entry, *, now: float, columns: bool = True) -> bytes:
        """A stored object; its bytes as they are, if they can be."""
        if self.accepted.form in {"Table", "PartialObjectMetadata"} or self.resource.converted:
            return self.one(entry.obj, now=now, columns=columns)
        return entry.raw

    def many(self, entries: Iterable[Entry], meta: Json, *, now: float) -> bytes:
        """A list with its metadata."""
        kind = self.resource.kind
        match self.accepted.form:
            case "Table":
                return msgspec.json.encode(self._table([entry.obj for entry in entries], meta, now=now, columns=True))
            case "PartialObjectMetadataList":
                items = [self._partial(entry.obj) for entry in entries]
                whole = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{self.accepted.version}"}
                return msgspec.json.encode({**whole, "metadata": meta, "items": items})
            case _:
                head = {"kind": kind.list_kind, "apiVersion": self.resource.api_version, "metadata": meta}
                parts = b",".join(self.raw(entry, now=now) for entry in entries)
                return msgspec.json.encode(head)[:-1] + b',"items":[' + parts + b"]}"

    def bookmark(self, version: int, annotations: dict[str, str]) -> bytes:
        """The object of a BOOKMARK event: nothing but a version."""
        meta: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        match self.accepted.form:
            case "PartialObjectMetadata":
                head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self.accepted.version}"}
            case "Table":
                row = {"cells": [], "object": self._partial({"metadata": meta})}
                return msgspec.json.encode({**self._table([], meta, now=0.0, columns=False), "rows": [row]})
            case _:
                head = {"kind": self.resource.kind.kind, "apiVersion": self.resource.api_version}
        return msgspec.json.encode({**head, "metadata": meta})

    def _partial(self, obj: Json) -> Json:
        version = self.accepted.version or "v1"
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": metadata(obj),
        }

    def _table(self, objects: list[Json], meta: Json, *, now: float, columns: bool) -> Json:
        kind = self.resource.kind
        rows = []
        for obj in objects:
            row: Json = {"cells": cells(kind, self.resource.version, obj, now)}
            if self.include == "Object":
                row["object"] = self.resource.present(obj)
            elif self.include != "None":
                row["object"] = self._partial(obj)
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.accepted.version}",
            "metadata": meta,
            "columnDefinitions": column_definitions(kind, self.resource.version) if columns else [],
            "rows": rows,
        }
