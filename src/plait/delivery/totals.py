"""What the builder counts, and what delivery processes counted of which it has been told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plait.delivery.frames import Certified, Counters


@dataclass(slots=True)
class Totals:
    """Counted since the builder started."""

    pushes: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    convergence: Counter[int] = field(default_factory=Counter)
    convergence_sum: float = 0.0
    changes: int = 0
    publications: int = 0
    build_seconds: float = 0.0
    deliveries: int = 0
    requests: Counter[str] = field(default_factory=Counter)

    def certified(self, since: Certified, now: Certified) -> None:
        """What became of signing requests between two reports."""
        for name in now.__struct_fields__:
            self.requests[name] += getattr(now, name) - getattr(since, name)

    def add(self, since: Counters, now: Counters) -> None:
        """What a delivery process counted between two reports."""
        self.pushes.update(Counter(now.pushes) - Counter(since.pushes))
        self.rejects.update(Counter(now.rejects) - Counter(since.rejects))
        for index, count in enumerate(now.convergence):
            self.convergence[index] += count - (since.convergence[index] if since.convergence else 0)
        self.convergence_sum += now.convergence_sum - since.convergence_sum
