"""Which documents a filter means. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.documents.ordering import MISSING, rank, same, sort_key
from sockshop.mongo.values import Regex

Test = Callable[[Any], bool]
"""Whether a document is meant."""

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


def values_at(document: Any, path: list[str]) -> Iterator[Any]:
    """What a dotted path leads to: through arrays into each of their elements; MISSING where there is nothing."""
    if not path:
        yield document
        return
    first, rest = path[0], path[1:]
    if isinstance(document, dict) and first in document:
        yield from values_at(document[first], rest)
        return
    found = False
    if isinstance(document, list):
        if first.isdecimal() and int(first) < len(document):
            found = True
            yield from values_at(document[int(first)], rest)
        for element in document:
            if isinstance(element, dict):
                found = True
                yield from values_at(element, path)
    if not found:
        yield MISSING


def compile_filter(wanted: Any) -> Test:
    """The filter as a function of a document. Raises CommandError for operators that do not exist here."""
    if not isinstance(wanted, dict):
        raise CommandError(14, "a filter must be a document")
    tests = [_clause(name, condition) for name, condition in wanted.items() if name != "$comment"]
    return lambda document: all(test(document) for test in tests)


def equalities(wanted: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """The fields that a filter binds to certain values: what an index can answer."""
    for name, condition in wanted.items():
        if name == "$and" and isinstance(condition, list):
            for part in condition:
                if isinstance(part, dict):
                    yield from equalities(part)
        elif name.startswith("$") or isinstance(condition, Regex):
            continue
        elif not _is_operators(condition):
            yield name, [condition]
        elif "$eq" in condition:
            yield name, [condition["$eq"]]
        elif isinstance(members := condition.get("$in"), list) and not any(isinstance(m, Regex) for m in members):
            yield name, members


def _clause(name: str, condition: Any) -> Test:
    if name in {"$and", "$or", "$nor"}:
        if not isinstance(condition, list) or not condition:
            raise CommandError(2, f"{name} must be a nonempty array")
        parts = [compile_filter(part) for part in condition]
        if name == "$and":
            return lambda document: all(part(document) for part in parts)
        if name == "$or":
            return lambda document: any(part(document) for part in parts)
        return lambda document: not any(part(document) for part in parts)
    if name.startswith("$"):
        raise CommandError(2, f"unknown top level operator: {name}")
    path = name.split(".")
    test = _condition(condition)
    return lambda document: test(list(values_at(document, path)))


def _is_operators(condition: Any) -> bool:
    return (
        isinstance(condition, dict)
        and bool(condition)
        and next(iter(condition)).startswith("$")
        and "$ref" not in condition
    )


def _condition(condition: Any) -> Callable[[list[Any]], bool]:
    """A test of all values that a path leads to."""
    if isinstance(condition, Regex):
        return _any(_regex(condition.pattern, condition.options))
    if not _is_operators(condition):
        return _any(_equal(condition))
    options = condition.get("$options", "")
    tests = []
    for name, operand in condition.items():
        if name == "$regex":
            pattern, given = (operand.pattern, operand.options) if isinstance(operand, Regex) else (operand, options)
            tests.append(_any(_regex(pattern, given)))
        elif name != "$options":
            tests.append(_operator(name, operand))
    return lambda values: all(test(values) for test in tests)


def _operator(name: str, operand: Any) -> Callable[[list[Any]], bool]:
    match name:
        case "$eq":
            return _any(_equal(operand))
        case "$ne":
            return _none(_equal(operand))
        case "$in" | "$nin":
            if not isinstance(operand, list):
                raise CommandError(2, f"{name} needs an array")
            tests = [_regex(one.pattern, one.options) if isinstance(one, Regex) else _equal(one) for one in operand]
            return (_any if name == "$in" else _none)(lambda value: any(test(value) for test in tests))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _any(_compared(name, operand))
        case "$exists":
            return lambda values: any(value is not MISSING for value in values) == bool(operand)
        case "$not":
            test = _condition(operand)
            return lambda values: not test(values)
        case "$size":
            return lambda values: any(isinstance(value, list) and len(value) == operand for value in values)
        case "$all":
            every = [_any(_equal(one)) for one in operand] if isinstance(operand, list) else []
            return lambda values: bool(every) and all(test(values) for test in every)
        case "$elemMatch":
            inner = _element(operand)
            return lambda values: any(isinstance(value, list) and any(map(inner, value)) for value in values)
        case _:
            raise CommandError(2, f"unknown operator: {name}")


def _element(operand: Any) -> Test:
    if _is_operators(operand) and next(iter(operand)) not in {"$and", "$or", "$nor"}:
        test = _condition(operand)
        return lambda element: test([element])
    whole = compile_filter(operand)
    return lambda element: isinstance(element, dict) and whole(element)


def _any(test: Test) -> Callable[[list[Any]], bool]:
    """True if a value, or an element of a value that is an array, passes."""
    return lambda values: any(test(value) or (isinstance(value, list) and any(map(test, value))) for value in values)


def _none(test: Test) -> Callable[[list[Any]], bool]:
    some = _any(test)
    return lambda values: not some(values)


def _equal(operand: Any) -> Test:
    key = sort_key(operand)
    return lambda value: sort_key(value) == key


def _compared(name: str, operand: Any) -> Test:
    place, key = rank(operand), sort_key(operand)
    match name:
        case "$gt":
            return lambda value: value is not MISSING and rank(value) == place and sort_key(value) > key
        case "$gte":
            return lambda value: same(value, operand) or (rank(value) == place and sort_key(value) > key)
        case "$lt":
            return lambda value: value is not MISSING and rank(value) == place and sort_key(value) < key
        case _:
            return lambda value: same(value, operand) or (rank(value) == place and sort_key(value) < key)


def _regex(pattern: Any, options: str) -> Test:
    try:
        compiled = re.compile(pattern, sum(_FLAGS.get(letter, 0) for letter in options))
    except (re.error, TypeError) as error:
        raise CommandError(51091, f"Regular expression is invalid: {error}") from error
    return lambda value: isinstance(value, str) and compiled.search(value) is not None
