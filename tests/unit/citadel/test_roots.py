"""The root certificate's ConfigMaps on a real API server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

from plait.citadel.roots import KEY, NAME, RootPublisher
from plait.kube.kinds import CONFIGMAP, NAMESPACE
from plait.kube.reflect import reflect


def namespace(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


class Counting:
    """A client that counts what it writes."""

    def __init__(self, client) -> None:
        self._client = client
        self.list, self.watch = client.list, client.watch
        self.written: list[tuple[str, str]] = []

    async def create(self, kind, obj):
        self.written.append(("create", obj["metadata"]["namespace"]))
        return await self._client.create(kind, obj)

    async def patch(self, kind, name, where, body):
        self.written.append(("patch", where))
        return await self._client.patch(kind, name, where, body)


@asynccontextmanager
async def publishing(client, roots: str = "ROOT"):
    publisher = RootPublisher(client)
    publisher.want(roots)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(client, wanted) -> dict[str, str | None]:
    """Wait until the ConfigMaps, by namespace, are as wanted."""
    found: dict[str, str | None] = {}
    fields = f"metadata.name={NAME}"
    async with asyncio.timeout(60), aclosing(reflect(client, [CONFIGMAP], fields=fields)) as batches:
        async for batch in batches:
            for obj in batch.upserts:
                found[obj["metadata"]["namespace"]] = (obj.get("data") or {}).get(KEY)
            for ref in batch.deletes:
                found.pop(ref.namespace, None)
            if wanted(found):
                return found
    raise AssertionError(found)


async def test_every_namespace_has_the_root_a_new_one_at_once(api) -> None:
    client = Counting(api)
    before = {each["metadata"]["name"] for each in (await api.list(NAMESPACE)).items}
    assert "default" in before
    async with publishing(client):
        await until(api, lambda found: found == dict.fromkeys(before, "ROOT"))
        client.written.clear()
        await api.create(NAMESPACE, namespace("shop"))
        await until(api, lambda found: found.get("shop") == "ROOT")
        assert client.written == [("create", "shop")], "only the new one is written"
        meta = (await api.get(CONFIGMAP, NAME, "shop"))["metadata"]
        assert meta["labels"] == {"istio.io/config": "true"}


async def test_what_is_deleted_or_changed_is_put_back_and_nothing_else_is_written(api) -> None:
    client = Counting(api)
    async with publishing(client):
        names = {each["metadata"]["name"] for each in (await api.list(NAMESPACE)).items}
        await until(api, lambda found: found == dict.fromkeys(names, "ROOT"))
        client.written.clear()
        uid = (await api.get(CONFIGMAP, NAME, "default"))["metadata"]["uid"]
        await api.delete(CONFIGMAP, NAME, "default")
        async with asyncio.timeout(60):
            await until(api, lambda found: found.get("default") == "ROOT")
            while (await api.get(CONFIGMAP, NAME, "default"))["metadata"]["uid"] == uid:
                await asyncio.sleep(0.01)
        await api.patch(CONFIGMAP, NAME, "default", {"data": {KEY: "another", "mine": "stays"}})
        await until(api, lambda found: found.get("default") == "ROOT")
        await api.patch(CONFIGMAP, NAME, "default", {"data": {KEY: None}})
        await until(api, lambda found: found.get("default") == "ROOT")
        assert client.written == [("create", "default"), ("patch", "default"), ("patch", "default")]
        assert (await api.get(CONFIGMAP, NAME, "default"))["data"]["mine"] == "stays"


async def test_a_new_root_goes_everywhere_and_one_that_is_there_is_not_written(api) -> None:
    client = Counting(api)
    async with publishing(client) as publisher:
        names = {each["metadata"]["name"] for each in (await api.list(NAMESPACE)).items}
        await until(api, lambda found: found == dict.fromkeys(names, "ROOT"))
        publisher.want("NEW")
        await until(api, lambda found: found == dict.fromkeys(names, "NEW"))
    client.written.clear()
    async with publishing(client, "NEW"):
        await api.create(NAMESPACE, namespace("later"))
        await until(api, lambda found: found.get("later") == "NEW")
    assert client.written == [("create", "later")]


async def test_before_the_root_is_known_nothing_is_written(api) -> None:
    client = Counting(api)
    publisher = RootPublisher(client)
    task = asyncio.create_task(publisher.run())
    async with aclosing(reflect(api, [NAMESPACE])) as batches:
        async for batch in batches:
            if batch.synced:
                break
    assert not client.written
    publisher.want("ROOT")
    await until(api, lambda found: "default" in found)
    task.cancel()
    await asyncio.wait({task})
