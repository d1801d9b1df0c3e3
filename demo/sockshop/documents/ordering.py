"""How BSON values compare: by type first, then by value; numbers of all types are one type. Pure."""

from __future__ import annotations

import math
from typing import Any

from sockshop.mongo import bson
from sockshop.mongo.values import Binary, DateTime, Extreme, Int64, ObjectId, Raw, Regex, Timestamp


class Missing:
    """Where a document has nothing."""

    __slots__ = ()


MISSING = Missing()

_NUMBER = 2


def rank(value: Any) -> int:
    """The place of a value's type among the types."""
    match value:
        case None | Missing():
            return 1
        case bool():
            return 8
        case int() | float():
            return _NUMBER
        case str():
            return 3
        case dict():
            return 4
        case list():
            return 5
        case Binary():
            return 6
        case ObjectId():
            return 7
        case DateTime():
            return 9
        case Timestamp():
            return 10
        case Regex():
            return 11
        case Extreme():
            return 0 if value.sign < 0 else 100
        case _:
            return 50


def sort_key(value: Any) -> tuple[Any, ...]:
    """Something that Python compares as MongoDB compares the value."""
    place = rank(value)
    match value:
        case None | Missing() | Extreme():
            return (place,)
        case float() if math.isnan(value):
            return place, -math.inf, 0
        case int() | float():
            return place, value, 1
        case dict():
            return place, tuple((rank(item), name, sort_key(item)) for name, item in value.items())
        case list():
            return place, tuple(sort_key(item) for item in value)
        case _:
            return place, value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal: 1 and 1.0 are, true and 1 are not."""
    return sort_key(one) == sort_key(other)


def index_key(values: tuple[Any, ...]) -> bytes:
    """Bytes that are the same for equal values."""
    return bson.encode({str(number): _plain(value) for number, value in enumerate(values)})


def _plain(value: Any) -> Any:
    match value:
        case Missing():
            return None
        case bool() | Raw():
            return value
        case int() if -(2**63) <= value < 2**63:
            return Int64(value)
        case float() if value.is_integer() and abs(value) < 2**63:
            return Int64(value)
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
