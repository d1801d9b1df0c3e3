"""Ephemeral containers: added to a pod that is there already (`kubectl debug`), run once, and of no weight for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError
from plait.machine.node.container import Container
from plait.machine.node.volumes import VolumeError

if TYPE_CHECKING:
    from plait.machine.node.pod import Pod

_RETRY_FIRST = 0.25
_RETRY_MOST = 10.0


class Debuggers:
    """The ephemeral containers of one pod. A pod's containers share their processes, so all of them can be seen."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._more = asyncio.Event()
        self.containers: list[Container] = []
        self.update(pod.object)

    def update(self, obj: dict[str, Any]) -> bool:
        """Take what has been added to the pod; whether there is anything new. The API lets nothing change or go."""
        known = {container.name for container in self.containers}
        new = [spec for spec in obj["spec"].get("ephemeralContainers") or () if spec["name"] not in known]
        self.containers += [Container(self._pod, spec, field="ephemeralContainers", policy="Never") for spec in new]
        if new:
            self._more.set()
        return bool(new)

    async def run(self) -> None:
        """Start each that has not run yet. Cancelled, it leaves them running."""
        started = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._more.clear()
                for container in self.containers[started:]:
                    tasks.create_task(self._run(container), name=container.name)
                started = len(self.containers)
                await self._more.wait()

    async def _run(self, container: Container) -> None:
        pod, retry = self._pod, _RETRY_FIRST
        # Nobody may have mounted this volume before.
        while container.spec.get("volumeMounts"):
            try:
                await pod.sandbox.volumes.write(pod.node_fields)
                break
            except (VolumeError, ApiError) as error:
                pod.host.events.pod(pod.object, "FailedMount", str(error), kind="Warning")
            await asyncio.sleep(retry)
            retry = min(retry * 2, _RETRY_MOST)
        await container.run()
