"""Reads JSON of which nothing is certain: what is missing or of another type is empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def at(value: Any, *path: str) -> Any:
    """What stands at `path`, or None."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def mapping(value: Any, *path: str) -> dict[str, Any]:
    """The map at `path`."""
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def sequence(value: Any, *path: str) -> list[Any]:
    """The list at `path`."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def mappings(value: Any, *path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, map) of the list at `path`; what is no map is left out."""
    for index, item in enumerate(sequence(value, *path)):
        if isinstance(item, dict):
            yield index, item


def text(value: Any, *path: str) -> str:
    """The text at `path`."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def texts(value: Any, *path: str) -> tuple[str, ...]:
    """The texts of the list at `path`."""
    return tuple(item for item in sequence(value, *path) if isinstance(item, str))


def labels(value: Any, *path: str) -> dict[str, str]:
    """The map of texts at `path`."""
    return {key: item for key, item in mapping(value, *path).items() if isinstance(item, str)}


def number(value: Any, *path: str) -> int:
    """The whole number at `path`, also where it is written as text; 0 where there is none."""
    found = at(value, *path)
    if isinstance(found, bool):
        return 0
    if isinstance(found, str):
        return int(found) if found.isascii() and found.isdigit() else 0
    return int(found) if isinstance(found, (int, float)) else 0
