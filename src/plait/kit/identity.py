"""What was made of a value, found again by the value itself and not by what it is equal to.

For pure functions of values that are kept elsewhere and would be costly to hash or compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class IdentityCache(Generic[K, V]):
    """Remembers the results of `make` for the last `size` objects it was asked about, and these objects with them."""

    __slots__ = ("_known", "_make", "_size")

    def __init__(self, make: Callable[[K], V], size: int) -> None:
        self._make = make
        self._size = size
        self._known: dict[int, tuple[K, V]] = {}

    def get(self, value: K) -> V:
        """`make(value)`."""
        # The object is held, so nothing else can have its identity meanwhile.
        found = self._known.get(id(value))
        if found is not None:
            return found[1]
        made = self._make(value)
        self._known[id(value)] = (value, made)
        if len(self._known) > self._size:
            del self._known[next(iter(self._known))]
        return made
