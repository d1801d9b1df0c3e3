"""What becomes known between a decision and the act: a pod that is no longer the ReplicaSet's is not deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from plait.kube.kinds import POD, REPLICASET
from plait.kube.recorder import Recorder
from plait.kube.reflect import Batch, Ref, ref_of
from plait.machine.controllers.cache import Cache
from plait.machine.controllers.replicaset import ReplicaSetController
from plait.machine.controllers.writes import Writes

OWNER = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "rs", "resourceVersion": "1", "generation": 1},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


def pod(name: str, version: int, *, owner: str = "rs") -> dict[str, Any]:
    references = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": owner, "controller": True}]
    metadata = {
        "name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": str(version),
        "labels": {"app": "web"}, "ownerReferences": references,
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"}}


class Api:
    """Deletes what it is asked to, and keeps the rest as it is."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def delete(self, _kind: Any, name: str, _namespace: str, **_: Any) -> dict[str, Any]:
        self.deleted.append(name)
        return {"kind": "Status", "status": "Success"}

    async def replace(self, _kind: Any, obj: dict[str, Any], **_: Any) -> dict[str, Any]:
        return obj

    async def create(self, _kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        return obj


@pytest.mark.parametrize(
    ("news", "left"),
    [
        (Batch(kind=POD, upserts=(), deletes=(), synced=False), ["a", "b"]),
        # Somebody took it away from the ReplicaSet, or it is gone and a namesake has another owner.
        (Batch(kind=POD, upserts=(pod("a", 9, owner="other"),), deletes=(), synced=False), ["b"]),
        (Batch(kind=POD, upserts=(), deletes=(Ref("shop", "a"),), synced=False), ["b"]),
    ],
)
async def test_a_pod_that_was_released_after_the_decision_is_left_alone(news: Batch, left: list[str]) -> None:
    cache, api = Cache([POD, REPLICASET]), Api()
    cache.apply(Batch(kind=REPLICASET, upserts=(OWNER,), deletes=(), synced=True))
    cache.apply(Batch(kind=POD, upserts=(pod("a", 2), pod("b", 3)), deletes=(), synced=True))

    def clock() -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    recorder = Recorder(api, "test", clock=clock)
    controller = ReplicaSetController(cache=cache, writes=Writes(api, cache), recorder=recorder, clock=clock)
    # It comes after the pods to delete were chosen, and before the first of them is.
    asyncio.get_running_loop().call_soon(cache.apply, news)
    await controller.reconcile(ref_of(OWNER))
    assert api.deleted == left
