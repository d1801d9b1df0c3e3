"""What fields a kind has at a path, by the API's own OpenAPI documents: for telling people what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from plait.kube.client import Client
from plait.kube.errors import ApiError
from plait.kube.kinds import Kind

_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_PREFIX = "#/components/schemas/"


class Fields:
    """Reads the documents it is asked about once; where there is none it has no advice."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._documents: dict[str, Mapping[str, Any]] = {}

    async def near(self, kind: Kind, path: str) -> str:
        """Advice for an unknown field: the known one it looks like, or all that can stand there."""
        parent, _, name = path.rpartition(".")
        document = await self._document(kind)
        known = sorted((_walk(document, kind, parent) or {}).get("properties") or ())
        if not known:
            return ""
        close = difflib.get_close_matches(name.lower(), {field.lower(): field for field in known}, n=1, cutoff=0.7)
        if close:
            return f"did you mean {next(field for field in known if field.lower() == close[0])!r}?"
        return f"{parent or kind.kind} has: {', '.join(known)}"

    async def _document(self, kind: Kind) -> Mapping[str, Any]:
        path = f"/openapi/v3/apis/{kind.group}/{kind.version}" if kind.group else f"/openapi/v3/api/{kind.version}"
        if path not in self._documents:
            try:
                self._documents[path] = msgspec.json.decode(await self._client.request("GET", path), type=dict)
            except (ApiError, msgspec.DecodeError):
                # Advice only: the fault itself is told without it.
                self._documents[path] = {}
        return self._documents[path]


def _walk(document: Mapping[str, Any], kind: Kind, path: str) -> Mapping[str, Any] | None:
    schemas = (document.get("components") or {}).get("schemas") or {}
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    found: Mapping[str, Any] | None = next(
        (s for s in schemas.values() if wanted in (s.get("x-kubernetes-group-version-kind") or ())), None
    )
    for step in _STEP.findall(path):
        if found is None:
            return None
        found = _resolved(schemas, found)
        inner = found.get("items") if step.startswith("[") else (found.get("properties") or {}).get(step)
        extra = found.get("additionalProperties")
        found = inner if isinstance(inner, dict) else extra if isinstance(extra, dict) else None
    return _resolved(schemas, found) if found is not None else None


def _resolved(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference, plain or wrapped in `allOf`, leads to."""
    while True:
        reference = schema.get("$ref")
        if reference is None and len(schema.get("allOf") or ()) == 1:
            reference = schema["allOf"][0].get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = schemas.get(reference.removeprefix(_PREFIX)) or {}
