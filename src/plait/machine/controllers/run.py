"""All controllers over one cache, as one task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from plait.kube.backoff import Backoff
from plait.kube.discovery import Resource, discover
from plait.kube.errors import ApiError
from plait.kube.kinds import (
    CONFIGMAP,
    CRD,
    CRONJOB,
    DEPLOYMENT,
    ENDPOINTSLICE,
    EVENT,
    INGRESS,
    INGRESSCLASS,
    JOB,
    MESHPOLICY,
    NAMESPACE,
    PEERAUTHENTICATION,
    POD,
    POLICY,
    REPLICASET,
    RESOURCEQUOTA,
    SERVICE,
    SERVICEACCOUNT,
)
from plait.kube.recorder import Recorder
from plait.kube.reflect import ref_of, reflect
from plait.machine.controllers.cache import Cache, Change
from plait.machine.controllers.confirm import PATIENCE, Confirmer
from plait.machine.controllers.cronjob import CronJobController
from plait.machine.controllers.deployment import DeploymentController
from plait.machine.controllers.endpointslice import EndpointSliceController
from plait.machine.controllers.garbage import GarbageCollector
from plait.machine.controllers.graph import Graph, node_of
from plait.machine.controllers.ingress import IngressController
from plait.machine.controllers.job import JobController
from plait.machine.controllers.loadbalancer import LoadBalancerController
from plait.machine.controllers.namespaces import NamespaceController, ServiceAccountController
from plait.machine.controllers.policies import PolicyController
from plait.machine.controllers.quota import QuotaController
from plait.machine.controllers.replicaset import ReplicaSetController
from plait.machine.controllers.writes import Api, Writes

if TYPE_CHECKING:
    from plait.kube.kinds import Kind
    from plait.machine.controllers.controller import Controller

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

#: Kinds the controllers read; of all others they know only who owns what.
CACHED = (
    NAMESPACE, SERVICEACCOUNT, CONFIGMAP, SERVICE, POD, REPLICASET, DEPLOYMENT, JOB, CRONJOB, ENDPOINTSLICE, INGRESS,
    INGRESSCLASS, MESHPOLICY, POLICY, PEERAUTHENTICATION, RESOURCEQUOTA,
)  # fmt: skip

# The same objects under another name, and the kind that has no owners and comes in masses.
_SKIPPED_GROUPS = frozenset({"extensions", "events.k8s.io", "metrics.k8s.io"})


async def run(
    client: Api, *, started: Callable[[], None], clock: Clock = lambda: datetime.now(UTC), host: str = ""
) -> None:
    """Run until cancelled; `started` is called once everything has been seen and the work begins.

    The API may be away at any time, at the start too: that is waited out. `host` is the node's name in Events.
    """
    await Controllers(client, clock=clock, host=host).run(started)


class Controllers:
    """The parts and how they are tied together; `run` starts them."""

    def __init__(self, client: Api, *, clock: Clock, host: str = "", patience: float = PATIENCE) -> None:
        self._client = client
        self.cache = Cache(CACHED)
        self.graph = Graph()
        writes = Writes(client, self.cache)
        self._recorder = Recorder(client, "plait-controllers", host=host, clock=clock)
        self.garbage = GarbageCollector(graph=self.graph, writes=writes)
        self.namespaces = NamespaceController(cache=self.cache, graph=self.graph, writes=writes, clock=clock)
        self._quotas = QuotaController(cache=self.cache, graph=self.graph, writes=writes)
        self._followers: tuple[Controller, ...] = (
            EndpointSliceController(cache=self.cache, writes=writes),
            ReplicaSetController(cache=self.cache, writes=writes, recorder=self._recorder, clock=clock),
            JobController(cache=self.cache, writes=writes, recorder=self._recorder, clock=clock),
            CronJobController(cache=self.cache, writes=writes, recorder=self._recorder, clock=clock),
            DeploymentController(cache=self.cache, writes=writes, recorder=self._recorder, clock=clock),
            LoadBalancerController(cache=self.cache, writes=writes),
            IngressController(cache=self.cache, writes=writes),
            PolicyController(cache=self.cache, writes=writes),
            ServiceAccountController(cache=self.cache, writes=writes),
            self._quotas,
            self.namespaces,
        )
        confirmer = Confirmer(cache=self.cache, writes=writes, patience=patience)
        self.all = (*self._followers, self.garbage, confirmer)
        self._backoff = Backoff(first=0.05, most=5.0)
        self._rediscover = asyncio.Event()
        self._rediscover.set()

    async def run(self, started: Callable[[], None]) -> None:
        """See the module's `run`."""
        self.cache.listen(self._moved)
        for controller in self._followers:
            self.cache.listen(controller.changed)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._recorder.run(), name="events")
                tasks.create_task(self._follow_cached(), name="watch what controllers read")
                tasks.create_task(self._follow_served(), name="watch what is served")
                await self.cache.synced()
                for controller in self.all:
                    for number in range(controller.workers):
                        tasks.create_task(controller.work(), name=f"{controller.name} {number}")
                started()
        finally:
            for controller in self.all:
                controller.queue.close()

    async def _follow_cached(self) -> None:
        async with aclosing(reflect(self._client, CACHED, backoff=self._backoff)) as batches:
            async for batch in batches:
                self.cache.apply(batch)

    async def _follow_served(self) -> None:
        """One task for each other kind that the API serves, as long as it serves it."""
        following: dict[Kind, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._rediscover.wait()
                self._rediscover.clear()
                resources = await self._discover()
                self.garbage.serve({(item.kind.group, item.kind.kind): item.kind for item in resources})
                self.namespaces.serve(resources)
                # What is made when somebody asks cannot be deleted as a whole, and goes with what it is made of.
                wanted = {item.kind for item in resources if {"list", "watch", "deletecollection"} <= item.verbs}
                wanted -= {*CACHED, EVENT}
                for kind in following.keys() - wanted:
                    following.pop(kind).cancel()
                    self._forget(kind)
                for kind in sorted(wanted - following.keys(), key=lambda each: each.resource):
                    following[kind] = tasks.create_task(self._follow_owners(kind), name=f"watch owners {kind.resource}")

    async def _discover(self) -> tuple[Resource, ...]:
        failures = 0
        while True:
            try:
                found = await discover(self._client)
            except ApiError as error:
                failures += 1
                log.log(logging.WARNING if failures == 4 else logging.DEBUG, "cannot discover the API: %s", error)
                await asyncio.sleep(self._backoff.wait(failures))
            else:
                return tuple(item for item in found if item.kind.group not in _SKIPPED_GROUPS)

    async def _follow_owners(self, kind: Kind) -> None:
        async with aclosing(reflect(self._client, [kind], metadata_only=True, backoff=self._backoff)) as batches:
            async for batch in batches:
                for ref in batch.deletes:
                    self._moved(Change(kind, ref, None, None))
                for obj in batch.upserts:
                    self._moved(Change(kind, ref_of(obj), None, obj))
                if kind == CRD and not batch.synced:
                    self._rediscover.set()

    def _forget(self, kind: Kind) -> None:
        for ref in self.graph.refs(kind):
            self._moved(Change(kind, ref, None, None))

    def _moved(self, change: Change) -> None:
        node = node_of(change.kind, change.new) if change.new is not None else None
        old, new = self.graph.set(change.kind, change.ref, node)
        self.garbage.moved(old, new)
        self.namespaces.moved(old, new)
        self._quotas.moved(old, new)
