"""What a look at the machine has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: `problem` is None when the capability is there; `fix` is one line to run or do.

    `found` says what was found, where that is worth saying.
    """

    name: str
    problem: str | None
    fix: str
    required: bool = True
    found: str = ""

    @property
    def fatal(self) -> bool:
        """Without this nothing can run."""
        return self.problem is not None and self.required
