"""The stages of `aggregate` that counting and listing need. Pure."""

from __future__ import annotations

from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.documents.matching import compile_filter, values_at
from sockshop.documents.ordering import MISSING, index_key
from sockshop.documents.projecting import compile_projection, in_order

Document = dict[str, Any]


def run(documents: list[Document], stages: Any) -> list[Document]:
    """What comes out of the last stage. Raises CommandError for stages that are not served."""
    if not isinstance(stages, list):
        raise CommandError(14, "'pipeline' option must be specified as an array")
    for stage in stages:
        if not isinstance(stage, dict) or len(stage) != 1:
            raise CommandError(40323, "A pipeline stage specification object must contain exactly one field.")
        ((name, operand),) = stage.items()
        documents = _stage(documents, name, operand)
    return documents


def _stage(documents: list[Document], name: str, operand: Any) -> list[Document]:
    match name:
        case "$match":
            test = compile_filter(operand)
            return [one for one in documents if test(one)]
        case "$sort":
            return in_order(documents, operand)
        case "$skip":
            return documents[_whole(name, operand) :]
        case "$limit":
            return documents[: _whole(name, operand)]
        case "$project":
            project = compile_projection(operand)
            return [project(one) for one in documents]
        case "$count":
            return [{str(operand): len(documents)}] if documents else []
        case "$group":
            return _groups(documents, operand)
        case _:
            raise CommandError(40324, f"Unrecognized pipeline stage name: '{name}' (or one that is not served here)")


def _groups(documents: list[Document], operand: Any) -> list[Document]:
    if not isinstance(operand, dict) or "_id" not in operand:
        raise CommandError(15955, "a group specification must include an _id")
    sums = {name: _summed(name, how) for name, how in operand.items() if name != "_id"}
    groups: dict[bytes, Document] = {}
    for document in documents:
        key = _expression(document, operand["_id"])
        group = groups.setdefault(index_key((key,)), {"_id": key, **dict.fromkeys(sums, 0)})
        for name, what in sums.items():
            value = _expression(document, what)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                group[name] += value
    return list(groups.values())


def _summed(name: str, how: Any) -> Any:
    if not isinstance(how, dict) or list(how) != ["$sum"]:
        raise CommandError(15952, f"the group field {name!r} must be a $sum: no other accumulator is served here")
    return how["$sum"]


def _expression(document: Document, what: Any) -> Any:
    """A constant, or the value of a field named `$field`."""
    if isinstance(what, str) and what.startswith("$"):
        value = next(values_at(document, what[1:].split(".")))
        return None if value is MISSING else value
    if isinstance(what, dict):
        raise CommandError(2, "expressions in $group are not served here: name a field or give a constant")
    return what


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or int(value) != value:
        raise CommandError(15958, f"{name} takes a whole number that is not negative")
    return int(value)


def distinct(documents: list[Document], field: str) -> list[Any]:
    """The values of a field over all documents, each once; an array counts by its elements."""
    found: dict[bytes, Any] = {}
    for document in documents:
        for value in values_at(document, field.split(".")):
            for one in value if isinstance(value, list) else [value]:
                if one is not MISSING:
                    found.setdefault(index_key((one,)), one)
    return list(found.values())
