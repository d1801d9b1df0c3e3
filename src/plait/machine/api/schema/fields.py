"""What is wrong with a field, and how a path to it is written.

Messages have the form users of kubectl know: `spec.ports[0].port: Invalid value: 70000: must be ...`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Reasons of the causes of a Status. The first two never reach validation: they are decoding errors.
UNKNOWN: Final = "UnknownField"
TYPE_INVALID: Final = "FieldValueTypeInvalid"
REQUIRED: Final = "FieldValueRequired"
INVALID: Final = "FieldValueInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
FORBIDDEN: Final = "FieldValueForbidden"
DUPLICATE: Final = "FieldValueDuplicate"
TOO_LONG: Final = "FieldValueTooLong"
TOO_MANY: Final = "FieldValueTooMany"

_SHOWN = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One fault of an object: where, what, and the reason as a machine-readable word.

    `message` is what stands after the path and goes into `details.causes[].message`; `str()` has both. An UNKNOWN
    field's message is upstream's `unknown field "spec.foo"`, complete with its path.
    """

    path: str
    message: str
    reason: str = INVALID
    value: Any = None

    def __str__(self) -> str:
        return self.message if self.reason == UNKNOWN or not self.path else f"{self.path}: {self.message}"


def shown(value: Any) -> str:
    """A value as an error message shows it: JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def unknown(path: str) -> FieldError:
    """A field the kind does not have."""
    return FieldError(path=path, message=f'unknown field "{path}"', reason=UNKNOWN)


def required(path: str, detail: str = "") -> FieldError:
    """A field that must be set and is not."""
    message = f"Required value: {detail}" if detail else "Required value"
    return FieldError(path=path, message=message, reason=REQUIRED)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """A value that breaks a rule."""
    return FieldError(path=path, message=f"Invalid value: {shown(value)}: {detail}", reason=INVALID, value=value)


def not_supported(path: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """A value outside a list."""
    values = ", ".join(shown(item) for item in allowed)
    message = f"Unsupported value: {shown(value)}: supported values: {values}"
    return FieldError(path=path, message=message, reason=NOT_SUPPORTED, value=value)


def forbidden(path: str, detail: str) -> FieldError:
    """A field that may not be set, or not be changed, here."""
    return FieldError(path=path, message=f"Forbidden: {detail}", reason=FORBIDDEN)


def duplicate(path: str, value: Any) -> FieldError:
    """A second item with the same key."""
    return FieldError(path=path, message=f"Duplicate value: {shown(value)}", reason=DUPLICATE, value=value)


def wrong_type(path: str, value: Any, wanted: str, hint: str = "") -> FieldError:
    """A value of another type than the field has."""
    detail = f"must be {wanted}, not {type_name(value)}"
    if hint:
        detail = f"{detail}; {hint}"
    return FieldError(path=path, message=f"Invalid value: {shown(value)}: {detail}", reason=TYPE_INVALID, value=value)


def type_name(value: Any) -> str:
    """The JSON type of a value, with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def child(path: str, name: str) -> str:
    """The path of a field of an object."""
    return f"{path}.{name}" if path else name


def key(path: str, name: str) -> str:
    """The path of an entry of a map."""
    return f"{path}[{name}]"


def item(path: str, index: int) -> str:
    """The path of an item of a list."""
    return f"{path}[{index}]"
