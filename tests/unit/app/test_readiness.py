from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait.app.readiness import NotReadyInTimeError, Step, Waiter, describe, is_ready, troubles
from plait.kube.client import Listing


def deployment(*, replicas: int = 2, **status: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "shop", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 3, "replicas": replicas, "updatedReplicas": replicas, **status},
    }


def pod(name: str, *, ready: str = "True", **metadata: Any) -> dict[str, Any]:
    labels = {"app": "web", "pod-template-hash": "x"}
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels, **metadata},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize(
    ("obj", "pods", "ready"),
    [
        pytest.param(deployment(), [pod("a"), pod("b")], True, id="all there"),
        pytest.param(deployment(), [pod("a")], False, id="one is missing, whatever the status says"),
        pytest.param(deployment(), [pod("a"), pod("b", ready="False")], False, id="one is not ready"),
        pytest.param(deployment(), [pod("a"), pod("b", deletionTimestamp="t")], False, id="one is ending"),
        pytest.param(deployment(observedGeneration=2), [pod("a"), pod("b")], False, id="not seen yet"),
        pytest.param(deployment(updatedReplicas=1), [pod("a"), pod("b")], False, id="an old template is left"),
        pytest.param(deployment(replicas=0), [], True, id="scaled to nothing"),
        pytest.param(deployment(), [pod("a"), pod("b", labels={"app": "other"})], False, id="another's pod"),
    ],
)
def test_a_deployment_is_ready_when_its_pods_are(obj: dict[str, Any], pods: list[dict[str, Any]], ready: bool) -> None:
    assert is_ready(obj, pods) is ready


def test_progress_names_what_is_waited_for() -> None:
    assert describe({"b": False, "a": False, "c": True}) == "1 of 3 ready; waiting for a, b"
    assert describe({"a": True}) == "1 of 1 ready"


def test_troubles_say_which_container_and_why() -> None:
    broken = pod("a")
    waiting = {"reason": "ImagePullBackOff", "message": "no image x"}
    broken["status"]["containerStatuses"] = [
        {"name": "app", "ready": False, "state": {"waiting": waiting}},
        {"name": "proxy", "ready": True, "state": {"running": {}}},
    ]
    assert troubles([broken]) == ["shop/a app: ImagePullBackOff no image x"]


class Silent:
    """An API without objects, where nothing ever happens."""

    async def list(self, *_: Any, **__: Any) -> Any:
        return Listing(items=[], resource_version="1")

    async def watch(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()
        yield None


async def test_what_does_not_come_in_time_is_an_error_with_a_hint() -> None:
    steps: list[Step] = []
    waiter = Waiter(Silent(), asyncio.get_running_loop().time() + 0.2, steps.append)  # type: ignore[arg-type]
    with pytest.raises(NotReadyInTimeError, match=r"shop: not ready in time(.|\n)*kubectl describe pod"):
        await waiter.deployments("shop", "shop")
    assert not any(step.done for step in steps)
