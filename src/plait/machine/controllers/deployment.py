"""Deployment: ReplicaSets by pod template, moved from the old to the new as the strategy allows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from plait.kube.errors import AlreadyExists, ApiError, Forbidden
from plait.kube.kinds import DEPLOYMENT, POD, REPLICASET
from plait.kube.reflect import Ref, ref_of
from plait.machine.controllers.conditions import find_condition
from plait.machine.controllers.controller import ClockedController
from plait.machine.controllers.deployment_plan import Adjust, Drop, Make, Number, find_new, plan_deployment
from plait.machine.controllers.deployment_status import FAILED_CREATE, progressing
from plait.machine.controllers.objects import controller_of, is_controlled_by, is_deleting, labels_of, selects
from plait.machine.controllers.ownership import adopt, release
from plait.machine.controllers.pods import has_ended
from plait.machine.controllers.templates import REVISION, same_template, wanted_count

if TYPE_CHECKING:
    from plait.machine.controllers.cache import Change
    from plait.machine.controllers.deployment_plan import Action

log = logging.getLogger(__name__)

Object = dict[str, Any]


class DeploymentController(ClockedController):
    """Carries out `deployment_plan`."""

    name = "deployment"

    def changed(self, change: Change) -> None:
        """A Deployment, a ReplicaSet of one or that one might adopt, or the last of a pod (Recreate waits for it)."""
        if change.kind == DEPLOYMENT:
            self.queue.add(change.ref)
        elif change.kind == REPLICASET:
            for each in (change.old, change.new):
                if each is not None:
                    self._queue_owner(change.ref.namespace, each)
        elif change.kind == POD and change.old is not None and (change.new is None or has_ended(change.new)):
            owner = controller_of(change.old)
            each = self._cache.get(REPLICASET, Ref(change.ref.namespace, owner["name"])) if owner else None
            if each is not None:
                self._queue_owner(change.ref.namespace, each)

    def _queue_owner(self, namespace: str, replicaset: Object) -> None:
        owner = controller_of(replicaset)
        if owner is not None:
            if owner["kind"] == "Deployment":
                self.queue.add(Ref(namespace, owner["name"]))
            return
        for candidate in self._cache.in_namespace(DEPLOYMENT, namespace):
            if selects(candidate["spec"].get("selector"), labels_of(replicaset)):
                self.queue.add(ref_of(candidate))

    async def reconcile(self, key: Ref) -> float | None:
        """One step; what it changes queues the next."""
        deployment = self._cache.get(DEPLOYMENT, key)
        if deployment is None:
            return None
        if not is_deleting(deployment):
            await self._claim(deployment)
        sets = self._cache.controlled(REPLICASET, deployment["metadata"]["uid"])
        plan = plan_deployment(deployment, sets, old_pods=self._old_pods(deployment, sets), now=self._clock())
        for action in plan.actions:
            await self._act(deployment, action)
        if not plan.actions and plan.status != deployment.get("status"):
            await self._writes.status(DEPLOYMENT, deployment, plan.status)
        return plan.again

    async def _claim(self, deployment: Object) -> None:
        selector = deployment["spec"].get("selector")
        for each in self._cache.controlled(REPLICASET, deployment["metadata"]["uid"]):
            if not selects(selector, labels_of(each)):
                await release(self._writes, deployment, REPLICASET, each)
        for each in self._cache.orphans(REPLICASET, deployment["metadata"]["namespace"]):
            if selects(selector, labels_of(each)) and not is_deleting(each):
                await adopt(self._writes, DEPLOYMENT, deployment, REPLICASET, each)

    def _old_pods(self, deployment: Object, sets: list[Object]) -> bool:
        """Whether a pod of an old ReplicaSet still runs, if only to its end."""
        new = find_new(deployment, sets)
        return any(
            not has_ended(pod)
            for each in sets
            if each is not new
            for pod in self._cache.controlled(POD, each["metadata"]["uid"])
        )

    async def _act(self, deployment: Object, action: Action) -> None:
        match action:
            case Make():
                await self._make(deployment, action)
            case Adjust(replicaset=replicaset, change=change, resized=resized):
                await self._writes.merge(REPLICASET, replicaset, change)
                if resized:
                    self._tell(deployment, replicaset, *resized)
            case Drop(replicaset=replicaset):
                await self._writes.delete(REPLICASET, replicaset, background=True)
            case Number(revision=revision):
                annotations = {REVISION: str(revision)}
                await self._writes.merge(DEPLOYMENT, deployment, {"metadata": {"annotations": annotations}})

    async def _make(self, deployment: Object, action: Make) -> None:
        wanted = action.replicaset
        try:
            made = await self._writes.create(REPLICASET, wanted)
        except AlreadyExists as error:
            await self._collide(deployment, wanted, error)
            return
        except ApiError as error:
            if not (isinstance(error, Forbidden) and error.namespace_terminating):
                await self._regret(deployment, wanted["metadata"]["name"], error)
            raise
        if replicas := wanted_count(made):
            self._tell(deployment, made, 0, replicas)
        if action.status != deployment.get("status"):
            await self._writes.status(DEPLOYMENT, deployment, action.status)

    async def _regret(self, deployment: Object, name: str, error: ApiError) -> None:
        message = f'Failed to create new replica set "{name}": {error.message}'
        self._recorder.record(deployment, type="Warning", reason=FAILED_CREATE, message=message)
        known = find_condition((deployment.get("status") or {}).get("conditions"), "Progressing")
        # Said once: each write of the status would queue the next attempt, past the wait between attempts.
        if known is None or known.get("reason") != FAILED_CREATE:
            status = progressing(deployment, "False", reason=FAILED_CREATE, message=message, now=self._clock())
            if status != deployment.get("status"):
                await self._writes.status(DEPLOYMENT, deployment, status)

    async def _collide(self, deployment: Object, wanted: Object, error: AlreadyExists) -> None:
        """The name is taken: by our own ReplicaSet that the cache has not met yet, by one left over, or by a stranger.

        One left over belonged to a Deployment of the same name that was deleted a moment ago: wait till it is gone.
        """
        meta = wanted["metadata"]
        found = await self._writes.fetch(REPLICASET, meta["name"], meta["namespace"])
        if is_controlled_by(found, deployment) and same_template(
            found["spec"]["template"], deployment["spec"]["template"]
        ):
            self.queue.add(ref_of(deployment))
            return
        owner = controller_of(found)
        left_over = owner is not None and (owner["kind"], owner["name"]) == (
            "Deployment",
            deployment["metadata"]["name"],
        )
        if is_deleting(found) or (left_over and not is_controlled_by(found, deployment)):
            raise error
        status = deployment.get("status") or {}
        log.warning(
            "replica set %s is not the one deployment %s needs: trying another hash", meta["name"], ref_of(deployment)
        )
        collisions = int(status.get("collisionCount") or 0) + 1
        await self._writes.status(DEPLOYMENT, deployment, status | {"collisionCount": collisions})

    def _tell(self, deployment: Object, replicaset: Object, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        name = replicaset["metadata"]["name"]
        self._recorder.record(
            deployment,
            type="Normal",
            reason="ScalingReplicaSet",
            message=f"Scaled {way} replica set {name} from {before} to {after}",
        )
