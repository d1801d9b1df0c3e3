"""The Node object and its Lease."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait.kube.errors import ApiError
from plait.kube.kinds import LEASE, NODE
from plait.machine.node import registration
from plait.machine.node.registration import Registration, node_status

MISSING = ApiError.of({"code": 404, "reason": "NotFound", "message": "gone"})


class Api:
    """A Node and a Lease."""

    def __init__(self) -> None:
        self.objects: dict[Any, dict[str, Any]] = {}
        self.made: list[str] = []

    async def get(self, kind: Any, _name: str, _namespace: str | None = None) -> dict[str, Any]:
        if kind not in self.objects:
            raise MISSING
        return self.objects[kind]

    async def create(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        if kind in self.objects:
            raise ApiError.of({"code": 409, "reason": "AlreadyExists", "message": "there"})
        self.made.append(kind.kind)
        self.objects[kind] = obj
        return obj

    async def patch(self, kind: Any, name: str, namespace: str | None, body: Any, **_: Any) -> dict[str, Any]:
        self.objects[kind] = {**await self.get(kind, name, namespace), **body}
        return self.objects[kind]


class Events:
    def node(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""


async def test_a_node_that_somebody_deletes_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_RENEW", 0)
    api, truthful = Api(), asyncio.Event()
    made = Registration(api, Events(), address="10.42.0.1", pod_cidr="10.42.0.0/17", boot="one")
    task = asyncio.create_task(made.run(truthful))
    try:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
            assert not api.made, "not before what the API says of its pods is true"
            truthful.set()
            for gone in (NODE, LEASE, NODE):
                while not {NODE, LEASE} <= api.objects.keys() or "status" not in api.objects[NODE]:
                    await asyncio.sleep(0)
                del api.objects[gone]
            while not {NODE, LEASE} <= api.objects.keys():
                await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sorted(api.made) == ["Lease", "Lease", "Node", "Node", "Node"]


def test_a_condition_that_stays_as_it_is_keeps_its_time() -> None:
    first = node_status({}, address="10.42.0.1", now="2026-01-01T00:00:00Z", boot="one")
    sick = [{**each, "status": "False"} if each["type"] == "Ready" else each for each in first["conditions"]]
    later = node_status({"conditions": sick}, address="10.42.0.1", now="2026-01-02T00:00:00Z", boot="two")
    since = {each["type"]: each["lastTransitionTime"][:10] for each in later["conditions"]}
    assert since == {
        "MemoryPressure": "2026-01-01",
        "DiskPressure": "2026-01-01",
        "PIDPressure": "2026-01-01",
        "Ready": "2026-01-02",
    }
    assert {each["lastHeartbeatTime"][:10] for each in later["conditions"]} == {"2026-01-02"}
