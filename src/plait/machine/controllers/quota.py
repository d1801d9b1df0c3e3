"""What of each ResourceQuota is used, in its status. Nothing is refused for it: one machine has one user."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from plait.kube.kinds import POD, RESOURCEQUOTA, SERVICE
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.objects import is_deleting
from plait.machine.controllers.quota_plan import quota_status

if TYPE_CHECKING:
    from plait.kube.reflect import Ref
    from plait.machine.controllers.cache import Cache, Change
    from plait.machine.controllers.graph import Graph, Node
    from plait.machine.controllers.writes import Writes


class QuotaController(WritingController):
    """Counts what namespaces with a quota have; namespaces without one cost nothing."""

    name = "quota"
    workers = 1

    def __init__(self, *, cache: Cache, graph: Graph, writes: Writes) -> None:
        super().__init__(cache=cache, writes=writes)
        self._graph = graph

    def changed(self, change: Change) -> None:
        """A quota, or something that has more to say than that it is there."""
        if change.kind == RESOURCEQUOTA and change.new is not None:
            self.queue.add(change.ref)
        elif change.kind in {POD, SERVICE}:
            self._queue(change.ref.namespace)

    def moved(self, old: Node | None, new: Node | None) -> None:
        """Any object came or went."""
        if (node := new or old) is not None and (old is None) is not (new is None):
            self._queue(node.ref.namespace)

    def _queue(self, namespace: str) -> None:
        for ref in self._cache.refs(RESOURCEQUOTA, namespace):
            self.queue.add(ref)

    async def reconcile(self, key: Ref) -> float | None:
        """Write what is used, if that is news."""
        quota = self._cache.get(RESOURCEQUOTA, key)
        if quota is None or is_deleting(quota):
            return None
        status = quota_status(
            quota,
            pods=self._cache.in_namespace(POD, key.namespace),
            services=self._cache.in_namespace(SERVICE, key.namespace),
            counts=Counter(node.kind for node in self._graph.contents(key.namespace)),
        )
        if status != quota.get("status"):
            await self._writes.status(RESOURCEQUOTA, quota, status)
        return None
