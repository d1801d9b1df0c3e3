"""Job: pods until enough have succeeded, or too many have failed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError, Conflict
from plait.kube.kinds import JOB, POD
from plait.kube.reflect import Ref
from plait.machine.controllers.controller import ClockedController
from plait.machine.controllers.job_indexes import INDEX
from plait.machine.controllers.job_plan import Ended, plan_job
from plait.machine.controllers.objects import controller_of, controller_reference, is_deleting
from plait.machine.controllers.together import together

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from plait.kube.recorder import Recorder
    from plait.machine.controllers.cache import Cache, Change
    from plait.machine.controllers.writes import Writes

Object = dict[str, Any]


class JobController(ClockedController):
    """Makes and counts pods. A pod counts once it has ended, and goes on counting when somebody deletes it."""

    name = "job"
    workers = 4

    def __init__(self, *, cache: Cache, writes: Writes, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        super().__init__(cache=cache, writes=writes, recorder=recorder, clock=clock)
        # By the Job's uid: how each of its pods ended, and how many had ended before this controller began.
        self._outcomes: dict[str, dict[str, bool]] = {}
        self._before: dict[str, Ended] = {}

    def changed(self, change: Change) -> None:
        """A Job, or a pod of one."""
        if change.kind == JOB:
            self.queue.add(change.ref)
            if change.new is None and change.old is not None:
                self._outcomes.pop(change.old["metadata"]["uid"], None)
                self._before.pop(change.old["metadata"]["uid"], None)
        elif change.kind == POD:
            for pod in (change.old, change.new):
                owner = controller_of(pod) if pod is not None else None
                if owner is not None and owner["kind"] == "Job":
                    self.queue.add(Ref(change.ref.namespace, owner["name"]))

    async def reconcile(self, key: Ref) -> float | None:
        """Count, decide, act, report."""
        job = self._cache.get(JOB, key)
        if job is None or is_deleting(job):
            return None
        pods = self._cache.controlled(POD, job["metadata"]["uid"])
        plan = plan_job(job, pods, self._ended(job, pods), now=self._clock())
        if plan.remove:
            await self._writes.delete(JOB, job, background=True)
            return None
        if plan.status != job.get("status"):
            job = await self._writes.status(JOB, job, plan.status)
            for kind, reason, message in plan.events:
                self._recorder.record(job, type=kind, reason=reason, message=message)
        for pod in plan.delete:
            await self._delete(job, pod)
        await together(self._create(job, index) for index in plan.create)
        return plan.again

    def _ended(self, job: Object, pods: list[Object]) -> Ended:
        uid = job["metadata"]["uid"]
        known = self._outcomes.setdefault(uid, {})
        for pod in pods:
            phase = (pod.get("status") or {}).get("phase")
            if phase in {"Succeeded", "Failed"}:
                known[pod["metadata"]["uid"]] = phase == "Succeeded"
        good = sum(known.values())
        if uid not in self._before:
            status = job.get("status") or {}
            self._before[uid] = Ended(
                succeeded=max(0, int(status.get("succeeded") or 0) - good),
                failed=max(0, int(status.get("failed") or 0) - (len(known) - good)),
            )
        before = self._before[uid]
        return Ended(succeeded=before.succeeded + good, failed=before.failed + len(known) - good)

    async def _create(self, job: Object, index: int | None) -> None:
        try:
            pod = await self._writes.create(POD, pod_for(job, index))
        except ApiError as error:
            self._recorder.record(
                job, type="Warning", reason="FailedCreate", message=f"Error creating: {error.message}"
            )
            raise
        name = pod["metadata"]["name"]
        self._recorder.record(job, type="Normal", reason="SuccessfulCreate", message=f"Created pod: {name}")

    async def _delete(self, job: Object, pod: Object) -> None:
        try:
            await self._writes.delete(POD, pod)
        except Conflict:
            return  # a namesake: this pod is gone
        name = pod["metadata"]["name"]
        self._recorder.record(job, type="Normal", reason="SuccessfulDelete", message=f"Deleted pod: {name}")


def pod_for(job: Object, index: int | None) -> Object:
    """A pod from the Job's template, for a part of the work where there are parts."""
    template, name = copy.deepcopy(job["spec"]["template"]), job["metadata"]["name"]
    given = template.get("metadata") or {}
    meta: Object = {
        "generateName": f"{name[:240]}-" if index is None else f"{name[:240]}-{index}-",
        "namespace": job["metadata"]["namespace"],
        "ownerReferences": [controller_reference(job)],
    }
    meta |= {key: given[key] for key in ("labels", "annotations", "finalizers") if given.get(key)}
    spec = template["spec"]
    if index is not None:
        meta["annotations"] = {**(meta.get("annotations") or {}), INDEX: str(index)}
        meta["labels"] = {**(meta.get("labels") or {}), INDEX: str(index)}
        spec.setdefault("hostname", f"{name}-{index}")
        variable = {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}},
        }
        for container in (*spec["containers"], *(spec.get("initContainers") or ())):
            container["env"] = [*(container.get("env") or ()), variable]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
