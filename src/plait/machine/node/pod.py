"""One pod's life: namespaces, init containers, containers, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plait.machine.node.adoption import killed, reconcile, resume_back_off
from plait.machine.node.announcer import Announcer
from plait.machine.node.backoff import init_policy
from plait.machine.node.container import Container
from plait.machine.node.context import PodContext
from plait.machine.node.deadline import DEADLINE_MESSAGE, deadline
from plait.machine.node.debugging import Debuggers
from plait.machine.node.ending import delete_object, stop_containers
from plait.machine.node.identity import give_up
from plait.machine.node.pod_sandbox import PodSandbox
from plait.machine.node.record import PodRecord, Running, Waiting
from plait.machine.node.release import release_pod
from plait.machine.node.status import is_sidecar, pod_status
from plait.machine.node.supervision import succeeded, until_up

if TYPE_CHECKING:
    from plait.machine.init.protocol import Process
    from plait.machine.node.events import Field
    from plait.machine.node.host import Host


class Pod:
    """See the module. `run` is the pod's task; its parts know it by its `context`.

    When `run` is cancelled the processes stay: a node that starts again takes them over.
    """

    def __init__(self, host: Host, obj: dict[str, Any], record: PodRecord, found: Mapping[str, Process]) -> None:
        self._host = host
        self.record = record
        self._vanished = False
        self._ending = asyncio.Event()
        self._grace: float | None = None
        self._hurry = asyncio.Event()
        self._gone = asyncio.Event()
        self._announcer = Announcer(host.client, obj, self._status)
        self.context = PodContext(host, obj, record, announce=self._announcer.changed)
        self.sandbox = PodSandbox(self.context)
        reconcile(record, obj, found)
        policy = obj["spec"].get("restartPolicy") or "Always"
        self._inits = [
            self._container(c, field="initContainers", policy="Always" if is_sidecar(c) else init_policy(policy))
            for c in obj["spec"].get("initContainers") or ()
        ]
        self._mains = [self._container(c, field="containers", policy=policy) for c in obj["spec"]["containers"]]
        self._debuggers = Debuggers(self.context, self.sandbox)

    def _container(self, spec: Mapping[str, Any], *, field: Field, policy: str) -> Container:
        return Container(self.context, self.sandbox, spec, field=field, policy=policy)

    # what others ask

    @property
    def object(self) -> dict[str, Any]:
        """The newest state of the API's object."""
        return self.context.object

    @property
    def ending(self) -> bool:
        """Whether the pod is being stopped."""
        return self._ending.is_set()

    def container(self, name: str) -> Container | None:
        """A container, of whatever kind."""
        return next((c for c in self._all if c.name == name), None)

    @property
    def _all(self) -> tuple[Container, ...]:
        return (*self._mains, *self._inits, *self._debuggers.containers)

    # what others tell

    def update(self, obj: dict[str, Any]) -> None:
        """The API's object has changed."""
        self.context.object = obj
        self.sandbox.update(obj)
        self._debuggers.update(obj)
        if obj["metadata"].get("deletionTimestamp"):
            seconds = obj["metadata"].get("deletionGracePeriodSeconds")
            self.end(self.context.grace if seconds is None else float(seconds))
        if obj["spec"].get("readinessGates"):
            self._announcer.changed()

    def end(self, grace: float) -> None:
        """Stop the pod within `grace` seconds; a later, shorter grace counts."""
        if self._grace is None or grace < self._grace:
            self._grace = grace
            if self._ending.is_set():
                self._hurry.set()
        self._ending.set()

    def vanish(self) -> None:
        """The API's object is gone: stop at once, and do not speak of it any more."""
        self._vanished = True
        self.end(0.0)

    async def announced(self) -> None:
        """Return when the API knows what is true of this pod, or the pod has gone."""
        told = asyncio.create_task(self._announcer.told.wait(), name=f"first word on {self.record.name}")
        gone = asyncio.create_task(self._gone.wait(), name=f"end of {self.record.name}")
        await asyncio.wait((told, gone), return_when=asyncio.FIRST_COMPLETED)
        for task in (told, gone):
            task.cancel()
        await asyncio.gather(told, gone, return_exceptions=True)

    # the life

    async def run(self) -> None:
        """Until the pod is stopped and gone. A fault in any part of it ends it, so that it can be begun again."""
        self.context.folder.mkdir(parents=True, exist_ok=True)
        self.context.folder.chmod(0o711)
        try:
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._announcer.run(), name=f"status of {self.record.name}")
                living = tasks.create_task(self._live(), name=f"life of {self.record.name}")
                # Where all is completed nothing runs: the object stays until somebody deletes it.
                await self._ending.wait()
                living.cancel()
                await asyncio.wait((living,))
                await self._end()
                speaking.cancel()
        finally:
            self._gone.set()

    async def _live(self) -> None:
        if (self.object.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            self.record.completed = True
            self._announcer.told.set()
            return
        self.context.changed()
        while True:
            await self.sandbox.make()
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(self.sandbox.lost())
                refreshing = tasks.create_task(self.sandbox.keep_volumes())
                working = tasks.create_task(self._work())
                late = tasks.create_task(deadline(self.context))
                debugging = tasks.create_task(self._debuggers.run())
                await asyncio.wait((lost, working, late), return_when=asyncio.FIRST_COMPLETED)
                expired = late.done() and not working.done()
                for task in (lost, refreshing, working, late, debugging):
                    task.cancel()
            if expired:
                await self._expire()
            if self.record.completed:
                break
            self._forget_sandbox()
        await self._host.sandboxes.end(self.record.uid)
        give_up(self._host, self.record.uid)
        self.context.changed()

    def _forget_sandbox(self) -> None:
        """The pause has died, and with it all processes of the pod: begin again with new namespaces."""
        self.context.warn("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", normal=True)
        self.sandbox.forget()
        self.record.initialized = False
        for container in self._all:
            record = container.record
            resume_back_off(record)
            if isinstance(record.state, Running):
                record.state = killed(self.record, record, record.state)
                record.started = record.ready = False
            elif container.init:
                record.state = Waiting(reason="PodInitializing")
        self.context.changed()

    async def _work(self) -> None:
        """Init containers one after the other, then the others; ends when the pod has completed."""
        async with asyncio.TaskGroup() as tasks:
            beside = []
            for container in self._inits:
                if container.policy == "Always":
                    beside.append(tasks.create_task(container.run(), name=container.name))
                    await until_up(container, beside[-1])
                    continue
                if not succeeded(container):
                    await container.run()
                if not succeeded(container):
                    self.record.completed = True
                    self.context.changed()
                    break
            else:
                self._initialized()
                await self._run_containers()
            for task in beside:
                task.cancel()
        await asyncio.gather(*(c.stop(grace=self.context.grace) for c in self._all if c.running))
        self.record.completed = True
        self.context.changed()

    async def _expire(self) -> None:
        """The pod has had its time (`activeDeadlineSeconds`): its containers are stopped, and it has failed."""
        self.record.reason, self.record.message = "DeadlineExceeded", DEADLINE_MESSAGE
        self.context.warn("DeadlineExceeded", DEADLINE_MESSAGE)
        live = [c for c in self._all if c.running]
        await stop_containers(
            live, self.sandbox.pause, grace=self.context.grace, known=any(c.record.ready for c in live)
        )
        self.record.completed = True
        self.context.changed()

    def _initialized(self) -> None:
        self.record.initialized = True
        for container in self._mains:
            if container.record.state == Waiting(reason="PodInitializing"):
                container.record.state = Waiting()
        self.context.changed()

    async def _run_containers(self) -> None:
        """The sidecar proxy first, so that an application finds its way out from its first moment on."""
        proxies = [c for c in self._mains if c.role == "proxy"]
        apps = [c for c in self._mains if c.role != "proxy"]
        if not apps:
            proxies, apps = [], proxies
        async with asyncio.TaskGroup() as tasks:
            first = [tasks.create_task(c.run(), name=c.name) for c in proxies]
            for container, task in zip(proxies, first, strict=True):
                await until_up(container, task)
            others = [tasks.create_task(c.run(), name=c.name) for c in apps]
            await asyncio.wait(others)
            # The work is done (a Job's, say): the proxy must not keep the pod alive.
            for task in first:
                task.cancel()

    # the end

    async def _end(self) -> None:
        """Nobody new, then nobody: unready, applications, proxies, namespaces, files, and last the object."""
        pause = await self.sandbox.find_pause()
        live = [c for c in self._all if c.running]
        was_ready = any(c.record.ready for c in live)
        for container in live:
            container.record.ready = False
        self.context.changed()
        stopping = asyncio.create_task(stop_containers(live, pause, grace=self._grace or 0.0, known=was_ready))
        hurrying = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait((stopping, hurrying), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                stopping.result()
        finally:
            for task in (stopping, hurrying):
                task.cancel()
            await asyncio.gather(stopping, hurrying, return_exceptions=True)
        await release_pod(self._host, self.record)
        if not self._vanished:
            await delete_object(self._host.client, self.record, lambda: self._vanished)

    def _status(self, told: Mapping[str, Any], now: float) -> dict[str, Any]:
        return pod_status(
            self.object,
            self.record,
            told=told,
            host_ip=str(self._host.settings.bridge_ip),
            now=now,
            images={c.name: c.image_id for c in self._all},
        )
