"""Garbage is collected in calm moments, and at last in others."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Callable

import pytest

from plait.kit.aio.calm import collect_in_calm


class Node:
    """Part of a circle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


async def gone(work: Callable[[], int], *, most: float) -> None:
    """Until a circle that was made now is collected."""
    before = gc.get_threshold()
    collecting = asyncio.create_task(collect_in_calm(work, look=0.001, most=most))
    await asyncio.sleep(0)
    assert gc.get_threshold()[2] > before[2]
    dead = weakref.ref(Node())
    async with asyncio.timeout(60):
        while dead() is not None:
            await asyncio.sleep(0.001)
    collecting.cancel()
    await asyncio.wait((collecting,))
    assert gc.get_threshold() == before


async def test_what_is_garbage_goes_when_nothing_is_done() -> None:
    done = itertools.chain(range(5), itertools.repeat(5))
    await gone(lambda: next(done), most=1000.0)


async def test_it_goes_at_last_where_there_is_always_something_to_do() -> None:
    done = itertools.count()
    await gone(lambda: next(done), most=0.01)
