"""Programs in no pod that join by themselves: a proxy that names its WorkloadGroup has a WorkloadEntry made, which goes
some time after the proxy has. Istio's auto-registration, its names and annotations.

The proxy has shown a token of its service account before it is heard here, and the group says which account its
programs have: who shows another one's is not let in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.api.meta import ObjectKey
from plait.api.workloadentry import GROUP_ANNOTATION, HEALTH_ANNOTATION
from plait.inject.outside import Joining as Place
from plait.inject.outside import entry_name, service_account, workload_entry
from plait.kube.backoff import Backoff
from plait.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from plait.kube.kinds import POD, WORKLOADENTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.delivery.objects import Objects
    from plait.delivery.proxies import Proxy
    from plait.delivery.refusals import Records
    from plait.delivery.wire import Caller
    from plait.kube.client import Object
    from plait.kube.kinds import Kind

log = logging.getLogger(__name__)

CONTROLLER: Final = "istio.io/workloadController"
CONNECTED: Final = "istio.io/connectedAt"
DISCONNECTED: Final = "istio.io/disconnectedAt"
#: Istio's, in seconds: how long an entry outlives its proxy's connection.
GRACE: Final = 10.0
#: Longer than the proxies of a mesh take to come back to an istiod that was restarted.
_RETURN: Final = 15.0


class Entries(Protocol):
    """The part of a client that is needed."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """See `Client.get`."""
        ...

    async def create(self, kind: Kind, obj: Object) -> Object:
        """See `Client.create`."""
        ...

    async def patch(self, kind: Kind, name: str, namespace: str | None, body: Object) -> Object:
        """See `Client.patch`."""
        ...

    async def delete(
        self, kind: Kind, name: str, namespace: str | None = None, *, resource_version: str | None = None
    ) -> Object:
        """See `Client.delete`."""
        ...


@dataclass(slots=True)
class _Program:
    """One program: the connections of its proxy, what it said of itself, and since when there is none (monotonic)."""

    caller: Caller
    connections: set[int] = field(default_factory=set)
    left: float | None = None
    failures: int = 0
    told: str = ""
    #: Its client says how it is.
    reports: bool = False


class Registrar:
    """`connected` and `disconnected` are told by the builder, `take` by who reads objects; `run` does the writing."""

    def __init__(
        self,
        client: Entries,
        objects: Objects,
        recorder: Records,
        *,
        istiod: str,
        reports: Callable[[ObjectKey, str], None] = lambda *_: None,
        namespace: str = "istio-system",
        grace: float = GRACE,
        return_time: float = _RETURN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._objects = objects
        self._recorder = recorder
        self._istiod = istiod
        self._reports = reports
        self._namespace = namespace
        self._grace = grace
        self._return = return_time
        self._clock = clock
        self._programs: dict[ObjectKey, _Program] = {}
        self._of: dict[int, ObjectKey] = {}
        #: Programs to be looked at, and not before when.
        self._due: dict[ObjectKey, float] = {}
        self._backoff = Backoff()
        self._look_back: float | None = None
        self._some = asyncio.Event()

    # what happens

    def serving(self) -> None:
        """Proxies may come back from now on; entries of those that do not are given up after a while."""
        self._look_back = self._clock() + self._return
        self._some.set()

    def connected(self, proxy: Proxy) -> None:
        """A proxy came."""
        caller = proxy.caller
        if not caller.group:
            return
        if not caller.node.ip:
            log.warning("%s names the WorkloadGroup %s, but no address of its own", proxy.id, caller.group)
            return
        key = ObjectKey("WorkloadEntry", caller.node.namespace, entry_name(caller.group, _place(caller)))
        program = self._programs.setdefault(key, _Program(caller))
        program.caller, program.left, program.failures = caller, None, 0
        program.connections.add(proxy.connection)
        self._of[proxy.connection] = key
        self._soon(key)

    def disconnected(self, connection: int) -> None:
        """A stream is over."""
        key = self._of.pop(connection, None)
        program = self._programs.get(key) if key is not None else None
        if key is None or program is None:
            return
        program.connections.discard(connection)
        if not program.connections:
            program.left = self._clock()
            self._soon(key)

    def reported(self, connection: int, fault: str) -> None:
        """A client said how the program beside it is: from then on that counts, whatever the probe of its group."""
        key = self._of.get(connection)
        program = self._programs.get(key) if key is not None else None
        if key is not None and program is not None:
            self._reports(key, fault)
            if not program.reports:
                program.reports = True
                self._soon(key)

    def take(self, kind: str, namespace: str, name: str) -> None:
        """An object is other than before: a group that programs wait for, or an entry that somebody has deleted."""
        if kind == "WorkloadGroup":
            for key, program in self._programs.items():
                if (key.namespace, program.caller.group) == (namespace, name):
                    self._soon(key)
        elif kind == "WorkloadEntry" and (key := ObjectKey(kind, namespace, name)) in self._programs:
            self._soon(key)

    def _soon(self, key: ObjectKey, after: float = 0.0) -> None:
        self._due[key] = self._clock() + after
        self._some.set()

    # the work

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            now = self._clock()
            if self._look_back is not None and self._look_back <= now:
                self._look_back = None
                await self._give_up()
                continue
            ready = [key for key, due in self._due.items() if due <= now]
            for key in ready:
                del self._due[key]
                await self._settle(key)
            if ready:
                continue
            self._some.clear()
            times = [*self._due.values(), *([self._look_back] if self._look_back is not None else ())]
            try:
                async with asyncio.timeout(max(0.0, min(times) - now) if times else None):
                    await self._some.wait()
            except TimeoutError:
                continue

    async def _settle(self, key: ObjectKey) -> None:
        """Bring one entry in line with its program."""
        program = self._programs.get(key)
        if program is None:
            return
        try:
            if program.left is None:
                await self._joined(key, program)
            elif self._clock() - program.left < self._grace:
                await self._note_left(key)
                self._soon(key, program.left + self._grace - self._clock())
            else:
                del self._programs[key]
                await self._remove(key)
        except Invalid as error:
            self._fails(key, program, error)
            self._tell(program, f"its WorkloadEntry is refused: {error}", self._known_group(key, program))
        except ApiError as error:
            self._fails(key, program, error)
        except Exception as error:
            # What one program says of itself must not keep others out.
            log.exception("%s cannot be registered", key)
            self._fails(key, program, error)

    def _fails(self, key: ObjectKey, program: _Program, error: Exception) -> None:
        program.failures += 1
        log.warning("%s: %s", key, error)
        if key in self._programs:
            self._soon(key, self._backoff.wait(program.failures))

    async def _joined(self, key: ObjectKey, program: _Program) -> None:
        annotations = {CONTROLLER: self._istiod, CONNECTED: _now(), DISCONNECTED: None}
        if program.reports:
            annotations[HEALTH_ANNOTATION] = "true"
        there = self._objects.find(str(key))
        said = _said(there) if there is not None else {}
        known = said.get(CONTROLLER) == self._istiod and said.get(CONNECTED)
        if known and (not program.reports or HEALTH_ANNOTATION in said):
            return
        group = self._group(key, program)
        if group is None:
            return
        if there is None:
            made = workload_entry(group, _place(program.caller))
            made["metadata"]["annotations"] |= {name: text for name, text in annotations.items() if text}
            try:
                await self._client.create(WORKLOADENTRY, made)
            except AlreadyExists:
                pass
            else:
                program.told = ""
                log.info("%s: registered, from WorkloadGroup %s", key, program.caller.group)
                return
        body = {"metadata": {"annotations": annotations}}
        await self._client.patch(WORKLOADENTRY, key.name, key.namespace, body)

    def _group(self, key: ObjectKey, program: _Program) -> Mapping[str, Any] | None:
        """The group, if there is one whose programs have this service account; who waits for it is told once."""
        caller = program.caller
        group = self._known_group(key, program)
        why = ""
        if group is None:
            why = f"there is no WorkloadGroup {caller.group!r} in namespace {key.namespace}"
        elif (account := service_account(group)) != caller.node.service_account:
            why = f"its programs have the service account {account!r}, this one has {caller.node.service_account!r}"
        if not why:
            return group
        if why != program.told:
            log.warning("%s: not registered: %s", key, why)
        self._tell(program, why, group)
        return None

    def _known_group(self, key: ObjectKey, program: _Program) -> Mapping[str, Any] | None:
        return self._objects.find(f"WorkloadGroup/{key.namespace}/{program.caller.group}")

    def _tell(self, program: _Program, why: str, group: Mapping[str, Any] | None) -> None:
        """Why a program is not registered, by an Event of its group, once for each reason."""
        if why != program.told and group is not None:
            node = program.caller.node
            message = f"proxy {node.pod} at {node.ip} is not registered: {why}"
            self._recorder.record(group, reason="NotRegistered", message=message, type="Warning")
        program.told = why

    async def _note_left(self, key: ObjectKey) -> None:
        there = self._objects.find(str(key))
        if there is None or _said(there).get(CONTROLLER) != self._istiod or not _said(there).get(CONNECTED):
            return
        body = {"metadata": {"annotations": {CONNECTED: None, DISCONNECTED: _now()}}}
        try:
            await self._client.patch(WORKLOADENTRY, key.name, key.namespace, body)
        except NotFound:
            return

    async def _remove(self, key: ObjectKey) -> None:
        """Delete an entry that nobody else has taken over."""
        try:
            there = await self._client.get(WORKLOADENTRY, key.name, key.namespace)
            said = _said(there)
            if GROUP_ANNOTATION not in said or said.get(CONTROLLER) != self._istiod or said.get(CONNECTED):
                return
            version = str(there["metadata"]["resourceVersion"])
            await self._client.delete(WORKLOADENTRY, key.name, key.namespace, resource_version=version)
            log.info("%s: its proxy did not come back, removed", key)
        except (NotFound, Conflict):
            return

    async def _give_up(self) -> None:
        """Take over the entries of an istiod that is no more whose proxies have not come back to this one."""
        for there in self._objects.all("WorkloadEntry"):
            said, metadata = _said(there), there["metadata"]
            key = ObjectKey("WorkloadEntry", metadata["namespace"], metadata["name"])
            if not (said.get(GROUP_ANNOTATION) and said.get(CONTROLLER)) or key in self._programs:
                continue
            try:
                if said[CONTROLLER] != self._istiod and await self._lives(said[CONTROLLER]):
                    continue
                body = {"metadata": {"annotations": {CONTROLLER: self._istiod, CONNECTED: None, DISCONNECTED: _now()}}}
                await self._client.patch(WORKLOADENTRY, key.name, key.namespace, body)
                await self._remove(key)
            except NotFound:
                continue
            except ApiError as error:
                log.warning("%s: %s", key, error)
                self._look_back = self._clock() + self._grace

    async def _lives(self, istiod: str) -> bool:
        try:
            await self._client.get(POD, istiod, self._namespace)
        except NotFound:
            return False
        return True


def _place(caller: Caller) -> Place:
    labels = dict(caller.node.labels)
    return Place(address=caller.node.ip, labels=labels, network=caller.network, locality=caller.locality)


def _said(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
