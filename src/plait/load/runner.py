"""A run of a load: who calls when, what is measured, when it ends. Semantics are fortio's, so its figures compare."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time_ns
from typing import Final, Protocol

from plait.load import log as levels
from plait.load.answer import good
from plait.load.connection import SOCKET_ERROR, Connection
from plait.load.golang import duration, general
from plait.load.histogram import Histogram
from plait.load.log import Log
from plait.load.loop import Waiting

#: How often calls are looked at that may have taken too long.
_SWEEP: Final = 0.05


class WarmupError(Exception):
    """The target does not answer as it should before the run has begun."""


class AccessLog(Protocol):
    """Told of each call."""

    def report(self, thread: int, call: int, began: int, latency: float, code: int) -> None:
        """`began` in Unix nanoseconds, `latency` in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much is called: `qps` 0 or less is as fast as possible, `seconds` 0 is until interrupted."""

    qps: float
    seconds: float
    calls: int
    threads: int
    jitter: bool = False
    uniform: bool = False
    catch_up: bool = True

    @property
    def paced(self) -> bool:
        """Whether there is a rate."""
        return self.qps > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the threads get: `each` so many calls (0 = not counted), the first `extra` more."""

    threads: int
    each: int
    extra: int

    @classmethod
    def of(cls, pace: Pace, log: Log) -> Share:
        """Deal the calls out by fortio's rules, which lower the number of threads for a rate with few calls."""
        threads = pace.threads
        if not pace.calls and not pace.seconds:
            return cls(threads=threads, each=0, extra=0)
        if not pace.paced:
            return cls(threads=threads, each=pace.calls // threads, extra=pace.calls % threads)
        total = pace.calls or int(pace.qps * pace.seconds)
        if total < 2:
            log.write(
                levels.WARNING,
                "Increasing the number of calls to the minimum of 2 with 1 thread. total duration will increase",
            )
            total, threads = 2, 1
        if 2 * threads > total:
            lower = total // 2
            log.write(
                levels.WARNING,
                f"Lowering number of threads - total call {total} -> lowering from {threads} to {lower} threads",
            )
            threads = lower
        each = total // threads
        return cls(threads=threads, each=each, extra=pace.calls - each * threads if pace.calls else 0)


@dataclass(slots=True, kw_only=True)
class Measured:
    """What a run has measured. `sizes` counts (code, size, size of the head)."""

    times: Histogram
    errors: Histogram
    sleeps: Histogram = field(default_factory=lambda: Histogram(-0.001, 0.001))
    #: From when a call was due to its end: what a client sees that does not wait for others. Only with a rate.
    responses: Histogram | None = None
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    began: int = 0
    elapsed: float = 0.0


@dataclass(slots=True)
class _Thread:
    connection: Connection
    most: int
    index: int = 0
    due: float = 0.0
    start: float = 0.0


class Runner:
    """Runs one load on connections that exist."""

    def __init__(
        self,
        connections: Sequence[Connection],
        waiting: Waiting,
        log: Log,
        *,
        pace: Pace,
        measured: Measured,
        access: AccessLog | None = None,
        abort_on: int = 0,
    ) -> None:
        self._connections, self._waiting, self._log = connections, waiting, log
        self._pace, self._measured, self._access, self._abort_on = pace, measured, access, abort_on
        self._threads: list[_Thread] = []
        self._running = 0
        self._start = self._end = self._swept = 0.0
        self._stopped = False

    def stop(self) -> None:
        """End the run after the calls under way; safe in a signal handler."""
        self._stopped = True

    def warm_up(self, *, one_by_one: bool, lenient: bool, url: str) -> None:
        """A call on each connection that nobody counts; raises WarmupError on a failure unless `lenient`."""
        failures: list[tuple[int, int, int]] = []

        def warm(connection: Connection, code: int, size: int, _head: int) -> None:
            self._running -= 1
            if not good(code):
                failures.append((code, size, connection.number))

        groups = [[c] for c in self._connections] if one_by_one else [list(self._connections)]
        for group in groups:
            for connection in group:
                connection.done = warm
                self._running += 1
                connection.call(perf_counter())
            self._waiting.run(self._idle)
            if failures and not lenient:
                code, size, number = failures[0]
                detail = f"({size} body bytes), thread# {number}" if one_by_one else f"({size} bytes)"
                raise WarmupError(f"error {code} for {url} {detail}")
            if self._stopped:
                raise WarmupError("interrupted")

    def run(self, share: Share) -> None:
        """The run itself; returns when all threads have ended."""
        pace = self._pace
        self._threads = [
            _Thread(connection, share.each + (share.extra if connection.number == 0 else 0))
            for connection in self._connections[: share.threads]
        ]
        done = self._paced if pace.paced else self._fast()
        for thread in self._threads:
            thread.connection.done = done
        self._measured.began = time_ns()
        self._start = perf_counter()
        self._end = self._start + pace.seconds if pace.seconds and not pace.calls else float("inf")
        self._running = len(self._threads)
        for number, thread in enumerate(self._threads):
            if pace.calls and not thread.most:
                self._over(thread)
                continue
            wait = number / share.threads / (pace.qps / share.threads) if pace.paced and pace.uniform else 0.0
            thread.start = thread.due = self._start + wait
            self._begin(thread, wait)
        self._waiting.run(self._idle)
        self._measured.elapsed = perf_counter() - self._start
        self._waiting.forget_due()

    def _begin(self, thread: _Thread, wait: float) -> None:
        if wait:
            self._waiting.at(thread.start, thread.connection.call)
        else:
            thread.connection.call(perf_counter())

    def _idle(self, now: float) -> bool:
        """Whether all is done; looks after calls that have taken too long and after memory."""
        if self._stopped and self._threads:
            self._wake()
        if now - self._swept > _SWEEP:
            self._swept = now
            for connection in self._connections:
                if connection.busy and now > connection.deadline:
                    connection.expire(now)
            self._measured.times.tidy()
            self._measured.errors.tidy()
        return not self._running

    def _wake(self) -> None:
        """An interrupt ends the sleep of threads that wait for their turn."""
        for thread in self._threads:
            if not thread.connection.busy and thread.due >= 0:
                self._over(thread)
        self._waiting.forget_due()

    def _fast(self) -> Callable[[Connection, int, int, int], None]:
        """What happens at the end of a call without a rate: closed over what it needs, since it is the busiest code."""
        record, fail, sizes = (
            self._measured.times.fresh.append,
            self._measured.errors.fresh.append,
            self._measured.sizes,
        )
        threads, access = self._threads, self._access
        most = [thread.most for thread in threads]
        abort_on = self._abort_on

        def done(connection: Connection, code: int, size: int, head: int) -> None:
            now = perf_counter()
            latency = now - connection.started
            record(latency)
            sizes[code, size, head] += 1
            number = connection.number
            connection.calls = calls = connection.calls + 1
            if not 200 <= code <= 299 and not good(code):
                fail(latency)
            if access is not None:
                self._report(connection, now, latency, code)
            if code == abort_on and abort_on:
                self._abort(code, size)
            if calls == most[number] or self._stopped or now > self._end:
                self._over(threads[number])
            elif code == SOCKET_ERROR:  # not at once: a failure may come back before this returns
                self._waiting.soon(connection.call)
            else:
                connection.call(now)

        return done

    def _paced(self, connection: Connection, code: int, size: int, head: int) -> None:
        """The end of a call with a rate: the next is due by the clock, not by this one."""
        now = perf_counter()
        measured, thread = self._measured, self._threads[connection.number]
        latency = now - connection.started
        measured.times.fresh.append(latency)
        measured.sizes[code, size, head] += 1
        connection.calls += 1
        if measured.responses is not None:
            measured.responses.fresh.append(now - min(thread.due, connection.started))
        if not good(code):
            measured.errors.fresh.append(latency)
        if self._access is not None:
            self._report(connection, now, latency, code)
        if code == self._abort_on and self._abort_on:
            self._abort(code, size)
        self._next(thread, now)

    def _next(self, thread: _Thread, now: float) -> None:
        pace = self._pace
        rate = pace.qps / len(self._threads)
        while True:
            thread.index += 1
            if thread.most and thread.index >= thread.most:
                self._over(thread)
                return
            spread = thread.index / (thread.most - 1) if pace.seconds and thread.most > 1 else 0.0
            sleep = thread.start + (thread.index + spread) / rate - now
            if sleep >= 0 or pace.catch_up:
                break
        thread.due = now + sleep
        if pace.jitter and sleep > 0:
            sleep += sleep * random.uniform(-0.1, 0.1)  # noqa: S311 -- spreads load
        self._measured.sleeps.fresh.append(sleep)
        if self._stopped:
            self._over(thread)
            return
        connection = thread.connection
        if sleep <= 0:
            self._waiting.soon(lambda at: self._turn(connection, thread, at))
        else:
            self._waiting.at(now + sleep, lambda at: self._turn(connection, thread, at))

    def _turn(self, connection: Connection, thread: _Thread, now: float) -> None:
        if thread.due < 0 or self._stopped:
            self._over(thread)
        elif now > self._end and thread.index >= 2 and thread.index != thread.most - 1:
            self._log.write(
                levels.WARNING,
                f"T{connection.number:03d} warning only did {thread.index} out of {thread.most} calls "
                f"before reaching {duration(round(self._pace.seconds * 1e9))}",
            )
            self._over(thread)
        else:
            connection.call(now)

    def _over(self, thread: _Thread) -> None:
        if thread.due < 0:
            return
        thread.due = -1.0
        self._running -= 1
        spent, calls = perf_counter() - self._start, thread.connection.calls
        if self._log.shows(levels.INFO):
            self._log.write(
                levels.INFO,
                f"T{thread.connection.number:03d} ended after {duration(round(spent * 1e9))} : {calls} calls. "
                f"qps={general(calls / spent) if spent else 0}",
            )

    def _abort(self, code: int, size: int) -> None:
        self._log.write(levels.INFO, "Aborted run because of http code", code=code, size=size)
        self.stop()

    def _report(self, connection: Connection, now: float, latency: float, code: int) -> None:
        assert self._access is not None  # noqa: S101 -- asked before
        began = self._measured.began + round((now - latency - self._start) * 1e9)
        self._access.report(connection.number, connection.calls - 1, began, latency, code)
