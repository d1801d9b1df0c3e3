from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from plait.kube.backoff import Backoff
from plait.kube.kinds import CONFIGMAP, SECRET
from plait.kube.reflect import Inbox, Ref, reflect

QUICK = Backoff(first=0.001, most=0.01)


def values(batch) -> dict[str, str]:
    return {obj["metadata"]["name"]: obj["data"]["v"] for obj in batch.upserts}


async def test_the_first_batch_is_everything_and_later_ones_are_changes(api, client):
    await api.set("a", "1")
    await api.set("b", "1")
    async with aclosing(reflect(client, [CONFIGMAP], backoff=QUICK)) as batches:
        first = await anext(batches)
        assert first.synced
        assert values(first) == {"a": "1", "b": "1"}
        await api.set("a", "2")
        second = await anext(batches)
        assert not second.synced
        assert values(second) == {"a": "2"}
        assert second.upserts[0]["kind"] == "ConfigMap"
        await api.remove("b")
        assert (await anext(batches)).deletes == (Ref("default", "b"),)


async def test_after_a_restart_of_the_server_only_differences_are_reported(api, client):
    await api.set("a", "1")
    await api.set("b", "1")
    async with aclosing(reflect(client, [CONFIGMAP], backoff=QUICK)) as batches:
        await anext(batches)
        await api.watch_opened.wait()
        api.objects["default", "a"] = {
            "metadata": {"name": "a", "namespace": "default", "resourceVersion": "900"},
            "data": {"v": "2"},
        }
        del api.objects["default", "b"]
        await api.restart()
        batch = await anext(batches)
        assert values(batch) == {"a": "2"}
        assert batch.deletes == (Ref("default", "b"),)
        assert not batch.synced


async def test_trouble_is_waited_out(api, client, failure):
    api.faults += [lambda _: failure(500, "InternalError")] * 3
    await api.set("a", "1")
    async with aclosing(reflect(client, [CONFIGMAP], backoff=QUICK)) as batches:
        assert values(await anext(batches)) == {"a": "1"}


async def test_a_kind_that_is_not_served_is_synced_and_empty_until_it_is(api, client):
    api.served = False
    await api.set("a", "1")
    async with aclosing(reflect(client, [CONFIGMAP], backoff=QUICK)) as batches:
        first = await anext(batches)
        assert first.synced
        assert first.upserts == ()
        api.served = True
        assert values(await anext(batches)) == {"a": "1"}


async def test_an_ended_watch_goes_on_where_it_stopped(api, client):
    async with aclosing(reflect(client, [CONFIGMAP], backoff=QUICK)) as batches:
        await anext(batches)
        await api.watch_opened.wait()
        old, api.cut = api.cut, asyncio.Event()
        old.set()
        await api.set("a", "1")
        assert values(await anext(batches)) == {"a": "1"}
    assert [query.get("watch") for _, _, query, _ in api.requests].count(None) == 1


async def test_leaving_ends_the_watch(api, client):
    async with aclosing(reflect(client, [CONFIGMAP, CONFIGMAP], backoff=QUICK)) as batches:
        await anext(batches)
        await api.watch_opened.wait()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("reflect")]


def test_what_waits_is_the_newest_state_of_each_object():
    inbox = Inbox()
    for value in "123":
        inbox.put(CONFIGMAP, Ref("n", "a"), {"v": value})
    inbox.put(CONFIGMAP, Ref("n", "b"), {"v": "1"})
    inbox.put(CONFIGMAP, Ref("n", "b"), None)
    inbox.put(SECRET, Ref("n", "c"), {"v": "1"})
    batch = inbox.take()
    assert (batch.kind, batch.upserts, batch.deletes) == (CONFIGMAP, ({"v": "3"},), (Ref("n", "b"),))
    assert inbox.take().kind is SECRET
    assert inbox.take() is None


@pytest.mark.parametrize(("failures", "longest"), [(0, 0), (1, 1), (3, 4), (50, 10)])
def test_waits_double_up_to_a_limit(failures, longest):
    waits = [Backoff(first=1, most=10).wait(failures) for _ in range(50)]
    assert all(longest / 2 <= wait <= longest for wait in waits)
