"""A map that is never changed, and cheap to derive the next one from.

Entries lie in a fixed number of small dicts. `updated` copies the dicts it touches and the tuple that holds them;
everything else is shared between the old map and the new one. With 100,000 entries one change copies some 200 entries.
The order of iteration depends on the process's hash seed: sort what leaves the core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

_WIDTH: Final = 512
_EMPTY: Final[dict[object, object]] = {}


class Missing:
    """The value that means "there is none"; distinct from None, which may be stored."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class PersistentMap(Generic[K, V]):
    """An immutable mapping with structural sharing."""

    __slots__ = ("_buckets", "_size")

    _buckets: tuple[dict[K, V], ...]
    _size: int

    def __init__(self) -> None:
        self._buckets = cast("tuple[dict[K, V], ...]", (_EMPTY,) * _WIDTH)
        self._size = 0

    def get(self, key: K) -> V | None:
        """The value of `key`, or None."""
        return self._buckets[hash(key) % _WIDTH].get(key)

    def __contains__(self, key: K) -> bool:
        return key in self._buckets[hash(key) % _WIDTH]

    def __len__(self) -> int:
        return self._size

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, in no particular order."""
        for bucket in self._buckets:
            yield from bucket.items()

    def updated(self, changes: Mapping[K, V | Missing]) -> PersistentMap[K, V]:
        """The map with `changes` made; a key with the value MISSING is taken out."""
        if not changes:
            return self
        fresh: dict[int, dict[K, V]] = {}
        size = self._size
        for key, value in changes.items():
            place = hash(key) % _WIDTH
            bucket = fresh.get(place)
            if bucket is None:
                bucket = fresh[place] = dict(self._buckets[place])
            size -= key in bucket
            if isinstance(value, Missing):
                bucket.pop(key, None)
            else:
                bucket[key] = value
                size += 1
        buckets = list(self._buckets)
        for place, bucket in fresh.items():
            buckets[place] = bucket
        result: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
        result._buckets = tuple(buckets)
        result._size = size
        return result
