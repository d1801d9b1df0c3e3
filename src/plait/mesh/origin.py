"""Where a piece of configuration comes from: an object and the path in it."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.meta import ObjectKey


class Origin(NamedTuple):
    """`path` is empty when the whole object is meant. Written as `KIND/NAMESPACE/NAME path`."""

    object: ObjectKey
    path: str = ""

    def __str__(self) -> str:
        return f"{self.object} {self.path}" if self.path else str(self.object)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read back what `str` wrote."""
        key, _, path = text.partition(" ")
        return cls(ObjectKey.parse(key), path)
