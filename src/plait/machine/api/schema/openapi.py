"""OpenAPI v3 documents: one for each group and version, with what kubectl's apply and explain look for.

kubectl needs, for each kind, a path with a PATCH operation that names the kind and takes `fieldValidation`, and a
component that names the kind.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.types import OBJECT_META

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plait.machine.api.schema.kinds import GroupVersion, ServedKind

_REF = "#/components/schemas/"
_STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_GVK = "x-kubernetes-group-version-kind"
_PATCH_TYPES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One OpenAPI document as JSON, and its content hash (for the index and as ETag)."""

    body: bytes
    hash: str


def root_path(version: GroupVersion) -> str:
    """`api/v1` or `apis/GROUP/VERSION`, as the index names it."""
    return f"apis/{version}" if version.group else f"api/{version.version}"


def document(
    version: GroupVersion,
    kinds: Iterable[ServedKind],
    definitions: Mapping[str, Mapping[str, Any]],
    custom: Mapping[str, Mapping[str, Any]],
) -> Document:
    """The document of a group version. `custom` has CRD schemas by the names of `ServedKind.definitions`."""
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for kind in kinds:
        name = kind.definitions[str(version)]
        group_kind = {"group": version.group, "version": version.version, "kind": kind.kind}
        if name in custom:
            components[name] = _custom_component(custom[name], group_kind)
        roots = [name, OBJECT_META, _STATUS, _LIST_META]
        for needed in roots:
            _collect(needed, definitions, components)
        if group_kind not in components[name].get(_GVK, ()):
            # The type of another version, under whose fields this one is served.
            components[name] = {**components[name], _GVK: [group_kind]}
        list_name = name + "List"
        components[list_name] = _list_component(name, {**group_kind, "kind": kind.list_kind})
        paths.update(_paths(version, kind, name, group_kind))
    made = {
        "openapi": "3.0.0",
        "info": {"title": "plait", "version": str(version)},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }
    body = json.dumps(made, separators=(",", ":")).encode()
    return Document(body=body, hash=hashlib.sha256(body).hexdigest().upper())


def index(documents: Mapping[str, Document]) -> Document:
    """The document at `/openapi/v3`: where each document is, with its hash."""
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={one.hash}"} for path, one in sorted(documents.items())
    }
    body = json.dumps({"paths": paths}, separators=(",", ":")).encode()
    return Document(body=body, hash=hashlib.sha256(body).hexdigest().upper())


def _collect(name: str, definitions: Mapping[str, Mapping[str, Any]], found: dict[str, Any]) -> None:
    queue = [name]
    while queue:
        current = queue.pop()
        if current in found or current not in definitions:
            continue
        found[current] = definitions[current]
        queue += _references(definitions[current])


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for entry in schema for name in _references(entry)]
    if not isinstance(schema, dict):
        return []
    found = [name for value in schema.values() for name in _references(value)]
    if isinstance(schema.get("$ref"), str):
        found.append(schema["$ref"].removeprefix(_REF))
    return found


def _custom_component(schema: Mapping[str, Any], group_kind: Mapping[str, str]) -> dict[str, Any]:
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"allOf": [{"$ref": _REF + OBJECT_META}]},
        **schema.get("properties", {}),
    }
    return {**schema, "properties": properties, _GVK: [dict(group_kind)]}


def _list_component(name: str, group_kind: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": _REF + _LIST_META}]},
            "items": {"type": "array", "items": {"$ref": _REF + name}},
        },
        _GVK: [dict(group_kind)],
    }


def _paths(version: GroupVersion, kind: ServedKind, name: str, group_kind: Mapping[str, str]) -> dict[str, Any]:
    base = "/" + root_path(version)
    collection = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    scope = [_in_path("namespace")] if kind.namespaced else []

    def operation(action: str, more: list[dict[str, Any]], *, body: tuple[str, ...] = ()) -> dict[str, Any]:
        made: dict[str, Any] = {
            "parameters": more,
            "responses": {
                "200": {
                    "description": "OK",
                    "content": {"application/json": {"schema": {"$ref": _REF + name}}},
                }
            },
            "x-kubernetes-action": action,
            _GVK: dict(group_kind),
        }
        if body:
            content = {
                media: {"schema": {"$ref": _REF + name} if action != "patch" else {"type": "object"}} for media in body
            }
            made["requestBody"] = {"content": content, "required": True}
        return made

    writes = [_in_query(item) for item in ("dryRun", "fieldManager", "fieldValidation")]
    patch_types = _PATCH_TYPES if kind.custom else (*_PATCH_TYPES, _STRATEGIC)
    collected: dict[str, Any] = {"parameters": scope}
    single: dict[str, Any] = {"parameters": [*scope, _in_path("name")]}
    json_body = ("application/json", "application/yaml")
    if "create" in kind.verbs:
        collected["post"] = operation("post", writes, body=json_body)
    if "list" in kind.verbs:
        listed = operation("list", [_in_query(item) for item in ("fieldSelector", "labelSelector", "limit", "watch")])
        listed["responses"]["200"]["content"]["application/json"]["schema"] = {"$ref": f"{_REF}{name}List"}
        collected["get"] = listed
    if "get" in kind.verbs:
        single["get"] = operation("get", [])
        single["put"] = operation("put", writes, body=json_body)
        single["patch"] = operation("patch", [*writes, _in_query("force")], body=patch_types)
        single["delete"] = operation("delete", [_in_query("propagationPolicy")])
    return {collection: collected, **({collection + "/{name}": single} if "get" in kind.verbs else {})}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(name: str) -> dict[str, Any]:
    kind = "boolean" if name in {"watch", "force"} else "integer" if name == "limit" else "string"
    return {"name": name, "in": "query", "schema": {"type": kind}}
