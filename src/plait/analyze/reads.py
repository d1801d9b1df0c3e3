"""Who read what: a change is followed to those whose result may be another because of it, and to nobody else."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from typing import Any, TypeAlias

Mark: TypeAlias = int
"""The hash of what was read. Two that are equal by chance cost a look in vain, and nothing else."""


def mark(*read: Hashable) -> Mark:
    """The mark of something that can be read."""
    return hash(read)


class Reads:
    """Readers by what they read. It is kept for every object of the mesh, so it is kept small."""

    def __init__(self) -> None:
        #: One reader, or a set of several; most marks have one. No reader is itself a set.
        self._readers: dict[Mark, Any] = {}
        self._marks: dict[Hashable, array[int]] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def knows(self, reader: Hashable) -> bool:
        """Whether a reader has been noted."""
        return reader in self._marks

    def note(self, reader: Hashable, marks: set[Mark]) -> None:
        """All that a reader has read; what it read before counts no more."""
        before = self._marks.get(reader, ())
        for old in before:
            if old not in marks:
                self._drop(old, reader)
        known = set(before)
        for new in marks:
            if new not in known:
                self._add(new, reader)
        self._marks[reader] = array("q", marks)

    def note_more(self, reader: Hashable, marks: set[Mark]) -> None:
        """A reader has read on."""
        self.note(reader, marks.union(self._marks.get(reader, ())))

    def forget(self, reader: Hashable) -> None:
        """A reader is no more."""
        for old in self._marks.pop(reader, ()):
            self._drop(old, reader)

    def of(self, read: Mark) -> Iterable[Any]:
        """Who has read it."""
        found = self._readers.get(read)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, set) else (found,)

    def _add(self, read: Mark, reader: Hashable) -> None:
        found = self._readers.get(read)
        if found is None:
            self._readers[read] = reader
        elif isinstance(found, set):
            found.add(reader)
        else:
            self._readers[read] = {found, reader}

    def _drop(self, read: Mark, reader: Hashable) -> None:
        found = self._readers[read]
        if not isinstance(found, set):
            del self._readers[read]
            return
        found.discard(reader)
        if len(found) == 1:
            self._readers[read] = found.pop()
