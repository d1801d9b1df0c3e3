"""Clocks that are set while pods run."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from plait.kit.aio import wall_clock
from plait.kit.aio.wall_clock import wait_until
from plait.machine.node import deadline as deadlines
from plait.machine.node.deadline import deadline
from plait.machine.node.record import PodRecord


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """The wall clock, to be set; how time passes for those who measure it stays."""
    real, shift = time.time, SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(time, "time", lambda: real() + shift.seconds)
    return shift


async def waits(awaitable) -> bool:
    """Whether it is still waiting after a while."""
    task = asyncio.ensure_future(awaitable)
    _, pending = await asyncio.wait({task}, timeout=0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return bool(pending)


async def test_a_pods_deadline_does_not_move_with_the_clock(clock, monkeypatch):
    monkeypatch.setattr(deadlines, "_LOOK", 0.01)
    record = PodRecord(uid="u", namespace="n", name="p", created_at=time.time())
    pod = SimpleNamespace(object={"spec": {"activeDeadlineSeconds": 100}}, record=record)
    for hours in (1, -1):
        clock.seconds = hours * 3600.0
        assert await waits(deadline(pod))
    record.began -= 101
    async with asyncio.timeout(60):
        await deadline(pod)


async def test_what_is_due_by_the_clock_is_due_when_it_is_set_forward(clock, monkeypatch):
    monkeypatch.setattr(wall_clock, "_LOOK", 0.01)
    news = asyncio.Event()
    due = time.time() + 1000
    assert await waits(wait_until(due, or_set=news))
    waiting = asyncio.create_task(wait_until(due, or_set=news))
    await asyncio.sleep(0)
    clock.seconds = 3600.0
    async with asyncio.timeout(60):
        await waiting


async def test_what_has_begun_has_not_when_the_clock_is_set_back(clock, monkeypatch):
    monkeypatch.setattr(wall_clock, "_LOOK", 0.01)
    began, due, news = time.time() - 60, time.time() + 1000, asyncio.Event()
    assert await waits(wait_until(due, since=began, or_set=news))
    clock.seconds = -3600.0
    async with asyncio.timeout(60):
        await wait_until(due, since=began, or_set=news)


async def test_news_end_the_wait(monkeypatch):
    monkeypatch.setattr(wall_clock, "_LEAST", 0.01)
    news = asyncio.Event()
    assert await waits(wait_until(None, or_set=news))
    async with asyncio.timeout(60):
        await wait_until(time.time() - 1, or_set=news)
        news.set()
        await wait_until(None, or_set=news)
