"""Rules for the metadata every object has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import TOO_LONG, FieldError, forbidden, invalid, key, required
from plait.machine.api.schema.validation import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plait.machine.api.schema.kinds import ServedKind

_ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = frozenset(
    {"customresourcecleanup.apiextensions.k8s.io", "foregroundDeletion", "kubernetes", "orphan"}
)
_NAME_RULES: dict[str, Callable[[str], str]] = {"Namespace": names.dns_label, "Service": names.dns_1035_label}


def validate_metadata(kind: ServedKind, obj: dict[str, Any]) -> Iterator[FieldError]:
    """Name, namespace, labels, annotations, finalizers, owners."""
    meta = obj.get("metadata") or {}
    rule = _NAME_RULES.get(kind.kind, names.dns_subdomain)
    prefix = meta.get("generateName", "")
    if prefix and (fault := rule(f"{prefix.rstrip('-.')}0")):
        yield invalid("metadata.generateName", prefix, fault)
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif fault := rule(name):
        yield invalid("metadata.name", name, fault)
    namespace = meta.get("namespace", "")
    if kind.namespaced and not namespace:
        yield required("metadata.namespace")
    elif namespace and not kind.namespaced:
        yield forbidden("metadata.namespace", f"not allowed on this type: a {kind.kind} belongs to no namespace")
    yield from validate_labels(meta.get("labels") or {}, "metadata.labels")
    yield from _annotations(meta.get("annotations") or {})
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        path = f"metadata.finalizers[{index}]"
        if fault := names.qualified_name(finalizer):
            yield invalid(path, finalizer, fault)
        elif not kind.custom and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            yield invalid(path, finalizer, f"must have a domain before a '/', such as example.com/{finalizer}")
    yield from _owners(meta.get("ownerReferences") or ())


def validate_labels(labels: dict[str, str], path: str) -> Iterator[FieldError]:
    """Keys and values of labels or of a selector by equality."""
    for label, value in labels.items():
        if fault := names.qualified_name(label):
            yield invalid(path, label, fault)
        if fault := names.label_value(value):
            yield invalid(key(path, label), value, fault)


def _annotations(annotations: dict[str, str]) -> Iterator[FieldError]:
    for name in annotations:
        if fault := names.qualified_name(name.lower()):
            yield invalid("metadata.annotations", name, fault)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes, has {size}"
        yield FieldError(path="metadata.annotations", message=message, reason=TOO_LONG)


def _owners(owners: list[dict[str, Any]] | tuple[()]) -> Iterator[FieldError]:
    controllers = [owner for owner in owners if owner.get("controller")]
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield required(f"{path}.{field}")
    if len(controllers) > 1:
        shown = [f"{owner.get('kind')}/{owner.get('name')}" for owner in controllers]
        yield invalid("metadata.ownerReferences", shown, "only one reference can have controller set to true")


def immutable(new: Any, old: Any, path: str) -> Iterator[FieldError]:
    """A field that keeps its first value."""
    if new != old:
        yield invalid(path, new, "field is immutable")
