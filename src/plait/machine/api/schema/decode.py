"""What a typed decoder checks: fields that do not exist, values of the wrong type, keys given twice."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

from plait.api.type_words import is_unitless, text_for
from plait.machine.api.schema.fields import TYPE_INVALID, FieldError, child, item, key, unknown, wrong_type

if TYPE_CHECKING:
    from plait.machine.api.schema.types import Type

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_INT_LIMITS = {"int32": 2**31, "int64": 2**63}


def check(kind: Type, value: Any, path: str = "") -> list[FieldError]:
    """Faults of a value by its type. `null` is unset and passes, except inside a list."""
    if value is None:
        return []
    match kind.form:
        case "object":
            return _object(kind, value, path)
        case "map":
            return _map(kind, value, path)
        case "list":
            return _list(kind, value, path)
        case "string":
            return _string(kind, value, path)
        case "integer":
            return _integer(kind, value, path)
        case "any":
            return []
        case form:
            return _other_scalar(form, value, path)


def _object(kind: Type, value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, dict):
        return [wrong_type(path, value, "an object", _object_hint(kind))]
    found: list[FieldError] = []
    for name, inner in value.items():
        where = child(path, name)
        declared = kind.fields.get(name)
        if declared is not None and kind.schema is not None and is_unitless(name, inner):
            found.append(wrong_type(where, inner, "a duration", text_for(name, inner)))
        elif declared is not None:
            found += check(declared.type, inner, where)
        elif not kind.open:
            found.append(unknown(where))
    return found


def _object_hint(kind: Type) -> str:
    names = list(kind.required or kind.fields)[:3]
    return f"write its fields below it, such as {', '.join(names)}" if names else ""


def _map(kind: Type, value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, dict):
        return [wrong_type(path, value, "a map of names to values")]
    if kind.element is None:
        return []
    return [fault for name, inner in value.items() for fault in check(kind.element.type, inner, child(path, name))]


def _list(kind: Type, value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, list):
        return [wrong_type(path, value, "a list", 'write it as "- ..." items')]
    if kind.element is None:
        return []
    found: list[FieldError] = []
    for index, inner in enumerate(value):
        if inner is None and not kind.element.type.nullable:
            found.append(wrong_type(item(path, index), None, "a value", "remove the empty item"))
        else:
            found += check(kind.element.type, inner, item(path, index))
    return found


def _string(kind: Type, value: Any, path: str) -> list[FieldError]:
    if not isinstance(value, str):
        scalar = isinstance(value, bool | int | float)
        return [wrong_type(path, value, "a string", _in_quotes(value) if scalar else "")]
    if kind.format == "byte" and not _is_base64(value):
        hint = "write plain text under stringData instead, or encode it with base64"
        return [wrong_type(path, value, "base64", hint)]
    if kind.format == "date-time" and not _TIME.fullmatch(value):
        return [wrong_type(path, value, "an RFC 3339 time", 'write it as "2006-01-02T15:04:05Z"')]
    return []


def _in_quotes(value: bool | float) -> str:
    """What to write; of a word that YAML reads as a boolean nobody knows any more which it was."""
    if isinstance(value, bool):
        word, other = ("true", "yes") if value else ("false", "no")
        return f'write it in quotes: "{word}", or "{other}", if that is how it was written'
    return f'write it in quotes: "{value}"'


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    return True


def _integer(kind: Type, value: Any, path: str) -> list[FieldError]:
    # A number without a fraction is one, however it is written; kubectl and Go write it without a point.
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        hint = ""
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
            hint = f"write it without quotes: {value}"
        return [wrong_type(path, value, "an integer", hint)]
    limit = _INT_LIMITS.get(kind.format)
    if limit and not -limit <= value < limit:
        message = f"Invalid value: {value}: must be between {-limit} and {limit - 1}"
        return [FieldError(path=path, message=message, reason=TYPE_INVALID, value=value)]
    return []


def _other_scalar(form: str, value: Any, path: str) -> list[FieldError]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match form:
        case "boolean" if not isinstance(value, bool):
            return [wrong_type(path, value, "a boolean", "write true or false, without quotes")]
        case "number" if not is_number:
            return [wrong_type(path, value, "a number")]
        case "int-or-string" if not (isinstance(value, str) or (is_number and value == value // 1)):
            return [wrong_type(path, value, "an integer or a string")]
        case "quantity" if not (is_number or (isinstance(value, str) and _QUANTITY.fullmatch(value))):
            return [wrong_type(path, value, "a quantity", "write it like 100m, 0.5, 64Mi or 2Gi")]
        case _:
            return []


def duplicate_keys(raw: bytes | str) -> tuple[str, ...]:
    """Paths of keys given more than once in a JSON text, in the order they close; empty if it is not JSON."""
    found: list[str] = []

    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        repeated: list[str] = []
        for name, value in entries:
            if name in seen and name not in repeated:
                repeated.append(name)
            seen[name] = value
        return _Repeats(seen, repeated) if repeated else seen

    try:
        document = json.loads(raw, object_pairs_hook=pairs)
    except ValueError:
        return ()
    _collect(document, "", found)
    return tuple(found)


class _Repeats(dict[str, Any]):
    """An object that had keys more than once."""

    def __init__(self, entries: dict[str, Any], repeated: list[str]) -> None:
        super().__init__(entries)
        self.repeated = repeated


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value, _Repeats):
            found += [child(path, name) for name in value.repeated]
        for name, inner in value.items():
            _collect(inner, child(path, name), found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _collect(inner, item(path, index), found)


__all__ = ["check", "duplicate_keys", "key"]
