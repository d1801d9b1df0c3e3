"""Errors as MongoDB numbers and names them. Pure."""

from __future__ import annotations

from typing import Any

NAMES = {
    2: "BadValue",
    9: "FailedToParse",
    14: "TypeMismatch",
    26: "NamespaceNotFound",
    27: "IndexNotFound",
    28: "PathNotViable",
    40: "ConflictingUpdateOperators",
    43: "CursorNotFound",
    59: "CommandNotFound",
    66: "ImmutableField",
    67: "CannotCreateIndex",
    73: "InvalidNamespace",
    85: "IndexOptionsConflict",
    115: "CommandNotSupported",
    10334: "BSONObjectTooLarge",
    11000: "DuplicateKey",
    40324: "Location40324",
    40414: "Location40414",
}


class CommandError(Exception):
    """A command that fails; `details` are further fields of the answer."""

    def __init__(self, code: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def answer(self) -> dict[str, Any]:
        """The whole answer to the command."""
        name = NAMES.get(self.code, f"Location{self.code}")
        return {"ok": 0.0, "errmsg": self.message, "code": self.code, "codeName": name, **self.details}

    def write_error(self, index: int) -> dict[str, Any]:
        """One of an answer's `writeErrors`."""
        return {"index": index, "code": self.code, "errmsg": self.message, **self.details}


class DuplicateKeyError(CommandError):
    """A unique index has this value already."""

    def __init__(self, namespace: str, index: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> None:
        shown = ", ".join(f"{name}: {_shown(value)}" for name, value in zip(fields, values, strict=True))
        super().__init__(
            11000,
            f"E11000 duplicate key error collection: {namespace} index: {index} dup key: {{ {shown} }}",
            keyPattern=dict.fromkeys(fields, 1),
            keyValue=dict(zip(fields, values, strict=True)),
        )


def _shown(value: Any) -> str:
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _ if type(value).__name__ == "ObjectId":
            return f"ObjectId('{value}')"
        case _:
            return repr(value)
