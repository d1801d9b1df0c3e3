"""The pods of the node, and what clients of the API ask of them: logs, connections, programs beside theirs, usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from plait.kube.errors import ApiError
from plait.machine.init.client import InitError
from plait.machine.node.creation import StartError
from plait.machine.node.host import NODE_NAME
from plait.machine.node.record import process_name
from plait.machine.node.streams.server import LogFile
from plait.machine.node.streams.usage import Root, Usage, measure

if TYPE_CHECKING:
    import asyncio

    from plait.machine.init.protocol import Process
    from plait.machine.node.actions import Place
    from plait.machine.node.container import Container
    from plait.machine.node.persist import Holder
    from plait.machine.node.pod import Pod
    from plait.machine.node.processes import Processes


class Pods:
    """By uid. It is the `PodsView` of the stream socket: a LookupError has a text for people."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._known: dict[str, Pod] = {}

    def __iter__(self) -> Iterator[Pod]:
        return iter(tuple(self._known.values()))

    def uids(self) -> frozenset[str]:
        """Of all of them."""
        return frozenset(self._known)

    def get(self, uid: str) -> Pod | None:
        """One of them."""
        return self._known.get(uid)

    def add(self, pod: Pod) -> None:
        """A pod begins."""
        self._known[pod.record.uid] = pod

    def remove(self, pod: Pod) -> None:
        """It has ended."""
        self._known.pop(pod.record.uid, None)

    def named(self, namespace: str, name: str) -> list[Pod]:
        """Those of a name: beside a new pod there may be one that ends."""
        return [pod for pod in self._known.values() if (pod.record.namespace, pod.record.name) == (namespace, name)]

    def holder(self, uid: str) -> Holder:
        """Whether a pod lives."""
        pod = self._known.get(uid)
        return "gone" if pod is None else "ending" if pod.ending else "living"

    # streams.server.PodsView

    def log_file(self, namespace: str, pod: str, container: str, *, previous: bool) -> LogFile:
        """See `streams.server.PodsView`."""
        found = self._newest(namespace, pod)
        record = found.record.containers.get(container)
        if record is None:
            raise LookupError(f"container {container} is not valid for pod {pod}")
        attempt = record.attempt - 1 if previous else record.attempt
        if attempt < 0 and previous:
            raise LookupError(f'previous terminated container "{container}" in pod "{pod}" not found')
        if attempt < 0:
            reason = getattr(record.state, "reason", "ContainerCreating")
            raise LookupError(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')
        name = process_name(found.record.uid, container, attempt)
        return LogFile(found.context.log(container, attempt), lambda: not self._processes.running(name))

    def network_of(self, namespace: str, pod: str) -> int:
        """See `streams.server.PodsView`."""
        found = self._newest(namespace, pod)
        if found.sandbox.pause is None or not found.record.network:
            raise LookupError(f"pod {namespace}/{pod} has no network (yet)")
        return found.sandbox.pause

    async def place_of(self, namespace: str, pod: str, container: str) -> Place:
        """See `streams.server.PodsView`."""
        found = self._container(namespace, pod, container)
        try:
            place = await found.place() if found.running else None
        except (StartError, ApiError) as error:
            raise LookupError(f"container {container} cannot be entered: {error}") from error
        if place is None:
            raise LookupError(f'container "{container}" in pod "{pod}" is not running')
        return place

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See `streams.server.PodsView`."""
        found = self._container(namespace, pod, container)
        try:
            return await self._processes.attach(found.process, stdin=stdin)
        except InitError as error:
            raise LookupError(f'container "{container}" in pod "{pod}" is not running') from error

    async def usage(self) -> Usage:
        """See `streams.server.PodsView`."""
        running = {
            process.name: process for process in await self._processes.list("pod/") if process.state == "running"
        }
        return measure(tuple(self._roots(running)))

    def _roots(self, running: Mapping[str, Process]) -> Iterator[Root]:
        for pod in self._known.values():
            for name, container in pod.record.containers.items():
                process = running.get(process_name(pod.record.uid, name, container.attempt))
                if process is not None:
                    yield Root(
                        namespace=pod.record.namespace,
                        pod=pod.record.name,
                        container=name,
                        started_at=process.started_at,
                        pid=process.pid,
                    )

    def _container(self, namespace: str, pod: str, name: str) -> Container:
        found = self._newest(namespace, pod).container(name)
        if found is None:
            raise LookupError(f"container {name} is not valid for pod {pod}")
        return found

    def _newest(self, namespace: str, name: str) -> Pod:
        found = self.named(namespace, name)
        if not found:
            raise LookupError(f"pod {namespace}/{name} does not run on node {NODE_NAME}")
        return max(found, key=lambda pod: pod.record.created_at)
