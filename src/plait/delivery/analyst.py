"""Keeps what analysis says of every object current, beside the builder and after it.

Changes are noted as they come, which costs next to nothing. When it has been quiet for a moment they are taken in, and
the objects they may concern are judged in slices of a few milliseconds, between which everything else has its turn.
Who writes an object's status asks for its findings at that moment, and gets those of now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.analyze import kinds
from plait.analyze.current import FOLLOWED, CurrentFindings
from plait.api.decode import knows, problems_of
from plait.api.meta import ObjectKey
from plait.xds.engine import Upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from plait.analyze.finding import Finding
    from plait.api.problem import Problem
    from plait.kit.memo import Key
    from plait.xds.engine import Change

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Seconds. `quiet`: without a change before work begins, which it does after `most` at the latest. `slice`: of work
    at a time; the pause after it is `share` times as long as the slice was.
    """

    quiet: float = 0.2
    most: float = 1.0
    slice: float = 0.002
    share: float = 1.0


class Analyst:
    """See the module. `snapshot` answers keys of the mesh as the builder has it, `problems` what is wrong with one of
    its objects in itself.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[Key], Any],
        problems: Callable[[ObjectKey], tuple[Problem, ...]],
        rhythm: Rhythm = Rhythm(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current = CurrentFindings(snapshot, self._problems_of)
        #: The longest that everything else had to wait for it, and how long it has worked, in seconds.
        self.longest = self.worked = 0.0
        self._problems = problems
        self._news: Callable[[ObjectKey], None] = lambda _: None
        self._rhythm = rhythm
        self._clock = clock
        self._objects: dict[tuple[str, ObjectKey], dict[str, Any] | None] = {}
        self._moved: set[Key] = set()
        self._begun = False
        self._wake = asyncio.Event()

    def bind(self, news: Callable[[ObjectKey], None]) -> None:
        """Who is to hear of each object of which there is something else to say."""
        self._news = news

    # what happens

    def take(self, changes: Iterable[Change]) -> None:
        """Objects that are other than before; the builder has them already."""
        for change in changes:
            if isinstance(change, Upsert):
                obj = change.obj
                metadata = obj["metadata"]
                kind = kinds.kind_of(obj["apiVersion"], obj["kind"])
                key, state = ObjectKey(kind[1], metadata.get("namespace") or "", metadata["name"]), obj
            else:
                kind, state = (change.group, change.kind), None
                key = ObjectKey(change.kind, change.namespace, change.name)
            if kind in FOLLOWED:
                self._objects[kind[0], key] = state
                self._wake.set()

    def moved(self, keys: Iterable[Key]) -> None:
        """Entries of the mesh that have changed with what the builder took in."""
        if self._begun:
            self._moved.update(keys)
            self._wake.set()

    def begin(self) -> None:
        """All objects are there: what is missing now is missing."""
        self._begun = True
        self._wake.set()

    # what is known

    def findings(self, key: ObjectKey) -> tuple[Finding, ...] | None:
        """What is to be said of an object now, the worst first; None: that is not known yet."""
        if not self._begun:
            return None
        while self._take_in():
            pass
        return self.current.findings(key)

    def _problems_of(self, key: ObjectKey, obj: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Of what acts only when something starts, the builder knows nothing."""
        group = str(obj["apiVersion"]).rpartition("/")[0]
        return self._problems(key) if knows(group, key.kind) else problems_of(obj)

    # the work

    async def run(self) -> None:
        """Follow the mesh until cancelled."""
        while True:
            await self._wake.wait()
            if not self._begun:
                self._wake.clear()
                continue
            await self._quiet()
            await self._work()

    async def _quiet(self) -> None:
        until = self._clock() + self._rhythm.most
        while (left := until - self._clock()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(min(left, self._rhythm.quiet)):
                    await self._wake.wait()
            except TimeoutError:
                return
        self._wake.clear()

    async def _work(self) -> None:
        more = True
        while more:
            began = time.perf_counter()
            end = began + self._rhythm.slice
            while more := self._take_in() or self.current.step():
                if time.perf_counter() >= end:
                    break
            for key in self.current.news():
                self._news(key)
            while self.current.defects:
                defect, _ = self.current.defects.popitem()
                log.error("analysis: %s", defect)
            took = time.perf_counter() - began
            self.worked += took
            self.longest = max(self.longest, took)
            await asyncio.sleep(took * self._rhythm.share)

    def _take_in(self) -> bool:
        """Take in one change; False: there is none."""
        if self._objects:
            place = next(iter(self._objects))
            (group, key), obj = place, self._objects.pop(place)
            if obj is None:
                self.current.remove(group, key)
            else:
                self.current.put(obj)
            return True
        if self._moved:
            moved, self._moved = self._moved, set()
            self.current.moved(moved)
            return True
        return False
