"""What the API refused, told by file, line, object, path and value, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from plait.api.problem import Level, Problem
from plait.api.type_words import mistyped
from plait.app.objects.fields import Fields
from plait.app.objects.given import Given
from plait.kube.errors import ApiError
from plait.kube.kinds import Kind

_UNKNOWN: Final = re.compile(r'unknown field "([^"]+)"')
_TYPE_FAULT: Final = re.compile(r"cannot be handled as an? \S+: (?P<path>[\w.\-\[\]/]+): (?P<words>.+)", re.DOTALL)
_STEP: Final = re.compile(r"[^.\[\]]+")


async def fault_lines(given: Given, kind: Kind, title: str, error: ApiError, fields: Fields) -> list[str]:
    """One line for each fault; `title` names the object with the namespace it goes to."""
    if unknown := _UNKNOWN.findall(error.message):
        return [
            _line(given, title, path, "unknown field", await fields.near(kind, path)) for path in dict.fromkeys(unknown)
        ]
    if faults := [(cause.get("field", ""), cause.get("message", "")) for cause in error.causes]:
        return list(dict.fromkeys(_line(given, title, path, _worded(given, path, words)) for path, words in faults))
    if match := _TYPE_FAULT.search(error.message):
        return [_line(given, title, match["path"], match["words"])]
    if error.code == 404 and (error.status.get("details") or {}).get("kind") == "namespaces":
        name = error.status["details"].get("name")
        return [_line(given, title, "metadata.namespace", error.message, f"write: kubectl create namespace {name}")]
    return [_line(given, title, "", error.message)]


def problem_lines(given: Given, title: str, problems: Iterable[Problem]) -> list[str]:
    """What the core would refuse, for an object that the API cannot be asked about yet."""
    return [_line(given, title, p.path, p.message, p.fix) for p in problems if p.level is Level.ERROR]


def _line(given: Given, title: str, path: str, words: str, advice: str = "") -> str:
    field = f"{path}: " if path else ""
    return f"{given.where(path)}: {title}: {field}{words}{'; ' + advice if advice else ''}"


def _worded(given: Given, path: str, words: str) -> str:
    """The API's words; those of a decoder about types, in a person's."""
    wrong = mistyped(words)
    value = _at(given.obj, path)
    if wrong is None:
        start = "Invalid value: "
        if not words.startswith(start) or not isinstance(value, str):
            return words
        return words if value in words else f'{start}"{value}": {words.removeprefix(start)}'
    field = path.rpartition(".")[2]
    text = wrong.words(field)
    if value is not None and not isinstance(value, (dict, list)):
        text = f"{text}: {value!r}"
    instead = wrong.instead(field, value)
    return f"{text}; {instead}" if instead else text


def _at(obj: Any, path: str) -> Any:
    for step in _STEP.findall(path):
        if isinstance(obj, dict):
            obj = obj.get(step)
        elif isinstance(obj, list) and step.isdigit() and int(step) < len(obj):
            obj = obj[int(step)]
        else:
            return None
    return obj
