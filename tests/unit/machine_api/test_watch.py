"""The watch contract, as client-go's reflector relies on it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from plait.machine.api.schema import Schemas

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, *, data: str = "", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"k": data}}


class Events:
    """Reads a watch line by line."""

    def __init__(self, content: Any) -> None:
        self._content = content

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            line = await self._content.readline()
        assert line, "the watch ended"
        return json.loads(line)

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def ended(self) -> bool:
        async with asyncio.timeout(60):
            return await self._content.readline() == b""


@asynccontextmanager
async def watching(cluster: Any, path: str = MAPS, query: str = "", accept: str = "*/*") -> AsyncIterator[Events]:
    headers = {"Authorization": "Bearer admin-token", "Accept": accept}
    async with cluster.session.get(f"{cluster.url}{path}?watch=true&{query}", headers=headers) as response:
        assert response.status == 200
        yield Events(response.content)


async def version_of(cluster: Any) -> str:
    _, listing, _ = await cluster.ask("GET", MAPS)
    return str(listing["metadata"]["resourceVersion"])


async def test_without_a_version_everything_is_added_first(cluster: Any) -> None:
    await cluster.made(MAPS, config_map("b"))
    await cluster.made(MAPS, config_map("a"))
    async with watching(cluster) as events:
        assert await events.names(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "kube-root-ca.crt")]
        await cluster.made(MAPS, config_map("c"))
        assert await events.names(1) == [("ADDED", "c")]


async def test_from_a_version_only_what_came_after(cluster: Any) -> None:
    await cluster.made(MAPS, config_map("before"))
    version = await version_of(cluster)
    await cluster.made(MAPS, config_map("after"))
    await cluster.ask("DELETE", f"{MAPS}/before")
    async with watching(cluster, query=f"resourceVersion={version}") as events:
        assert await events.names(2) == [("ADDED", "after"), ("DELETED", "before")]


async def test_the_deletion_carries_its_own_version(cluster: Any) -> None:
    made = await cluster.made(MAPS, config_map("a"))
    version = made["metadata"]["resourceVersion"]
    await cluster.ask("DELETE", f"{MAPS}/a")
    async with watching(cluster, query=f"resourceVersion={version}") as events:
        event = await events.next()
    assert event["type"] == "DELETED"
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_leaving_a_selector_is_a_deletion_and_entering_an_addition(cluster: Any) -> None:
    version = await version_of(cluster)
    async with watching(cluster, query=f"resourceVersion={version}&labelSelector=on%3Dyes") as events:
        await cluster.made(MAPS, config_map("a", on="no"))
        merge = {"Content_Type": "application/merge-patch+json"}
        await cluster.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}}, **merge)
        await cluster.ask("PATCH", f"{MAPS}/a", {"data": {"k": "changed"}}, **merge)
        _, left, _ = await cluster.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}}, **merge)
        await cluster.ask("DELETE", f"{MAPS}/a")
        await cluster.made(MAPS, config_map("z", on="yes"))
        assert await events.names(2) == [("ADDED", "a"), ("MODIFIED", "a")]
        gone = await events.next()
        assert gone["type"] == "DELETED"
        assert gone["object"]["metadata"]["labels"] == {"on": "yes"}  # the last state the watcher knew
        assert gone["object"]["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
        assert await events.names(1) == [("ADDED", "z")]


async def test_initial_events_end_with_a_bookmark(cluster: Any) -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(cluster, query=query) as events:
        assert await events.names(1) == [("ADDED", "kube-root-ca.crt")]
        bookmark = await events.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["metadata"]["resourceVersion"] == await version_of(cluster)
    assert bookmark["object"]["kind"] == "ConfigMap"


async def test_initial_events_need_a_version_match(cluster: Any) -> None:
    status, answer, _ = await cluster.ask("GET", f"{MAPS}?watch=true&sendInitialEvents=true")
    assert (status, answer["reason"]) == (422, "Invalid")


async def test_a_version_of_another_life_is_expired(cluster: Any) -> None:
    for version in ("1", "99999999999"):
        async with watching(cluster, query=f"resourceVersion={version}") as events:
            event = await events.next()
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert await events.ended()


async def test_a_restart_expires_watchers(tmp_path: Path, pki: Path, schemas: Schemas, run_cluster: Any) -> None:
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        version = await version_of(cluster)
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        assert int(await version_of(cluster)) > int(version)
        async with watching(cluster, query=f"resourceVersion={version}") as events:
            assert (await events.next())["object"]["code"] == 410


async def test_a_watch_ends_with_its_time(cluster: Any) -> None:
    version = await version_of(cluster)
    async with watching(cluster, query=f"resourceVersion={version}&timeoutSeconds=1") as events:
        assert await events.ended()


async def test_a_write_that_changes_nothing_is_not_seen(cluster: Any) -> None:
    made = await cluster.made(MAPS, config_map("a", data="x"))
    version = made["metadata"]["resourceVersion"]
    async with watching(cluster, query=f"resourceVersion={version}") as events:
        _, same, _ = await cluster.ask("PUT", f"{MAPS}/a", config_map("a", data="x"))
        assert same["metadata"]["resourceVersion"] == version
        await cluster.ask("PUT", f"{MAPS}/a", config_map("a", data="y"))
        event = await events.next()
    assert event["object"]["data"] == {"k": "y"}


async def test_python_booleans_are_understood(cluster: Any) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    async with cluster.session.get(f"{cluster.url}{MAPS}?watch=True", headers=headers) as response:
        assert json.loads(await response.content.readline())["type"] == "ADDED"


async def test_tables_are_watched_with_columns_once(cluster: Any) -> None:
    await cluster.made(MAPS, config_map("a"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    async with watching(cluster, accept=accept) as events:
        first, second = await events.next(), await events.next()
    assert first["object"]["kind"] == "Table"
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["object"]["rows"][0]["cells"][:2] == ["a", 1]
    assert second["object"]["columnDefinitions"] == []


async def test_metadata_only_watches(cluster: Any) -> None:
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    async with watching(cluster, accept=accept) as events:
        obj = (await events.next())["object"]
    assert set(obj) == {"kind", "apiVersion", "metadata"}
    assert obj["kind"] == "PartialObjectMetadata"


async def test_all_namespaces_and_one(cluster: Any) -> None:
    await cluster.made("/api/v1/namespaces", {"metadata": {"name": "other"}})
    version = await version_of(cluster)
    async with (
        watching(cluster, "/api/v1/configmaps", f"resourceVersion={version}") as everywhere,
        watching(cluster, MAPS, f"resourceVersion={version}") as here,
    ):
        await cluster.made("/api/v1/namespaces/other/configmaps", config_map("there"))
        await cluster.made(MAPS, config_map("here"))
        assert await everywhere.names(2) == [("ADDED", "there"), ("ADDED", "here")]
        assert await here.names(1) == [("ADDED", "here")]


async def test_a_head_of_a_watch_has_no_body(cluster: Any) -> None:
    """What follows on the connection would be taken for the next answer."""
    for _ in range(2):
        status, body, _ = await cluster.ask("HEAD", f"{MAPS}?watch=true")
        assert (status, body) == (200, "")
