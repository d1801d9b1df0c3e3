"""What an update makes of a document. Pure: the document given is never changed."""

from __future__ import annotations

import copy
from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.documents.matching import compile_filter, equalities
from sockshop.documents.ordering import MISSING, same, sort_key
from sockshop.mongo.values import DateTime, ObjectId

Document = dict[str, Any]

_OPERATORS = frozenset(
    {"$set", "$unset", "$inc", "$min", "$max", "$setOnInsert", "$push", "$addToSet", "$pull", "$pop", "$currentDate"}
)


def updated(document: Document, update: Any, *, inserting: bool = False) -> Document:
    """`document` after a replacement or after operators. Raises CommandError; `_id` never changes."""
    if not isinstance(update, dict):
        raise CommandError(9, "an update must be a document: pipelines are not served here")
    if not is_operators(update):
        if any(name.startswith("$") for name in update):
            raise CommandError(52, "a replacement must not contain update operators")
        new = {"_id": document["_id"], **update} if "_id" in document else dict(update)
    else:
        new = copy.deepcopy(document)
        for operator, fields in update.items():
            if operator not in _OPERATORS:
                raise CommandError(9, f"Unknown modifier: {operator}. Expected a valid update modifier")
            if not isinstance(fields, dict):
                raise CommandError(9, f"Modifiers operate on fields but we found another type for {operator}")
            if operator == "$setOnInsert" and not inserting:
                continue
            for path, operand in fields.items():
                _apply(new, operator, path, operand)
    if "_id" in document and not same(new.get("_id", MISSING), document["_id"]):
        raise CommandError(66, "Performing an update on the path '_id' would modify the immutable field '_id'")
    return new


def is_operators(update: Any) -> bool:
    """Whether an update changes fields rather than replacing the document."""
    return isinstance(update, dict) and bool(update) and next(iter(update)).startswith("$")


def upserted(wanted: Document, update: Any) -> Document:
    """The document that an upsert inserts when nothing matches: what the filter binds, then the update."""
    start: Document = {}
    for name, values in equalities(wanted):
        if len(values) == 1 and (name == "_id" or is_operators(update)):
            _set(start, name.split("."), values[0])
    made = updated(start, update, inserting=True)
    return {"_id": made.pop("_id", None) or ObjectId.new(), **made}


def _apply(document: Document, operator: str, path: str, operand: Any) -> None:
    parts = path.split(".")
    if not all(parts) or any(part.startswith("$") for part in parts):
        raise CommandError(2, f"the path {path!r} cannot be updated here: name fields and array positions")
    if operator == "$unset":
        _unset(document, parts)
        return
    old = _get(document, parts)
    new = _changed(operator, path, old, operand)
    if new is not MISSING:
        _set(document, parts, new)


def _changed(operator: str, path: str, old: Any, operand: Any) -> Any:
    """The new value at a path; MISSING leaves things as they are."""
    match operator:
        case "$set" | "$setOnInsert":
            return operand
        case "$inc":
            return _sum(path, old, operand)
        case "$min":
            return operand if old is MISSING or sort_key(operand) < sort_key(old) else MISSING
        case "$max":
            return operand if old is MISSING or sort_key(operand) > sort_key(old) else MISSING
        case "$currentDate":
            return DateTime.now()
    if old is MISSING and operator in {"$pull", "$pop"}:
        return MISSING
    items: list[Any] = []
    if isinstance(old, list):
        items += old
    elif old is not MISSING:
        raise CommandError(2, f"The field '{path}' must be an array but is of type {type(old).__name__}")
    match operator:
        case "$push":
            return items + _each(operand)
        case "$addToSet":
            for one in _each(operand):
                if not any(same(one, item) for item in items):
                    items.append(one)
            return items
        case "$pop":
            return items[1:] if operand == -1 else items[:-1]
        case _:
            return [item for item in items if not _pulled(item, operand)]


def _sum(path: str, old: Any, operand: Any) -> Any:
    for value in (operand, 0 if old is MISSING else old):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CommandError(14, f"Cannot apply $inc to the field '{path}': both values must be numbers")
    return operand if old is MISSING else old + operand


def _each(operand: Any) -> list[Any]:
    if not (isinstance(operand, dict) and "$each" in operand):
        return [operand]
    if set(operand) != {"$each"} or not isinstance(operand["$each"], list):
        raise CommandError(2, "$each takes an array, and $position, $slice and $sort are not served here")
    return operand["$each"]


def _pulled(item: Any, operand: Any) -> bool:
    if not isinstance(operand, dict):
        return same(item, operand)
    if operand and next(iter(operand)).startswith("$") and "$ref" not in operand:
        return compile_filter({"v": operand})({"v": item})
    if "$ref" in operand or not isinstance(item, dict):
        return same(item, operand)
    return compile_filter(operand)(item)


def _get(document: Any, parts: list[str]) -> Any:
    for part in parts:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return MISSING
    return document


def _set(document: Document, parts: list[str], value: Any) -> None:
    place: Any = document
    for part in parts[:-1]:
        place = _element(place, part) if isinstance(place, list) else place.setdefault(part, {})
        if not isinstance(place, (dict, list)):
            raise CommandError(28, f"Cannot create field '{parts[-1]}' in an element that is no document: {part}")
    if isinstance(place, list):
        number = _position(place, parts[-1])
        place[number : number + 1] = [value]
    else:
        place[parts[-1]] = value


def _element(place: list[Any], part: str) -> Any:
    number = _position(place, part)
    if number == len(place):
        place.append({})
    return place[number]


def _position(place: list[Any], part: str) -> int:
    if not part.isdecimal() or int(part) > len(place):
        raise CommandError(28, f"Cannot create field '{part}' in an array of {len(place)}")
    return int(part)


def _unset(document: Document, parts: list[str]) -> None:
    place = _get(document, parts[:-1])
    if isinstance(place, dict):
        place.pop(parts[-1], None)
    elif isinstance(place, list) and parts[-1].isdecimal() and int(parts[-1]) < len(place):
        place[int(parts[-1])] = None
