# ruff: noqa: ARG002  (the fakes have the client's signatures)
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from plait.kube.errors import Forbidden, NotFound, Unreachable
from plait.kube.recorder import Recorder

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
}


class Events:
    """Keeps Events; `trouble` is raised instead, oldest first."""

    def __init__(self) -> None:
        self.kept: dict[str, dict] = {}
        self.trouble: list[Exception] = []
        self.asked = 0
        self.changed = asyncio.Condition()

    async def create(self, kind, obj):
        await self._step()
        self.kept[obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, kind, name, namespace, body):
        await self._step()
        if name not in self.kept:
            raise NotFound({"code": 404})
        self.kept[name] |= body
        return self.kept[name]

    async def _step(self) -> None:
        async with self.changed:
            self.asked += 1
            self.changed.notify_all()
        if self.trouble:
            raise self.trouble.pop(0)

    async def until(self, holds) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0)


@asynccontextmanager
async def recording(events: Events) -> AsyncIterator[Recorder]:
    recorder = Recorder(events, "tester", host="plait", clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    task = asyncio.ensure_future(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def say(recorder: Recorder, message: str = "m") -> None:
    recorder.record(POD, type="Normal", reason="R", message=message, field="spec.containers{c}")


async def test_an_event_names_its_object():
    events = Events()
    async with recording(events) as recorder:
        say(recorder)
        await events.until(lambda: events.kept)
    (event,) = events.kept.values()
    assert event["metadata"]["namespace"] == "shop"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "a",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    }
    assert (event["count"], event["firstTimestamp"]) == (1, "2026-01-02T03:04:05Z")
    assert event["source"] == {"component": "tester", "host": "plait"}


async def test_an_event_that_repeats_is_counted():
    events = Events()
    async with recording(events) as recorder:
        say(recorder)
        say(recorder)
        await events.until(lambda: events.kept)
        say(recorder)
        await events.until(lambda: [event["count"] for event in events.kept.values()] == [3])
        events.kept.clear()
        say(recorder)
        await events.until(lambda: [event["count"] for event in events.kept.values()] == [1])


async def test_trouble_with_one_event_does_not_stop_the_next():
    events = Events()
    events.trouble = [Forbidden({"code": 403}), Unreachable.because("api", OSError("away"), sent=False)]
    async with recording(events) as recorder:
        say(recorder, "refused")
        say(recorder, "tried again")
        await events.until(lambda: events.kept)
    assert [event["message"] for event in events.kept.values()] == ["tried again"]


async def test_while_the_api_is_away_a_bounded_number_waits():
    recorder = Recorder(Events(), "tester")
    for number in range(3000):
        say(recorder, str(number))
    assert len(recorder._waiting) == 1000
