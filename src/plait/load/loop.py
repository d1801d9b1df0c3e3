"""Where a load waits: descriptors by epoll, moments by an absolute timer.

Not asyncio: a call costs as much as wrk's only when nothing stands between epoll and the handler.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import select
from collections import deque
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Final, Self

#: How long a wait lasts at most, so that interrupts and expired calls are seen.
_LONGEST: Final = 0.1
_BATCH: Final = 512
_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1

Handler = Callable[[int], None]


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class Waiting:
    """Handlers by descriptor, and what is due at a moment of `time.perf_counter`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._soon: deque[Callable[[float], None]] = deque()
        self._order = 0
        self._timer: int | None = None
        self._set = 0.0
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            os.close(self._timer)
        self._epoll.close()

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a new descriptor."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int, handler: Handler) -> None:
        """Watch it for something else."""
        self._handlers[fd] = handler
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget it; to be called before it is closed."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def at(self, moment: float, handler: Callable[[float], None]) -> None:
        """Call it with the time then, not before `moment`."""
        self._order += 1
        heapq.heappush(self._due, (moment, self._order, handler))

    def soon(self, handler: Callable[[float], None]) -> None:
        """Call it when what is at hand is done."""
        self._soon.append(handler)

    def forget_due(self) -> None:
        """Drop all moments."""
        self._due.clear()

    def run(self, until: Callable[[float], bool]) -> None:
        """Wait and call until `until` is true, which is asked a few times a second at least."""
        handlers, poll = self._handlers, self._epoll.poll
        while not until(perf_counter()):
            for fd, events in poll(self._patience(), _BATCH):
                handlers[fd](events)
            self._late()

    def _late(self) -> None:
        """Call what is due."""
        for _ in range(len(self._soon)):
            self._soon.popleft()(perf_counter())
        if self._due:
            now = perf_counter()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2](now)
                now = perf_counter()

    def _patience(self) -> float:
        if self._soon:
            return 0
        if self._due and self._due[0][0] != self._set:
            self._arm(self._due[0][0])
        return _LONGEST

    def _arm(self, moment: float) -> None:
        """Set the timer: epoll itself counts in milliseconds, this one is some 20 µs late and never early."""
        if self._timer is None:
            self._timer = self._libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            if self._timer < 0:
                raise OSError(ctypes.get_errno(), "timerfd_create")
            self.add(self._timer, select.EPOLLIN, self._rung)
        self._set = moment
        nanoseconds = max(1, int(moment * 1e9))
        value = _Timer(_Time(0, 0), _Time(nanoseconds // 10**9, nanoseconds % 10**9))
        if self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(value), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _rung(self, _events: int) -> None:
        assert self._timer is not None  # noqa: S101 -- it rang
        os.read(self._timer, 8)
        self._set = 0.0
