"""Namespaces: a service account at the start, and an end that leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from plait.kube.kinds import NAMESPACE, SERVICEACCOUNT
from plait.kube.reflect import Ref
from plait.machine.controllers.conditions import with_condition
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.objects import format_time, is_deleting
from plait.machine.controllers.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from plait.kube.discovery import Resource
    from plait.kube.kinds import Kind
    from plait.machine.controllers.cache import Cache, Change
    from plait.machine.controllers.graph import Graph, Node
    from plait.machine.controllers.writes import Writes

Object = dict[str, Any]

_FINALIZER = "kubernetes"
# Pods first: while they run they may still use what else is in the namespace.
_FIRST = "Pod"


class ServiceAccountController(WritingController):
    """Every namespace has a service account `default`."""

    name = "serviceaccount"

    def changed(self, change: Change) -> None:
        """A namespace appeared, or its `default` went."""
        if change.kind == NAMESPACE and change.new is not None:
            self.queue.add(change.ref.name)
        elif change.kind == SERVICEACCOUNT and change.new is None and change.ref.name == "default":
            self.queue.add(change.ref.namespace)

    async def reconcile(self, key: str) -> float | None:
        """Make it where it is missing."""
        namespace = self._cache.get(NAMESPACE, Ref("", key))
        if namespace is None or is_deleting(namespace):
            return None
        if self._cache.get(SERVICEACCOUNT, Ref(key, "default")) is None:
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": key},
            }
            try:
                await self._writes.create(SERVICEACCOUNT, account)
            except AlreadyExists:
                return None
        return None


class NamespaceController(WritingController):
    """Empties a namespace that is being deleted, then lets it go."""

    name = "namespace"

    def __init__(self, *, cache: Cache, graph: Graph, writes: Writes, clock: Callable[[], datetime]) -> None:
        super().__init__(cache=cache, writes=writes)
        self._graph = graph
        self._clock = clock
        self._kinds: tuple[Kind, ...] = ()

    def serve(self, resources: Iterable[Resource]) -> None:
        """What may be in a namespace, as the API serves it now."""
        self._kinds = tuple(
            resource.kind
            for resource in resources
            if resource.kind.namespaced and {"list", "deletecollection"} <= resource.verbs
        )

    def changed(self, change: Change) -> None:
        """A namespace is being deleted."""
        if change.kind == NAMESPACE and change.new is not None and is_deleting(change.new):
            self.queue.add(change.ref.name)

    def moved(self, old: Node | None, new: Node | None) -> None:
        """Something in a namespace that is being deleted went or appeared."""
        node = new or old
        if node is None or not node.ref.namespace or (old is not None and new is not None and not new.deleting):
            return
        namespace = self._cache.get(NAMESPACE, Ref("", node.ref.namespace))
        if namespace is not None and is_deleting(namespace):
            self.queue.add(node.ref.namespace)

    async def reconcile(self, key: str) -> float | None:
        """Delete what is known to be there; once nothing is, ask for what is not known, and finish."""
        namespace = self._cache.get(NAMESPACE, Ref("", key))
        if namespace is None or not is_deleting(namespace):
            return None
        if _FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or ()):
            return None
        left = self._graph.contents(key)
        if left:
            await self._delete_known(left)
            await self._explain(namespace)
            return None
        if remaining := await self._delete_unknown(key):
            # Seldom: something appeared that no watch has told of yet, or that no watch covers.
            await self._explain(namespace, unwatched=remaining)
            return 0.2
        finished = namespace | {
            "spec": {"finalizers": [each for each in namespace["spec"]["finalizers"] if each != _FINALIZER]}
        }
        try:
            await self._writes.replace(NAMESPACE, finished, subresource="finalize")
        except NotFound:
            return None
        return None

    async def _delete_known(self, nodes: list[Node]) -> None:
        todo = [node for node in nodes if not node.deleting]
        pods = [node for node in todo if node.kind.kind == _FIRST]
        for group in (pods, [node for node in todo if node.kind.kind != _FIRST]):
            await together(self._delete(node) for node in group)

    async def _delete(self, node: Node) -> None:
        stub = {"metadata": {"name": node.ref.name, "namespace": node.ref.namespace, "uid": node.uid}}
        try:
            await self._writes.delete(node.kind, stub, background=True)
        except Conflict:
            return  # a namesake: the namespace takes nothing new, so its own turn comes

    async def _delete_unknown(self, name: str) -> int:
        """Delete what a list of each kind shows, and say how much of that is still there."""
        remaining = 0
        for kind in self._kinds:
            try:
                found = (await self._writes.api.list(kind, name, metadata_only=True)).items
            except NotFound:
                continue  # the kind is served no more: its definition is deleted, and its objects with it
            for obj in found:
                if not is_deleting(obj):
                    await self._writes.delete(kind, obj, background=True)
            if found:
                try:
                    remaining += len((await self._writes.api.list(kind, name, metadata_only=True)).items)
                except NotFound:
                    continue  # likewise
        return remaining

    async def _explain(self, namespace: Object, *, unwatched: int = 0) -> None:
        """Say in the status what the end waits for."""
        current = self._cache.get(NAMESPACE, Ref("", namespace["metadata"]["name"]))
        if current is None:
            return
        nodes = self._graph.contents(current["metadata"]["name"])
        if not nodes and not unwatched:
            return
        counts: dict[str, int] = {}
        held: dict[str, int] = {}
        for node in nodes:
            counts[node.kind.resource] = counts.get(node.kind.resource, 0) + 1
            for finalizer in node.finalizers:
                held[finalizer] = held.get(finalizer, 0) + 1
        now = format_time(self._clock())
        status = dict(current.get("status") or {})
        conditions = list(status.get("conditions") or ())
        for kind, reason, numbers, form in (
            ("NamespaceContentRemaining", "SomeResourcesRemain", counts, "{} has {} resource instances"),
            ("NamespaceFinalizersRemaining", "SomeFinalizersRemain", held, "{} in {} resource instances"),
        ):
            if numbers:
                text = ", ".join(form.format(name, number) for name, number in sorted(numbers.items()))
                conditions = with_condition(
                    conditions,
                    kind,
                    "True",
                    reason=reason,
                    message=f"Some resources are remaining: {text}",
                    now=now,
                    updates=False,
                )
        if conditions != (status.get("conditions") or []):
            try:
                await self._writes.status(NAMESPACE, current, status | {"conditions": conditions})
            except ApiError as error:
                if not isinstance(error, (Conflict, NotFound)):
                    raise
