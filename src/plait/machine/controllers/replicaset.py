"""ReplicaSet: as many pods as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError, Conflict, Forbidden
from plait.kube.kinds import POD, REPLICASET
from plait.kube.reflect import Ref, ref_of
from plait.machine.controllers.controller import ClockedController
from plait.machine.controllers.objects import controller_of, is_controlled_by, is_deleting, labels_of, selects
from plait.machine.controllers.ownership import adopt, release
from plait.machine.controllers.pods import is_active
from plait.machine.controllers.replicaset_plan import (
    Failure,
    pod_for,
    pods_missing,
    pods_to_adopt,
    pods_to_delete,
    pods_to_release,
    replicaset_status,
)
from plait.machine.controllers.together import together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.machine.controllers.cache import Change

Object = dict[str, Any]


class ReplicaSetController(ClockedController):
    """Makes and deletes pods. It never makes one too many: the cache knows every pod it made (see `cache`)."""

    name = "replicaset"
    workers = 8

    def changed(self, change: Change) -> None:
        """A ReplicaSet, or a pod of one, or a pod that one might adopt."""
        if change.kind == REPLICASET:
            self.queue.add(change.ref)
        elif change.kind == POD:
            for pod in (change.old, change.new):
                if pod is None:
                    continue
                owner = controller_of(pod)
                if owner is not None:
                    if owner["kind"] == "ReplicaSet":
                        self.queue.add(Ref(change.ref.namespace, owner["name"]))
                elif is_active(pod):
                    for candidate in self._cache.in_namespace(REPLICASET, change.ref.namespace):
                        if selects(candidate["spec"].get("selector"), labels_of(pod)):
                            self.queue.add(ref_of(candidate))

    async def reconcile(self, key: Ref) -> float | None:
        """Claim pods, make or delete the difference, report."""
        owner = self._cache.get(REPLICASET, key)
        if owner is None:
            return None
        failure = None
        trouble: ApiError | None = None
        if not is_deleting(owner):
            await self._claim(owner)
            try:
                await self._scale(owner)
            except _Failed as error:
                trouble, failure = error.cause, Failure(reason=error.reason, message=error.cause.message)
        owner = self._cache.get(REPLICASET, key)
        if owner is None:
            return None
        status, again = replicaset_status(owner, self._pods(owner), now=self._clock(), failure=failure)
        if status != owner.get("status"):
            await self._writes.status(REPLICASET, owner, status)
        if trouble is not None:
            raise trouble
        return again

    def _pods(self, owner: Object) -> list[Object]:
        return self._cache.controlled(POD, owner["metadata"]["uid"])

    async def _claim(self, owner: Object) -> None:
        namespace = owner["metadata"]["namespace"]
        for pod in pods_to_release(owner, self._pods(owner)):
            await release(self._writes, owner, POD, pod)
        for pod in pods_to_adopt(owner, self._cache.orphans(POD, namespace)):
            if not await adopt(self._writes, REPLICASET, owner, POD, pod):
                return

    async def _scale(self, owner: Object) -> None:
        active = [pod for pod in self._pods(owner) if is_active(pod)]
        if missing := pods_missing(owner, active):
            try:
                await _in_growing_batches(missing, lambda: self._create(owner))
            except ApiError as error:
                raise _Failed("FailedCreate", error) from error
        elif surplus := pods_to_delete(owner, active):
            try:
                await together(self._delete(owner, pod) for pod in surplus)
            except ApiError as error:
                raise _Failed("FailedDelete", error) from error

    async def _create(self, owner: Object) -> None:
        try:
            pod = await self._writes.create(POD, pod_for(owner))
        except ApiError as error:
            if not (isinstance(error, Forbidden) and error.namespace_terminating):
                self._recorder.record(
                    owner, type="Warning", reason="FailedCreate", message=f"Error creating: {error.message}"
                )
            raise
        name = pod["metadata"]["name"]
        self._recorder.record(owner, type="Normal", reason="SuccessfulCreate", message=f"Created pod: {name}")

    async def _delete(self, owner: Object, pod: Object) -> None:
        name = pod["metadata"]["name"]
        current = self._cache.get(POD, ref_of(pod))
        if current is None or not is_controlled_by(current, owner):
            return
        try:
            await self._writes.delete(POD, pod)
        except Conflict:
            return  # a namesake: this pod is gone
        except ApiError as error:
            self._recorder.record(
                owner, type="Warning", reason="FailedDelete", message=f"Error deleting: {error.message}"
            )
            raise
        self._recorder.record(owner, type="Normal", reason="SuccessfulDelete", message=f"Deleted pod: {name}")


async def _in_growing_batches(count: int, act: Callable[[], Awaitable[None]]) -> None:
    """1, 2, 4, … at a time, and no further after a failure: what is refused once will be refused a hundred times."""
    size = 1
    while count > 0:
        size = min(size, count)
        await together(act() for _ in range(size))
        count -= size
        size *= 2


class _Failed(Exception):  # noqa: N818
    def __init__(self, reason: str, cause: ApiError) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
