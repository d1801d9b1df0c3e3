"""Sequences that are made again and again and are mostly as they were."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from itertools import chain, compress
from operator import is_not
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def alike(before: Sequence[Any], now: Sequence[Any]) -> tuple[int, int]:
    """How many elements both begin with alike, and how many of the rest they end with alike.

    Most are the same objects, which is seen without comparing them.
    """
    most = min(len(before), len(now))
    start = most
    for place in compress(range(most), map(is_not, before, now)):
        if before[place] != now[place]:
            start = place
            break
    last_old, last_new = len(before) - 1, len(now) - 1
    for place in compress(range(most - start), map(is_not, reversed(before), reversed(now))):
        if before[last_old - place] != now[last_new - place]:
            return start, place
    return start, most - start


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
        """`make` of each element. It must be a pure function of the element and of `context`, and may not read what
        others must know of.
        """
        known = self._known.pop(key, None)
        if known is None or (known[0] is not context and known[0] != context):
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


class Block(Generic[T]):
    """A few elements that many sequences have in a row. Equal blocks are of equal elements; its hash is made once."""

    __slots__ = ("_hash", "members")

    def __init__(self, members: tuple[T, ...]) -> None:
        self.members = members
        self._hash = hash(members)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Block) and self._hash == other._hash and self.members == other.members
        )

    def __repr__(self) -> str:
        return f"Block({self.members!r})"


class Grouped(Generic[T]):
    """Tuples in blocks of elements of one group, each tuple under a key. Of one that is much as that under its key only
    the blocks are made again that have other elements than before.
    """

    def __init__(self, most: int, group: Callable[[T], str]) -> None:
        self._most = most
        self._group = group
        self._known: dict[Hashable, tuple[tuple[T, ...], dict[str, Block[T]]]] = {}

    def get(self, key: Hashable, elements: tuple[T, ...]) -> tuple[Block[T], ...]:
        """The blocks of `elements`, which are sorted, in the order of their groups."""
        before, blocks = self._known.pop(key, ((), {}))
        start, end = alike(before, elements)
        gone = before[start : len(before) - end]
        others: dict[str, list[T]] = {}
        for element in elements[start : len(elements) - end]:
            others.setdefault(self._group(element), []).append(element)
        for element in gone:
            others.setdefault(self._group(element), [])
        if others:
            blocks = dict(blocks)
            for group, come in others.items():
                old = blocks.pop(group, None)
                members = [*come, *(each for each in old.members if each not in gone)] if old is not None else come
                if members:
                    blocks[group] = Block(tuple(_sorted(members)))
            blocks = dict(_sorted(blocks.items()))
        self._known[key] = (elements, blocks)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return tuple(blocks.values())


class Merged(Generic[T]):
    """Sorted tuples as one, each several under a key. Of those that are much as those under their key were only the new
    elements are put in their place.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, tuple[tuple[tuple[T, ...], ...], tuple[T, ...]]] = {}

    def get(self, key: Hashable, parts: tuple[tuple[T, ...], ...]) -> tuple[T, ...]:
        """The elements of all `parts`, sorted; none is in two of them."""
        before, found = self._known.pop(key, ((), ()))
        if len(before) != len(parts):
            found = tuple(_sorted(chain.from_iterable(parts)))
        elif before != parts:
            elements: list[Any] = list(found)
            for old, new in zip(before, parts, strict=True):
                if old is not new:
                    start, end = alike(old, new)
                    for gone in old[start : len(old) - end]:
                        del elements[bisect_left(elements, gone)]
                    for come in new[start : len(new) - end]:
                        insort(elements, come)
            found = tuple(elements)
        self._known[key] = (parts, found)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return found


_sorted: Callable[..., list[Any]] = sorted
"""What is merged can be compared, which types do not say."""
