"""The circuit breaker round each endpoint of the original: gobreaker, open for 30 s. Pure: callers bring the clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FAILURES_TO_OPEN = 6
OPEN_SECONDS = 30.0


class State(Enum):
    """What a breaker does with the next call: let it through, refuse it, or try one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class RefusedError(Exception):
    """The breaker lets no call through; the text is gobreaker's."""


@dataclass(slots=True)
class Breaker:
    """Opens at the sixth failure in a row, refuses calls for 30 s, then lets one through to decide."""

    state: State = State.CLOSED
    _failures: int = 0
    _opened: float = 0.0
    _trial: bool = False
    _generation: int = 0

    def admit(self, now: float) -> int:
        """A pass for one call, to be handed to `settle`. `now` is a steady time in seconds. Raises RefusedError."""
        if self.state is State.OPEN and now - self._opened >= OPEN_SECONDS:
            self._enter(State.HALF_OPEN)
        if self.state is State.OPEN:
            raise RefusedError("circuit breaker is open")
        if self.state is State.HALF_OPEN:
            if self._trial:
                raise RefusedError("too many requests")
            self._trial = True
        return self._generation

    def settle(self, admission: int, *, succeeded: bool, now: float) -> None:
        """What became of the call. A call admitted before the last change of state no longer counts."""
        if admission != self._generation:
            return
        if succeeded:
            self._failures = 0
            if self.state is State.HALF_OPEN:
                self._enter(State.CLOSED)
            return
        self._failures += 1
        if self.state is State.HALF_OPEN or self._failures >= FAILURES_TO_OPEN:
            self._opened = now
            self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._failures = 0
        self._trial = False
        self._generation += 1
