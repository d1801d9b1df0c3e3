"""One container of a pod, from its image to its end, again and again as its restart policy says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError
from plait.machine.cgroups.groups import joins
from plait.machine.images.errors import LayerError
from plait.machine.images.table import role_of
from plait.machine.init.client import InitError
from plait.machine.node.actions import Place, perform
from plait.machine.node.backoff import remaining, restarts
from plait.machine.node.context import ContainerContext
from plait.machine.node.creation import Created, StartError, create, terminated
from plait.machine.node.leftovers import end_leftovers
from plait.machine.node.limiting import limit, unlimit
from plait.machine.node.prober import Unhealthy, watch_health
from plait.machine.node.processes import has_own_root
from plait.machine.node.record import ContainerRecord, Running, Terminated, Waiting
from plait.machine.node.script import enter
from plait.machine.node.tries import LONGEST, Tries

if TYPE_CHECKING:
    from pathlib import Path

    from plait.machine.images.table import Image, Role
    from plait.machine.init.protocol import Process
    from plait.machine.node.context import PodContext
    from plait.machine.node.events import Field
    from plait.machine.node.pod_sandbox import PodSandbox

log = logging.getLogger(__name__)

_TABLE_POLL = 1.0
_LAYERS_POLL = 2.0


class Container:
    """See the module. The pod gives it its spec, its record, and a place to run in."""

    def __init__(
        self, pod: PodContext, sandbox: PodSandbox, spec: Mapping[str, Any], *, field: Field, policy: str
    ) -> None:
        self.name: str = spec["name"]
        self.spec = spec
        self.init = field == "initContainers"
        self.policy = policy
        self._field: Field = field
        self.record: ContainerRecord = pod.record.container(self.name)
        self.record.image = spec.get("image", "")
        #: Set once the container has started and, if it has a readiness probe, has been ready.
        self.up = asyncio.Event()
        self._context = ContainerContext(pod, spec, self.record)
        self._pod = pod
        self._sandbox = sandbox
        self._host = pod.host
        self._made: Created | None = None
        if self.record.started and self.record.ready:
            self.up.set()

    @property
    def process(self) -> str:
        """Init's name of the newest process."""
        return self._context.process

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self.record.attempt >= 0 and self._host.processes.running(self.process)

    @property
    def role(self) -> Role:
        """What the image table says this container does; `app` while the image is unknown."""
        return self._host.images.role(self.spec) or "app"

    @property
    def image_id(self) -> str:
        """For the status: which entry of the image table runs."""
        image = self._host.images.find(self.record.image) if self.record.attempt >= 0 else None
        return f"plait-table://{image.match}" if image else ""

    async def run(self) -> None:
        """Run until the policy says that it shall not run again. Cancelled, it leaves the process running."""
        while not isinstance(self.record.state, Terminated) or self._again():
            if isinstance(self.record.state, Terminated):
                await self._back_off()
            if not isinstance(self.record.state, Running):
                await self._start()
            if isinstance(self.record.state, Running):
                await self._supervise()

    async def stop(self, *, grace: float) -> None:
        """preStop, SIGTERM, SIGKILL when `grace` seconds have passed, and the record of the end."""
        if not self.running:
            if isinstance(self.record.state, Running):
                self._ended(await self._host.processes.end(self.process))
            return
        begun = asyncio.get_running_loop().time()
        self._event("Killing", f"Stopping container {self.name}")
        await self._pre_stop(grace)
        left = grace - (asyncio.get_running_loop().time() - begun)
        # As with the kubelet, a preStop hook that takes all the time still leaves a moment for SIGTERM.
        self._ended(await self._host.processes.stop(self.process, grace=max(left, 2.0) if grace > 0 else 0))

    async def place(self) -> Place | None:
        """Where probes and hooks act; None when the process has ended."""
        pause, ip = self._sandbox.pause, self._pod.record.ip
        inner = await self._host.processes.inner_pid(self.process, ready=has_own_root)
        if inner is None or pause is None or ip is None:
            return None
        made = self._made or await self._recall()
        return Place(
            pause=pause,
            inner=inner,
            ip=ip,
            container=self.spec,
            identity=made.identity,
            env=made.env,
            workdir=made.workdir,
            joins=joins(self._host.settings.ground, self._context.group),
        )

    # starting

    async def _start(self) -> None:
        """One attempt, with everything that must be there first; waits, visibly, for what is missing."""
        image = await self._image()
        layers = await self._layers(image)
        if role_of(image, tuple(self.spec.get("args") or ())) == "proxy-init":
            self._capture()
            return
        tries = Tries()
        while True:
            try:
                made = await create(self._context, self._sandbox, image, layers)
                break
            except StartError as error:
                self._wait(error.reason, str(error))
                self._event(error.event, error.event_text, warning=True)
            except ApiError as error:
                self._wait("ContainerCreating", f"the API server does not answer: {error}")
            await tries.wait()
        self._event("Created", f"Created container: {self.name}")
        await self._spawn(made)

    async def _spawn(self, made: Created) -> None:
        pause = self._sandbox.pause
        if pause is None:
            return
        async with self._pod.spawning:
            self.record.attempt += 1
            # Counted when it is made, so that a node that dies before counts no start twice.
            self.record.restarts = max(self.record.restarts, self.record.attempt)
            request = made.spawn(
                name=self.process,
                argv=enter(pause, made.folder / "start.sh", self._limit()),
                log=str(self._context.log),
            )
            try:
                async with self._host.starts:
                    process = await self._host.processes.spawn(request)
            except InitError as error:
                self._fail(128, "StartError", str(error))
                return
        self._made = made
        self.record.state = Running(started_at=process.started_at)
        self.record.started = "startupProbe" not in self.spec
        self.record.ready = self.record.started and "readinessProbe" not in self.spec
        self._event("Started", f"Started container {self.name}")
        self._changed()

    def _limit(self) -> tuple[str, ...]:
        """How the process comes under the container's limits; one that cannot be set is told, and the process runs."""
        try:
            return limit(self._host.settings.ground, self._context.group, self.spec)
        except (OSError, ValueError) as error:
            self._event("LimitsNotSet", f"Container {self.name} runs without its limits: {error}", warning=True)
            return ()

    def _capture(self) -> None:
        """`istio-init`: its rules were loaded with the pod's network, before any link came up."""
        now = time.time()
        self.record.attempt += 1
        self.record.started, self.record.ready = False, True
        self._event("Created", f"Created container: {self.name}")
        self._event("Started", f"Started container {self.name}")
        self.record.state = Terminated(
            exit_code=0, reason="Completed", started_at=now, finished_at=now, container_id=self._context.id
        )
        self._changed()

    async def _image(self) -> Image:
        reference, tries = self.record.image, 0
        while (image := self._host.images.find(reference)) is None:
            problem = self._host.images.problem or (
                f"no entry of the image table matches it; say what it runs: plait image add {reference} -- COMMAND"
            )
            if tries == 0:
                text = f'Failed to pull image "{reference}": {problem}'
                self._wait("ErrImagePull", problem)
                self._event("Failed", text, warning=True)
                self._event("Failed", "Error: ErrImagePull", warning=True)
            elif tries == 3:
                self._wait("ImagePullBackOff", f'Back-off pulling image "{reference}": ErrImagePull: {problem}')
                self._event("BackOff", f'Back-off pulling image "{reference}"')
                self._event("Failed", "Error: ImagePullBackOff", warning=True)
            tries += 1
            await asyncio.sleep(_TABLE_POLL)
        return image

    async def _layers(self, image: Image) -> tuple[Path, ...]:
        reference, tries = self.record.image, 0
        while True:
            try:
                found = self._host.layers.find(image.packages)
                if found is not None:
                    self._event("Pulled", f'Container image "{reference}" already present on machine')
                    return found
                self._event("Pulling", f'Pulling image "{reference}"')
                began = time.monotonic()
                made = await self._host.layers.ensure(
                    image.packages, lambda text: self._wait("ContainerCreating", text)
                )
            except LayerError as error:
                reason = "ErrImagePull" if tries == 0 else "ImagePullBackOff"
                self._wait(reason, str(error))
                self._event("Failed", f'Failed to pull image "{reference}": {error}', warning=True)
            else:
                took = time.monotonic() - began
                self._event("Pulled", f'Successfully pulled image "{reference}" in {took:.3f}s')
                return made
            tries += 1
            await self._until_layers(image, seconds=min(5.0 * 2.0 ** min(tries, 6), 300.0))

    async def _until_layers(self, image: Image, *, seconds: float) -> None:
        """Wait before the next try, but no longer than until somebody else has made the layers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(_LAYERS_POLL)
            with contextlib.suppress(LayerError):  # told when the next try fails
                if self._host.layers.find(image.packages) is not None:
                    return

    async def _recall(self) -> Created:
        """What is known of a container that an earlier node started."""
        image = await self._image()
        self._made = await create(self._context, self._sandbox, image, (), only_plan=True)
        return self._made

    # running

    async def _supervise(self) -> None:
        """Until the process ends, by itself or because it is not healthy."""
        ending = asyncio.create_task(self._host.processes.end(self.process), name=f"end of {self.process}")
        caring = asyncio.create_task(self._care(), name=f"care for {self.process}")
        try:
            await asyncio.wait((ending, caring), return_when=asyncio.FIRST_COMPLETED)
            if caring.done() and not ending.done() and (verdict := caring.result()) is not None:
                self._event("Killing", verdict.event)
                grace = verdict.grace if verdict.grace is not None else self._pod.grace
                begun = asyncio.get_running_loop().time()
                await self._pre_stop(grace)
                left = grace - (asyncio.get_running_loop().time() - begun)
                await self._host.processes.stop(self.process, grace=max(left, 0.0))
            process = await ending
        finally:
            for task in (ending, caring):
                task.cancel()
            await asyncio.gather(ending, caring, return_exceptions=True)
        self._ended(process)
        await self._clean_up()

    async def _care(self) -> Unhealthy | None:
        """postStart, then the probes, for as long as the container lives; returns why it must be killed."""
        adopted = self._made is None
        while True:
            try:
                place = await self.place()
                break
            except (StartError, ApiError) as error:
                log.warning("%s cannot be probed: %s", self.process, error)
                await asyncio.sleep(LONGEST)
        if place is None:
            return None
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook and not adopted:
            outcome = await perform(hook, place, timeout=3600)
            if not outcome.ok:
                self._event("FailedPostStartHook", f"PostStartHook failed: {outcome.message}", warning=True)
                return Unhealthy("FailedPostStartHook")
        return await watch_health(self, place)

    def set_health(self, *, started: bool | None = None, ready: bool | None = None) -> None:
        """What a probe has found."""
        before = (self.record.started, self.record.ready)
        if started is not None:
            self.record.started = started
        if ready is not None:
            self.record.ready = ready
        if self.record.started and self.record.ready:
            self.up.set()
        if (self.record.started, self.record.ready) != before:
            self._changed()

    def unhealthy(self, text: str) -> None:
        """A probe failed: show it."""
        self._event("Unhealthy", text, warning=True)

    async def _pre_stop(self, grace: float) -> None:
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if not hook or grace <= 0:
            return
        place = await self.place()
        if place is not None:
            outcome = await perform(hook, place, timeout=grace)
            if not outcome.ok:
                self._event("FailedPreStopHook", f"PreStopHook failed: {outcome.message}", warning=True)

    # ending

    def _ended(self, process: Process) -> None:
        if not isinstance(self.record.state, Running):
            return
        self.record.state = terminated(self._context, process)
        ran = self.record.state.finished_at - process.started_at
        self.record.failures = self._host.backoff.failures(self.record.failures, ran)
        self.record.ready = self.init and self.record.state.exit_code == 0 and self.policy != "Always"
        self.record.started = False
        if self.record.state.reason == "OOMKilled":
            limit_ = ((self.spec.get("resources") or {}).get("limits") or {}).get("memory")
            self._event("OOMKilling", f"Container {self.name} reached its memory limit of {limit_}", warning=True)
        self._changed()

    async def _clean_up(self) -> None:
        """End what the container's processes left running in the pod, and free its file system."""
        async with self._pod.spawning:
            if (pause := self._sandbox.pause) is not None:
                await end_leftovers(self._host.processes, self._pod.record.uid, pause, ended=self.process)
        await unlimit(self._host.settings.ground, self._context.group)
        await self._host.processes.forget(self.process)
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self._context.folder)

    def _again(self) -> bool:
        state = self.record.state
        return isinstance(state, Terminated) and restarts(self.policy, state.exit_code)

    async def _back_off(self) -> None:
        state = self.record.state
        if not isinstance(state, Terminated):
            return
        wait = self._host.backoff.wait(self.record.failures)
        pod = self._pod.record
        self.record.last = state
        if wait > 0:
            identity = f"pod={pod.name}_{pod.namespace}({pod.uid})"
            self._wait("CrashLoopBackOff", f"back-off {wait:g}s restarting failed container={self.name} {identity}")
            if self.record.failures > 1:
                text = f"Back-off restarting failed container {self.name} in pod {pod.name}_{pod.namespace}({pod.uid})"
                self._event("BackOff", text, warning=True)
        # As the kubelet, it says so until the container runs again.
        await asyncio.sleep(remaining(wait, state.finished_at, time.time()))

    def _fail(self, code: int, reason: str, message: str) -> None:
        now = time.time()
        self.record.failures = self._host.backoff.failures(self.record.failures, 0.0)
        self.record.state = Terminated(
            exit_code=code, reason=reason, message=message, started_at=None, finished_at=now,
            container_id=self._context.id,
        )  # fmt: skip
        self._event("Failed", f"Error: {message}", warning=True)
        self._changed()

    def _wait(self, reason: str, message: str) -> None:
        if reason == "ContainerCreating" and self.record.last is not None:
            # Only what has never run is being created; the rest of the words say what it waits for.
            reason = "CrashLoopBackOff"
        state = Waiting(reason=reason, message=message)
        if self.record.state != state:
            self.record.state = state
            self._changed()

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._host.events.pod(
            self._pod.object,
            reason,
            message,
            kind="Warning" if warning else "Normal",
            container=self.name,
            field=self._field,
        )

    def _changed(self) -> None:
        self._pod.changed()
