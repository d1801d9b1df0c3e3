"""Keys waiting to be reconciled: each once, never two at a time, later ones after their time."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from plait.kube.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A set with an order. It is bounded by the number of distinct keys, which is the number of objects.

    A key added while it is being worked on comes up again afterwards, once.
    """

    def __init__(self, *, backoff: Backoff = Backoff(first=0.02, most=30.0)) -> None:  # noqa: B008  (frozen)
        self._ready: dict[K, None] = {}
        self._busy: dict[K, bool] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._backoff = backoff
        self._signal = asyncio.Event()

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as possible."""
        if key in self._busy:
            self._busy[key] = True
            return
        self._ready[key] = None
        self._signal.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Reconcile `key` after a while; of several such wishes the soonest counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0.0)
        if timer := self._timers.get(key):
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    def retry(self, key: K) -> int:
        """Reconcile `key` again after a wait that grows with each failure; gives the number of failures."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, self._backoff.wait(failures))
        return failures

    def succeeded(self, key: K) -> None:
        """Let the next failure count as the first."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; the caller owes a `done`."""
        while not self._ready:
            self._signal.clear()
            await self._signal.wait()
        key = next(iter(self._ready))
        del self._ready[key]
        self._busy[key] = False
        return key

    def done(self, key: K) -> None:
        """The work on `key` has ended."""
        if self._busy.pop(key):
            self.add(key)

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def idle(self) -> bool:
        """Nothing is ready or being worked on (something may be due later)."""
        return not self._ready and not self._busy

    def _ring(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
