"""EndpointSlice: which pods a Service means, and which of them may be sent requests.

An endpoint that becomes unready is the most urgent news in the mesh. Nothing is collected or delayed here: the change
of a pod queues the Services that select it, each is one read of the cache and one PUT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.kinds import ENDPOINTSLICE, POD, SERVICE
from plait.kube.reflect import Ref, ref_of
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.objects import is_deleting, labels_of
from plait.machine.controllers.slices import MANAGED_BY, OURS, SERVICE_NAME, plan_slices, wants_slices

if TYPE_CHECKING:
    from plait.machine.controllers.cache import Change

Object = dict[str, Any]


class EndpointSliceController(WritingController):
    """Carries out `slices`."""

    name = "endpointslice"
    workers = 8

    def changed(self, change: Change) -> None:
        """A Service, a slice of ours, or a pod that a Service selects or selected."""
        if change.kind == SERVICE:
            self.queue.add(change.ref)
        elif change.kind == ENDPOINTSLICE:
            for each in (change.old, change.new):
                if each is not None and _is_ours(each):
                    self.queue.add(Ref(change.ref.namespace, labels_of(each)[SERVICE_NAME]))
        elif change.kind == POD:
            labels = [labels_of(pod).items() for pod in (change.old, change.new) if pod is not None]
            for service in self._cache.in_namespace(SERVICE, change.ref.namespace):
                if wants_slices(service):
                    selector = service["spec"]["selector"].items()
                    if any(selector <= each for each in labels):
                        self.queue.add(ref_of(service))

    async def reconcile(self, key: Ref) -> float | None:
        """Bring the slices of one Service up to date."""
        service = self._cache.get(SERVICE, key)
        if service is None or is_deleting(service):
            for each in self._cache.in_namespace(ENDPOINTSLICE, key.namespace):
                if _is_ours(each) and labels_of(each)[SERVICE_NAME] == key.name:
                    await self._writes.delete(ENDPOINTSLICE, each)
            return None
        if not wants_slices(service):
            return None
        # By owner, not by name: slices of a Service that had this name before go with that one.
        mine = self._cache.controlled(ENDPOINTSLICE, service["metadata"]["uid"])
        slices = [each for each in mine if _is_ours(each) and not is_deleting(each)]
        pods = self._cache.pods_labelled(key.namespace, service["spec"]["selector"])
        changes = plan_slices(service, pods, slices)
        for each in changes.update:
            await self._writes.replace(ENDPOINTSLICE, each)
        for each in changes.create:
            await self._writes.create(ENDPOINTSLICE, each)
        for each in changes.delete:
            await self._writes.delete(ENDPOINTSLICE, each)
        return None


def _is_ours(each: Object) -> bool:
    labels = labels_of(each)
    return labels.get(MANAGED_BY) == OURS and SERVICE_NAME in labels
