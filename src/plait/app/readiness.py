"""Waits for a mesh's parts to be ready, telling how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from plait.kube.client import Client
from plait.kube.kinds import DEPLOYMENT, NODE, POD
from plait.kube.reflect import Ref, ref_of, reflect

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What is being waited for, and how far it is; `done` when it is over."""

    name: str
    detail: str = ""
    done: bool = False


Report = Callable[[Step], None]


class BringUpError(Exception):
    """The mesh did not come up; the text says what to look at."""


class NotReadyInTimeError(BringUpError):
    """Something did not become ready before the deadline; the mesh is left running for a look."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """Waits, until `deadline` on the event loop's clock; then raises NotReadyInTimeError with the reasons."""

    client: Client
    deadline: float
    report: Report

    async def node(self, boot: str) -> None:
        """Wait until what the API says of pods is true of this start: after a stop it still tells of the last."""
        self.report(Step("node", "starting"))
        async with self._patient("node", {}), aclosing(reflect(self.client, [NODE])) as batches:
            async for batch in batches:
                infos = ((node.get("status") or {}).get("nodeInfo") or {} for node in batch.upserts)
                if any(info.get("bootID") == boot for info in infos):
                    break
        self.report(Step("node", "ready", done=True))

    async def deployments(self, namespace: str, name: str) -> None:
        """Wait until every Deployment of the namespace has the pods it wants, all of its newest template and ready."""
        deployments: dict[Ref, Object] = {}
        pods: dict[Ref, Object] = {}
        progress: dict[str, bool] = {}
        known = {DEPLOYMENT: deployments, POD: pods}
        missing = set(known)
        watched = reflect(self.client, [DEPLOYMENT, POD], namespace=namespace)
        async with self._patient(name, progress, pods), aclosing(watched) as batches:
            async for batch in batches:
                for ref in batch.deletes:
                    known[batch.kind].pop(ref, None)
                known[batch.kind] |= {ref_of(obj): obj for obj in batch.upserts}
                missing -= {batch.kind} if batch.synced else set()
                progress.clear()
                progress |= {ref.name: is_ready(obj, pods.values()) for ref, obj in deployments.items()}
                if not missing and progress and all(progress.values()):
                    break
                self.report(Step(name, describe(progress)))
        self.report(Step(name, describe(progress), done=True))

    @asynccontextmanager
    async def _patient(
        self, name: str, progress: Mapping[str, bool], pods: Mapping[Ref, Object] | None = None
    ) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(self.deadline):
                yield
        except TimeoutError as error:
            reasons = "".join(f"\n  {line}" for line in troubles((pods or {}).values()))
            hint = "\n  look closer: kubectl describe pod, kubectl logs, plait logs node"
            far = f": {describe(progress)}" if progress else ""
            raise NotReadyInTimeError(f"{name}: not ready in time{far}{reasons}{hint}") from error


def is_ready(deployment: Object, pods: Any) -> bool:
    """Whether a Deployment is rolled out and as many of its pods as it wants are ready."""
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 1):
        return False
    if not wanted == status.get("updatedReplicas", 0) == status.get("replicas", 0):
        return False
    labels = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    mine = [pod for pod in pods if labels.items() <= (pod["metadata"].get("labels") or {}).items()]
    return sum(map(pod_ready, mine)) >= int(wanted)


def pod_ready(pod: Object) -> bool:
    """The pod's Ready condition; a pod that is ending is not ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def describe(progress: Mapping[str, bool]) -> str:
    """`3 of 4 ready; waiting for catalogue-db`."""
    waiting = sorted(name for name, ready in progress.items() if not ready)
    counts = f"{len(progress) - len(waiting)} of {len(progress)} ready"
    return f"{counts}; waiting for {', '.join(waiting)}" if waiting else counts


def troubles(pods: Any) -> list[str]:
    """Why pods are not ready, a line a container."""
    lines = []
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            state = container.get("state") or {}
            cause = state.get("waiting") or state.get("terminated")
            if cause and not container.get("ready"):
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} {container['name']}"
                lines.append(f"{where}: {cause.get('reason', '')} {cause.get('message', '')}".rstrip())
    return lines
