"""How often one caller may ask: a bucket of tokens each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

#: Callers that are remembered; one that was forgotten begins with a full bucket.
_KEPT: Final = 4096


@dataclass(slots=True)
class Allowance:
    """`burst` requests at once, and then `rate` a second. A restart of a large Deployment is a burst; an agent that
    asks again and again without end is not served faster than it should ask.
    """

    burst: float = 2000.0
    rate: float = 20.0
    _known: OrderedDict[Hashable, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)

    def take(self, caller: Hashable, now: float) -> float:
        """0 where the caller may ask now, else in how many seconds; `now` is in seconds of any clock that never goes
        back.
        """
        left, since = self._known.get(caller, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.rate)
        granted = left >= 1.0
        self._known[caller] = (left - 1.0 if granted else left, now)
        self._known.move_to_end(caller)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return 0.0 if granted else (1.0 - left) / self.rate
