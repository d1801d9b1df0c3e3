"""Which part of a document is answered, and in which order documents come. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.documents.matching import values_at
from sockshop.documents.ordering import MISSING, sort_key

Document = dict[str, Any]


def compile_projection(wanted: Any) -> Callable[[Document], Document]:
    """Inclusion or exclusion of top fields and dotted paths. Raises CommandError."""
    if not wanted:
        return lambda document: document
    if not isinstance(wanted, dict):
        raise CommandError(14, "a projection must be a document")
    flags = {}
    for name, value in wanted.items():
        if not isinstance(value, (bool, int, float)):
            raise CommandError(2, f"the projection {name!r} is an expression: only 0 and 1 are served here")
        flags[name] = bool(value)
    with_id = flags.pop("_id", True)
    if len(set(flags.values())) > 1:
        raise CommandError(31254, "Cannot do exclusion and inclusion in one projection")
    including = any(flags.values()) if flags else bool(wanted["_id"])
    paths = [name.split(".") for name in flags]
    if including:
        return lambda document: _included(document, [["_id"], *paths] if with_id else paths)
    return lambda document: _excluded(document, paths if with_id else [["_id"], *paths])


def _included(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_included(item, paths) for item in value if isinstance(item, (dict, list))]
    kept = {}
    for name, item in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if [] in below:
            kept[name] = item
        elif below and isinstance(item, (dict, list)):
            kept[name] = _included(item, below)
    return kept


def _excluded(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_excluded(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if [] not in below:
            kept[name] = _excluded(item, below) if below else item
    return kept


def in_order(documents: list[Document], order: Any) -> list[Document]:
    """Documents by the fields of `order` (1 up, -1 down); equal ones keep their places. Raises CommandError."""
    if not order:
        return documents
    if not isinstance(order, dict):
        raise CommandError(14, "sort must be a document")
    for name, direction in reversed(order.items()):
        if direction not in {1, -1}:
            raise CommandError(15975, f"$sort key ordering must be 1 (for ascending) or -1 (for descending): {name}")
        path, down = name.split("."), direction == -1
        documents = sorted(documents, key=lambda one: _edge(one, path, down), reverse=down)
    return documents


def _edge(document: Document, path: list[str], down: bool) -> tuple[Any, ...]:
    """Of an array the smallest element counts going up, the largest going down."""
    keys = []
    for value in values_at(document, path):
        items = value if isinstance(value, list) and value else [value]
        keys += [sort_key(MISSING if item == [] else item) for item in items]
    return max(keys) if down else min(keys)
