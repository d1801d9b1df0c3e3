"""When to publish: the first change at once, a burst of them together, endpoints never late."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Debounce:
    """Times in seconds of any one clock.

    A change after `quiet` without one is due at once. Further ones are due when nothing came for `quiet`, at the
    latest `limit` after the first of them. A change of endpoints is due at once, and takes along what waits.
    """

    quiet: float = 0.008
    limit: float = 0.15
    _published: float = field(default=float("-inf"), init=False)
    _first: float | None = field(default=None, init=False)
    _due: float | None = field(default=None, init=False)

    def note(self, now: float, *, endpoints_only: bool) -> None:
        """A change came in."""
        if self._first is None:
            self._first = now
        if endpoints_only or (self._due is None and now - self._published >= self.quiet):
            self._due = now
        elif self._due is None or self._due > now:
            self._due = min(now + self.quiet, self._first + self.limit)

    def due(self) -> float | None:
        """When to publish, None when nothing waits."""
        return self._due

    def published(self, now: float) -> float | None:
        """Everything noted is published; when the first of it had come in."""
        first, self._first, self._due = self._first, None, None
        self._published = now
        return first
