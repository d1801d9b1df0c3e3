"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits in seconds that double from `first` to `most`; each is drawn from its upper half.

    The jitter keeps many clients that lost one server from coming back in step.
    """

    first: float = 0.05
    most: float = 15.0

    def wait(self, failures: int) -> float:
        """The wait after so many failures in a row, counted from 1; 0 means none."""
        if failures <= 0:
            return 0.0
        longest = min(self.most, self.first * 2.0 ** min(failures - 1, 32))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, guards nothing)
