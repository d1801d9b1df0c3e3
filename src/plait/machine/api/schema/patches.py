"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on objects, with errors as HTTP answers."""

from __future__ import annotations

import re
from typing import Any

import jsonpatch

from plait.machine.api.schema.fields import type_name
from plait.machine.api.schema.normal import copied

#: More operations than this in one JSON patch are refused, as API servers do.
MAX_OPERATIONS = 10_000

_POINTER = re.compile(r"(/([^/~]|~[01])*)*")
_NEEDS_VALUE = frozenset({"add", "replace", "test"})
_NEEDS_FROM = frozenset({"move", "copy"})
_OPERATIONS = _NEEDS_VALUE | _NEEDS_FROM | {"remove"}


class PatchError(Exception):
    """A patch that cannot be applied. `code` is the HTTP status: 400 malformed, 413 too large, 422 does not apply."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def merge_patch(obj: dict[str, Any], patch: Any) -> dict[str, Any]:
    """A new object: `patch` laid over `obj`; null removes. Raises PatchError if the patch is not an object."""
    if not isinstance(patch, dict):
        raise PatchError(400, f"a merge patch must be a JSON object, not {type_name(patch)}")
    merged: dict[str, Any] = _merged(obj, patch)
    return merged


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copied(patch)
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made if made is not target else dict(made)


def json_patch(obj: dict[str, Any], operations: Any) -> dict[str, Any]:
    """A new object: the operations applied in order, all or none.

    Raises PatchError: 400 for a malformed patch, 422 for an operation that does not apply (a failed `test`, a path
    that does not exist).
    """
    if not isinstance(operations, list):
        raise PatchError(400, f"a JSON patch must be a list of operations, not {type_name(operations)}")
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(413, f"the JSON patch has {len(operations)} operations; at most {MAX_OPERATIONS} are taken")
    for index, operation in enumerate(operations):
        _check_operation(index, operation)
    current: Any = copied(obj)
    for index, operation in enumerate(operations):
        try:
            current = jsonpatch.apply_patch(current, [copied(operation)], in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            what = f"operation {index} (test {operation['path']})"
            raise PatchError(422, f"the JSON patch does not apply: {what}: the value there is another one") from None
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as fault:
            what = f"operation {index} ({operation['op']} {operation['path']})"
            raise PatchError(422, f"the JSON patch does not apply: {what}: {fault}") from None
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            what = f"operation {index} ({operation['op']} {operation['path']})"
            raise PatchError(422, f"the JSON patch does not apply: {what}: the object has no such place") from None
    if not isinstance(current, dict):
        raise PatchError(422, f"the JSON patch turns the object into {type_name(current)}")
    return current


def _check_operation(index: int, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise PatchError(400, f"operation {index} of the JSON patch must be an object, not {type_name(operation)}")
    name = operation.get("op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        allowed = ", ".join(sorted(_OPERATIONS))
        raise PatchError(400, f"operation {index} of the JSON patch: op must be one of {allowed}")
    pointers = ["path", *(["from"] if name in _NEEDS_FROM else [])]
    for field in pointers:
        pointer = operation.get(field)
        if not isinstance(pointer, str) or not _POINTER.fullmatch(pointer):
            raise PatchError(
                400, f'operation {index} ({name}) of the JSON patch: {field} must be a path like "/spec/x"'
            )
    if name in _NEEDS_VALUE and "value" not in operation:
        raise PatchError(400, f"operation {index} ({name}) of the JSON patch needs a value")
