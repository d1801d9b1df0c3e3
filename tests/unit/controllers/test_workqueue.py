from __future__ import annotations

import asyncio

from plait.kube.backoff import Backoff
from plait.machine.controllers.workqueue import WorkQueue


async def test_a_key_is_there_once_and_comes_again_if_added_while_busy():
    queue: WorkQueue[str] = WorkQueue()
    for key in "aba":
        queue.add(key)
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "b"
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done("a")
    assert await waiting == "a"
    queue.done("a")
    queue.done("b")
    assert queue.idle


async def test_of_several_times_the_soonest_counts():
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("a", 0.001)
    queue.add_after("a", 1800)
    async with asyncio.timeout(60):
        assert await queue.get() == "a"
    queue.done("a")
    queue.close()


async def test_failures_wait_longer_each_time_until_one_succeeds():
    queue: WorkQueue[str] = WorkQueue(backoff=Backoff(first=1000, most=10000))
    assert [queue.retry("a"), queue.retry("a")] == [1, 2]
    queue.succeeded("a")
    assert queue.retry("a") == 1
    queue.close()


async def test_two_workers_never_have_the_same_key():
    queue: WorkQueue[int] = WorkQueue()
    busy: set[int] = set()
    done = 0

    async def work() -> None:
        nonlocal done
        while True:
            key = await queue.get()
            assert key not in busy
            busy.add(key)
            await asyncio.sleep(0)
            busy.discard(key)
            queue.done(key)
            done += 1

    workers = [asyncio.ensure_future(work()) for _ in range(4)]
    for turn in range(200):
        queue.add(turn % 3)
        await asyncio.sleep(0)
    while not queue.idle:
        await asyncio.sleep(0)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert done >= 3
