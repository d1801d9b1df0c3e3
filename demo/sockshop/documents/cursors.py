"""Answers that come in portions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.mongo import bson
from sockshop.mongo.values import Int64

FIRST_BATCH = 101
"""Documents in the first portion unless the command says otherwise."""

BATCH_BYTES = 12 * 1024 * 1024
MOST_CURSORS = 200
"""Open cursors of one server; beyond, the oldest is closed."""

Document = dict[str, Any]


class Cursors:
    """The rest of each answer, by cursor id."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, tuple[str, Iterator[Document]]] = OrderedDict()
        self._numbers = count(1)

    def begin(self, namespace: str, documents: list[Document], *, size: int | None, single: bool) -> Document:
        """A cursor's first portion; id 0 says that there is no more."""
        rest = iter(documents)
        batch, more = _portion(rest, FIRST_BATCH if size is None else size)
        number = 0
        if more is not None and not single:
            number = next(self._numbers)
            self._open[number] = namespace, more
            if len(self._open) > MOST_CURSORS:
                self._open.popitem(last=False)
        return {"cursor": {"firstBatch": batch, "id": Int64(number), "ns": namespace}, "ok": 1.0}

    def more(self, number: int, namespace: str, size: int | None) -> Document:
        """The next portion. Raises CommandError for an unknown cursor."""
        found = self._open.get(number)
        if found is None or found[0] != namespace:
            raise CommandError(43, f"cursor id {number} not found")
        batch, more = _portion(found[1], size or 1_000_000)
        if more is None:
            del self._open[number]
        else:
            self._open[number] = namespace, more
        left = 0 if more is None else number
        return {"cursor": {"nextBatch": batch, "id": Int64(left), "ns": namespace}, "ok": 1.0}

    def kill(self, numbers: list[int]) -> Document:
        """Forgets cursors."""
        killed = [number for number in numbers if self._open.pop(number, None) is not None]
        lost = [number for number in numbers if number not in killed]
        return {"cursorsKilled": killed, "cursorsNotFound": lost, "cursorsAlive": [], "cursorsUnknown": [], "ok": 1.0}


def _portion(rest: Iterator[Document], size: int) -> tuple[list[Document], Iterator[Document] | None]:
    """Up to `size` documents and no more bytes than a message takes; then what is left, if anything is."""
    batch: list[Document] = []
    total = 0
    for document in islice(rest, size):
        batch.append(document)
        total += len(bson.encode(document))
        if total > BATCH_BYTES:
            break
    after = next(rest, None)
    return batch, None if after is None else _chained(after, rest)


def _chained(first: Document, rest: Iterator[Document]) -> Iterator[Document]:
    yield first
    yield from rest
