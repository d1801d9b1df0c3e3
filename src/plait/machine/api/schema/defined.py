"""Kinds that users define: from a CustomResourceDefinition to what the API serves. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from plait.machine.api.schema.custom import columns_of
from plait.machine.api.schema.kinds import GroupVersion, ScalePaths, ServedKind, Subresource

Json = Mapping[str, Any]

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_READ_WRITE = ("get", "patch", "update")


def defined_kind(definition: Json) -> tuple[ServedKind, dict[str, Json]]:
    """The kind of a valid definition, and its schemas by the names in `ServedKind.definitions`."""
    spec = definition["spec"]
    group, names = spec["group"], spec["names"]
    versions = sorted(spec["versions"], key=lambda version: version_order(version["name"]))
    stored = next(version for version in versions if version.get("storage"))
    served = [version for version in versions if version.get("served")]
    definitions, schemas = {}, {}
    for version in versions:
        name = ".".join([*reversed(group.split(".")), version["name"], names["kind"]])
        definitions[f"{group}/{version['name']}"] = name
        schemas[name] = compiled_schema((version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
    at = GroupVersion(group=group, version=stored["name"])
    subresources, paths = _subresources(at, names["kind"], served)
    kind = ServedKind(
        group=group,
        version=stored["name"],
        served_versions=tuple(version["name"] for version in served),
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        columns=columns_of((served or versions)[0].get("additionalPrinterColumns") or ()),
        other_columns={each["name"]: columns_of(each.get("additionalPrinterColumns") or ()) for each in served[1:]},
        deprecated={
            each["name"]: each.get("deprecationWarning") or f"{group}/{each['name']} {names['kind']} is deprecated"
            for each in served
            if each.get("deprecated")
        },
        custom=True,
        scale=paths,
        definitions=definitions,
    )
    return kind, schemas


def version_order(version: str) -> tuple[int, int, int, str]:
    """A sort key, preferred first: v2, v1, v2beta1, v1beta2, v1alpha1, then others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), "")


def compiled_schema(schema: Json) -> Json:
    """A schema in the form the compiler takes: objects inside objects and open maps written out."""
    made = dict(schema)
    if made.get("additionalProperties") == {}:
        made["additionalProperties"] = True
    if isinstance(made.get("additionalProperties"), Mapping):
        made["additionalProperties"] = compiled_schema(made["additionalProperties"])
    if isinstance(made.get("items"), Mapping):
        made["items"] = compiled_schema(made["items"])
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {name: compiled_schema(inner) for name, inner in made["properties"].items()}
    if made.get("x-kubernetes-embedded-resource"):
        text, anything = {"type": "string"}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        frame = {"apiVersion": text, "kind": text, "metadata": anything}
        made["properties"] = {**frame, **(made.get("properties") or {})}
    return made


def _subresources(
    at: GroupVersion, kind: str, versions: Iterable[Json]
) -> tuple[tuple[Subresource, ...], ScalePaths | None]:
    made: dict[str, Subresource] = {}
    paths = None
    for version in versions:
        given = version.get("subresources") or {}
        if "status" in given:
            made["status"] = Subresource(
                name="status", group=at.group, version=at.version, kind=kind, verbs=_READ_WRITE
            )
        if given.get("scale") and paths is None:
            made["scale"] = Subresource(
                name="scale", group="autoscaling", version="v1", kind="Scale", verbs=_READ_WRITE
            )
            scale = given["scale"]
            paths = ScalePaths(
                spec=_path(scale["specReplicasPath"]),
                status=_path(scale["statusReplicasPath"]),
                selector=_path(scale.get("labelSelectorPath") or ""),
            )
    return tuple(made.values()), paths


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.strip(".").split(".")) if text else ()
