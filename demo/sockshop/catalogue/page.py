"""Which part of a list a request asks for, by the original's rules (sizes and numbers as Go computes them). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_INT_MAX = 2**63 - 1
_INT_MIN = -(2**63)
_NUMBER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)


class OutOfRangeError(Exception):
    """The page lies before the list. The original panics here, which closes the connection without an answer."""


def number(text: str | None, default: int) -> int:
    """A query parameter as Go's Atoi reads it when its error is ignored.

    Absent or empty is `default`, no number is 0, a number too large is the largest there is.
    """
    if not text:
        return default
    if not _NUMBER.match(text):
        return 0
    return max(_INT_MIN, min(_INT_MAX, int(text)))


def cut(items: Sequence[T], page: int, size: int) -> list[T] | None:
    """Page `page` (from 1) of `size` items. None is Go's nil slice, in JSON `null`: nothing matched at all.

    Page or size 0 gives an empty list, as does a page past the end. Raises OutOfRangeError for a page before the start.
    """
    if page == 0 or size == 0:
        return []
    end = _wrapped(page * size)
    start = _wrapped(end - size)
    if start > len(items):
        return []
    end = min(end, len(items))
    if start < 0 or end < start:
        raise OutOfRangeError(f"items {start} to {end} of {len(items)}")
    return list(items[start:end]) if items else None


def _wrapped(value: int) -> int:
    """`value` as a 64-bit integer that overflows silently."""
    return (value + 2**63) % 2**64 - 2**63
