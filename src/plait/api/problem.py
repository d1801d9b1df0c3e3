"""A user's mistake is a value: what is wrong, where, and what to write instead. Collected, never raised."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from plait.api.meta import ObjectKey


class Level(Enum):
    """How bad a problem is.

    ERROR: the object cannot be used and is refused. WARNING: it is used, but something in it does not do what its
    author expects. INFO: worth knowing.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding about one object.

    `path` leads to the field (`spec.http[0].route[1].weight`), `value` is what stands there, `fix` says what to write
    instead (both may be empty), `code` is a word for programs.
    """

    object: ObjectKey
    path: str
    message: str
    level: Level = Level.ERROR
    fix: str = ""
    value: Any = None
    code: str = "InvalidMeaning"

    def __str__(self) -> str:
        where = f"{self.object}: {self.path}: " if self.path else f"{self.object}: "
        return where + self.message + (f" ({self.fix})" if self.fix else "")
