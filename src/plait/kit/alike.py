"""Sequences that are made again and again and are mostly as they were."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_STEP = 32


def alike(before: Sequence[Any], now: Sequence[Any]) -> tuple[int, int]:
    """How many elements both begin with alike, and how many of the rest they end with alike.

    Slices are compared, which for elements that are the same objects costs next to nothing.
    """
    most = min(len(before), len(now))
    start, step = 0, _STEP
    while step:
        if start + step <= most and before[start : start + step] == now[start : start + step]:
            start += step
        else:
            step //= 2
    most -= start
    end, step = 0, _STEP
    old, new = len(before), len(now)
    while step:
        if end + step <= most and before[old - end - step : old - end] == now[new - end - step : new - end]:
            end += step
        else:
            step //= 2
    return start, end


class Mapped(Generic[T, R]):
    """What a function makes of each element of tuples, each tuple under a key. Of one that is much as that under its
    key was only the new elements are looked at. `most` are the keys that are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, tuple[Any, tuple[T, ...], tuple[R, ...]]] = {}

    def get(
        self, key: Hashable, elements: tuple[T, ...], make: Callable[[T], R], context: object = None
    ) -> tuple[R, ...]:
        """`make` of each element. It must be a pure function of the element and of `context`, which is compared by
        identity, and may not read what others must know of.
        """
        known = self._known.pop(key, None)
        if known is None or known[0] is not context:
            found = tuple(map(make, elements))
        else:
            _, before, results = known
            start, end = alike(before, elements)
            middle = map(make, elements[start : len(elements) - end])
            found = (*results[:start], *middle, *results[len(results) - end :])
        self._known[key] = (context, elements, found)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return found
