"""Rules for CustomResourceDefinitions: names, versions, and schemas that are structural."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.cel import rule_fault
from plait.machine.api.schema.fields import duplicate, invalid, required
from plait.machine.api.schema.validation import names as naming
from plait.machine.api.schema.validation.metadata import immutable
from plait.machine.api.schema.validation.values import one_of

if TYPE_CHECKING:
    from plait.machine.api.schema.fields import FieldError

Json = dict[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def validate_definition(definition: Json, old: Json | None) -> Iterator[FieldError]:
    """A definition; its group, names and scope never change."""
    spec = definition.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    if not group:
        yield required("spec.group")
    elif fault := naming.dns_subdomain(group):
        yield invalid("spec.group", group, fault)
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    for field in ("plural", "kind"):
        if not names.get(field):
            yield required(f"spec.names.{field}")
    yield from _names(names)
    wanted, given = f"{names.get('plural')}.{group}", (definition.get("metadata") or {}).get("name")
    if names.get("plural") and group and given != wanted:
        yield invalid("metadata.name", given, f'must be spec.names.plural+"."+spec.group, that is {wanted}')
    yield from one_of(spec.get("scope"), ("Cluster", "Namespaced"), "spec.scope")
    yield from _versions(spec.get("versions") or [])
    if old is not None:
        before = old.get("spec") or {}
        yield from immutable(spec.get("scope"), before.get("scope"), "spec.scope")
        yield from immutable(group, before.get("group"), "spec.group")
        for field in ("kind", "plural"):
            known = (before.get("names") or {}).get(field)
            yield from immutable(names.get(field), known, f"spec.names.{field}")


def _names(names: Json) -> Iterator[FieldError]:
    texts = [("plural", names.get("plural")), ("singular", names.get("singular"))]
    texts += [(f"shortNames[{at}]", text) for at, text in enumerate(names.get("shortNames") or ())]
    texts += [(f"categories[{at}]", text) for at, text in enumerate(names.get("categories") or ())]
    for field, text in texts:
        if text and (fault := naming.dns_label(text)):
            yield invalid(f"spec.names.{field}", text, fault)
    if (kind := names.get("kind")) and (fault := naming.dns_label(kind.lower())):
        yield invalid("spec.names.kind", kind, fault)


def _versions(versions: list[Json]) -> Iterator[FieldError]:
    if not versions:
        yield required("spec.versions", "must have at least one version")
        return
    stored = [version.get("name", "") for version in versions if version.get("storage")]
    if len(stored) != 1:
        yield invalid("spec.versions", stored, "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for at, version in enumerate(versions):
        path = f"spec.versions[{at}]"
        if fault := naming.dns_label(version.get("name", "")):
            yield invalid(f"{path}.name", version.get("name", ""), fault)
        if version.get("name") in seen:
            yield duplicate(f"{path}.name", version["name"])
        seen.add(version.get("name", ""))
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not isinstance(schema, Mapping):
            yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        else:
            yield from _root(schema, f"{path}.schema.openAPIV3Schema")
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            place = f"{path}.additionalPrinterColumns[{number}]"
            yield from one_of(column.get("type"), _COLUMN_TYPES, f"{place}.type")
            if not str(column.get("jsonPath", "")).startswith("."):
                yield invalid(f"{place}.jsonPath", column.get("jsonPath"), "must be a simple json path starting with .")
        yield from _scale((version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale")


def _scale(scale: Json | None, path: str) -> Iterator[FieldError]:
    if not scale:
        return
    for field, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        if not str(scale.get(field, "")).startswith(start):
            yield invalid(f"{path}.{field}", scale.get(field), f"should be a json path under {start.rstrip('.')}")


def _root(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if schema.get("type") != "object":
        yield invalid(f"{path}.type", schema.get("type", ""), "must be object at the root")
        return
    yield from _structural(schema, path)


def _structural(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """Every value has a type; nothing is said about fields that are not declared."""
    kind = schema.get("type")
    if kind is None and not schema.get("x-kubernetes-int-or-string") and not schema.get(_PRESERVE):
        yield required(f"{path}.type", "must not be empty for specified object fields")
    elif kind is not None and kind not in _TYPES:
        yield from one_of(kind, _TYPES, f"{path}.type")
    if kind == "array" and not isinstance(schema.get("items"), Mapping):
        yield required(f"{path}.items", "must be specified")
    properties, extra, items = (schema.get(name) for name in ("properties", "additionalProperties", "items"))
    if properties and extra not in (None, False):
        yield invalid(f"{path}.additionalProperties", True, "must not be used together with properties")
    for number, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if fault := rule_fault(rule):
            text = rule.get("rule") if isinstance(rule, Mapping) else rule
            yield invalid(f"{path}.x-kubernetes-validations[{number}].rule", text, fault)
    if schema.get("uniqueItems"):
        yield invalid(f"{path}.uniqueItems", True, "uniqueItems cannot be set to true since the runtime complexity")
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            if isinstance(inner, Mapping):
                yield from _structural(inner, f"{path}.properties[{name}]")
            else:
                yield invalid(f"{path}.properties[{name}]", inner, "must be a schema")
    if isinstance(extra, Mapping) and extra:
        yield from _structural(extra, f"{path}.additionalProperties")
    if isinstance(items, Mapping):
        yield from _structural(items, f"{path}.items")
