"""Ephemeral containers: added to a pod that is there already (`kubectl debug`), run once, and of no weight for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError
from plait.machine.node.container import Container
from plait.machine.node.tries import Tries
from plait.machine.node.volumes import VolumeError

if TYPE_CHECKING:
    from plait.machine.node.context import PodContext
    from plait.machine.node.pod_sandbox import PodSandbox


class Debuggers:
    """The ephemeral containers of one pod. A pod's containers share their processes, so all of them can be seen."""

    def __init__(self, pod: PodContext, sandbox: PodSandbox) -> None:
        self._pod = pod
        self._sandbox = sandbox
        self._more = asyncio.Event()
        self.containers: list[Container] = []
        self.update(pod.object)

    def update(self, obj: dict[str, Any]) -> None:
        """Take what has been added to the pod. The API lets nothing change or go."""
        known = {container.name for container in self.containers}
        new = [spec for spec in obj["spec"].get("ephemeralContainers") or () if spec["name"] not in known]
        for spec in new:
            container = Container(self._pod, self._sandbox, spec, field="ephemeralContainers", policy="Never")
            self.containers.append(container)
            self._more.set()

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
        pod, tries = self._pod, Tries()
        # Nobody may have mounted this volume before.
        while container.spec.get("volumeMounts"):
            try:
                await self._sandbox.volumes.write(pod.node_fields)
                break
            except (VolumeError, ApiError) as error:
                pod.warn("FailedMount", str(error))
            await tries.wait()
        await container.run()
