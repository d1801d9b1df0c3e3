r"""The part of JSONPath that printer columns use: `.a.b`, `[0]`, `[*]`, `['x']`, `.a\\.b`, `[?(@.type=="Ready")]`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""
    \.(?P<name>(?:\\.|[^.\[\]\\])+)
    | \[\s*(?P<index>-?\d+)\s*\]
    | (?P<all>\[\s*\*\s*\]|\.\*)
    | \[\s*(?P<quote>['"])(?P<key>.*?)(?P=quote)\s*\]
    | \[\s*\?\s*\(\s*@\.(?P<field>[\w.]+)\s*(?P<op>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[^\s)]+)\s*\)\s*\]
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[re.Match[str], ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = "." + text
    found: list[re.Match[str]] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError(f"JSONPath {path!r}: cannot read {text[at:]!r}")
        found.append(step)
        at = step.end()
    return tuple(found)


def find_all(obj: Any, path: str) -> list[Any]:
    """Every value at the path, in order; raises ValueError for a path that cannot be read."""
    values = [obj]
    for step in _steps(path):
        values = [found for value in values for found in _walk(value, step)]
    return values


def _walk(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["key"] if step["key"] is not None else step["name"]
    if name is not None:
        name = re.sub(r"\\(.)", r"\1", name)
        return [value[name]] if isinstance(value, dict) and name in value else []
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []
    if step["all"]:
        if isinstance(value, dict):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    wanted = step["value"].strip("'\"")
    items = value if isinstance(value, list) else []
    return [item for item in items if (str(_field(item, step["field"])) == wanted) is (step["op"] == "==")]


def _field(item: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(item, dict) or part not in item:
            return None
        item = item[part]
    return item
