"""The keys that rules about tokens ask for, fetched and kept fresh.

Each source is fetched as soon as somebody wants it, again after failures, and then once in a while; what came stays
in use until other keys come.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from plait.api.durations import parse_duration
from plait.kube.backoff import Backoff
from plait.snapshot.tokens import KeysStanding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from plait.snapshot.tokens import KeySource, KeysWanted

log = logging.getLogger(__name__)

#: Istio's time for one fetch, in seconds, where no rule names one.
PATIENCE: Final = 5.0
_AGAIN: Final = Backoff(first=0.5, most=60.0)


class FetchError(Exception):
    """Keys could not be had; the text says why, for users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A set of keys as JSON. `fresh`: for how many seconds its server calls it so; None: it does not say."""

    keys: str
    fresh: float | None = None


class Fetch(Protocol):
    """How a source is fetched."""

    async def __call__(self, source: KeySource, *, within: float) -> Fetched:
        """One attempt, which may take `within` seconds. Raises FetchError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Seconds: keys are fetched again after `refresh` (Istio's 20 minutes), sooner where their server says how long
    they are fresh, but not before `least`; after failures as `again` says.
    """

    refresh: float = 20 * 60.0
    least: float = 5.0
    again: Backoff = _AGAIN

    def next(self, fresh: float | None) -> float:
        """How long after a success."""
        return self.refresh if fresh is None else min(self.refresh, max(self.least, fresh))


class KeyKeeper:
    """`want` says which keys are needed. `came` hears of keys, and of an attempt in vain where there are none (None);
    `gone` of a source that nobody wants any more; `news` that something else is to be said of what is wanted.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        came: Callable[[KeySource, str | None], None],
        gone: Callable[[KeySource], None],
        news: Callable[[], None],
        rhythm: Rhythm = Rhythm(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fetch = fetch
        self._came = came
        self._gone = gone
        self._news = news
        self._rhythm = rhythm
        self._sleep = sleep
        self._wanted: tuple[KeysWanted, ...] = ()
        self._patience: dict[KeySource, float] = {}
        self._standing: dict[KeySource, KeysStanding] = {}
        self._tasks: dict[KeySource, asyncio.Task[None]] = {}
        self._signal = asyncio.Event()
        self._complete = asyncio.Event()
        self._complete.set()

    def want(self, wanted: Iterable[KeysWanted]) -> None:
        """All that is needed from now on."""
        found = tuple(wanted)
        if found == self._wanted:
            return
        self._wanted, self._patience = found, {}
        for each in found:
            # Of several rules with one source the most patient decides.
            said = parse_duration(each.patience) if each.patience else None
            seconds = said.total_seconds() if said is not None else PATIENCE
            self._patience[each.source] = max(seconds, self._patience.get(each.source, 0.0))
        self._note()
        self._signal.set()

    def standing(self) -> tuple[tuple[KeysWanted, KeysStanding], ...]:
        """How it is with all that is wanted and was looked for."""
        return tuple((each, self._standing[each.source]) for each in self._wanted if each.source in self._standing)

    async def looked(self, *, within: float) -> None:
        """Return when all that is wanted was looked for once, or after so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._complete.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._signal.wait()
                self._signal.clear()
                for source in self._tasks.keys() - self._patience.keys():
                    self._tasks.pop(source).cancel()
                    self._standing.pop(source, None)
                    self._gone(source)
                for source in self._patience.keys() - self._tasks.keys():
                    self._tasks[source] = tasks.create_task(self._follow(source), name=f"keys of {source.url}")
                self._note()

    async def _follow(self, source: KeySource) -> None:
        failures = 0
        while True:
            try:
                fetched = await self._fetch(source, within=self._patience.get(source, PATIENCE))
            except FetchError as error:
                failures += 1
                self._failed(source, str(error))
                await self._sleep(self._rhythm.again.wait(failures))
            else:
                failures = 0
                self._took(source, fetched.keys)
                await self._sleep(self._rhythm.next(fetched.fresh))

    def _took(self, source: KeySource, keys: str) -> None:
        before = self._standing.get(source, KeysStanding())
        self._standing[source] = KeysStanding(keys)
        if before.keys != keys:
            log.info("keys of %s: %s", source.url, "fetched" if before.keys is None else "others than before")
            self._came(source, keys)
        if before != KeysStanding(keys):
            self._note()

    def _failed(self, source: KeySource, problem: str) -> None:
        known = self._standing.get(source)
        keys = known.keys if known is not None else None
        self._standing[source] = KeysStanding(keys, problem)
        if known is None or known.problem != problem:
            log.warning("keys of %s: %s", source.url, problem)
            if known is None:
                self._came(source, None)
            self._note()

    def _note(self) -> None:
        if self._patience.keys() <= self._standing.keys():
            self._complete.set()
        else:
            self._complete.clear()
        self._news()
