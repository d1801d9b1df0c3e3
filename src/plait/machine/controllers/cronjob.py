"""CronJob: a Job at each time that its schedule names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.errors import AlreadyExists, ApiError
from plait.kube.kinds import CRONJOB, JOB
from plait.kube.reflect import Ref
from plait.machine.controllers.controller import ClockedController
from plait.machine.controllers.cron_plan import job_for, plan_cron_job, with_started
from plait.machine.controllers.objects import controller_of, is_controlled_by, is_deleting

if TYPE_CHECKING:
    from datetime import datetime

    from plait.machine.controllers.cache import Change

Object = dict[str, Any]


class CronJobController(ClockedController):
    """Starts Jobs when they are due, and removes those that are older than is kept."""

    name = "cronjob"
    workers = 2

    def changed(self, change: Change) -> None:
        """A CronJob, or a Job of one."""
        if change.kind == CRONJOB:
            self.queue.add(change.ref)
        elif change.kind == JOB:
            for job in (change.old, change.new):
                owner = controller_of(job) if job is not None else None
                if owner is not None and owner["kind"] == "CronJob":
                    self.queue.add(Ref(change.ref.namespace, owner["name"]))

    async def reconcile(self, key: Ref) -> float | None:
        """Look at the clock and at the Jobs, act, report."""
        cron = self._cache.get(CRONJOB, key)
        if cron is None or is_deleting(cron):
            return None
        plan = plan_cron_job(cron, self._cache.controlled(JOB, cron["metadata"]["uid"]), now=self._clock())
        for kind, reason, message in plan.events:
            self._recorder.record(cron, type=kind, reason=reason, message=message)
        for job in plan.delete:
            await self._writes.delete(JOB, job, background=True)
            name = job["metadata"]["name"]
            self._recorder.record(cron, type="Normal", reason="SuccessfulDelete", message=f"Deleted job {name}")
        status = plan.status
        if plan.due is not None:
            status = with_started(status, await self._start(cron, plan.due), plan.due)
        if status != (cron.get("status") or {}):
            await self._writes.status(CRONJOB, cron, status)
        return plan.again

    async def _start(self, cron: Object, due: datetime) -> Object | None:
        wanted = job_for(cron, due)
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        try:
            job = await self._writes.create(JOB, wanted)
        except AlreadyExists:
            # Made before, and its answer or the status was lost.
            job = await self._writes.fetch(JOB, name, namespace)
            if not is_controlled_by(job, cron):
                said = f"Error creating job: a job {name} of somebody else is in the way"
                self._recorder.record(cron, type="Warning", reason="FailedCreate", message=said)
                return None
            return job
        except ApiError as error:
            said = f"Error creating job: {error.message}"
            self._recorder.record(cron, type="Warning", reason="FailedCreate", message=said)
            raise
        self._recorder.record(cron, type="Normal", reason="SuccessfulCreate", message=f"Created job {name}")
        return job
