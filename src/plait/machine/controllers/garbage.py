"""Garbage: objects whose owners are all gone are deleted.

An owner counts as gone when it was seen to go, or when the API says that no object of its name has its uid. An object
some of whose owners live keeps those and loses the references to the dead.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from plait.kube.errors import Conflict, NotFound
from plait.machine.controllers.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.kube.kinds import Kind
    from plait.machine.controllers.graph import Graph, Node
    from plait.machine.controllers.writes import Writes

log = logging.getLogger(__name__)

Object = dict[str, Any]

_FOREGROUND = "foregroundDeletion"


class GarbageCollector(Controller):
    """Keys are uids, of objects whose owners may be gone."""

    name = "garbage"
    workers = 8

    def __init__(self, *, graph: Graph, writes: Writes) -> None:
        super().__init__()
        self._graph = graph
        self._writes = writes
        self._kinds: dict[tuple[str, str], Kind] = {}

    def serve(self, kinds: Mapping[tuple[str, str], Kind]) -> None:
        """Which kind a (group, kind) of an owner reference is, as the API serves them now."""
        self._kinds = dict(kinds)

    def moved(self, old: Node | None, new: Node | None) -> None:
        """An object appeared with owners, got other ones, is being deleted, or went."""
        if new is not None and new.owners and (old is None or old.owners != new.owners):
            self.queue.add(new.uid)
        if new is not None and new.deleting and _FOREGROUND in new.finalizers:
            self.queue.add(new.uid)
            for uid in self._graph.dependents(new.uid):
                self.queue.add(uid)
        if old is not None and (new is None or new.uid != old.uid):
            for uid in self._graph.dependents(old.uid):
                self.queue.add(uid)
            for owner in old.owners:
                above = self._graph.node(owner["uid"])
                if above is not None and above.deleting and _FOREGROUND in above.finalizers:
                    self.queue.add(above.uid)

    async def reconcile(self, key: str) -> float | None:
        """Delete, or take off dead references, or let a foreground deletion end."""
        node = self._graph.node(key)
        if node is None:
            return None
        if node.deleting:
            if _FOREGROUND in node.finalizers and not self._graph.dependents(key):
                await self._end_foreground(node)
            return None
        if not node.owners:
            return None
        dead, waiting = [], []
        for owner in node.owners:
            if await self._is_absent(node, owner):
                dead.append(owner)
            elif (above := self._graph.node(owner["uid"])) and above.deleting and _FOREGROUND in above.finalizers:
                waiting.append(owner)
        if len(dead) + len(waiting) == len(node.owners):
            await self._delete(node)
        elif dead:
            left = [dict(owner) for owner in node.owners if owner not in dead]
            await self._writes.api.patch(
                node.kind, node.ref.name, node.ref.namespace or None, _owners(node, left), type="merge"
            )
        return None

    async def _is_absent(self, node: Node, owner: Mapping[str, Any]) -> bool:
        uid = owner["uid"]
        if self._graph.node(uid) is not None:
            return False
        if self._graph.is_gone(uid):
            return True
        group, _, _ = owner["apiVersion"].rpartition("/")
        kind = self._kinds.get((group, owner["kind"]))
        if kind is None:
            # Its definition may come back; what it owns must not vanish because the API was not asked the right way.
            log.debug("%s %s is owned by a kind that is not served: %s", node.kind.kind, node.ref, dict(owner))
            return False
        if kind.namespaced and not node.kind.namespaced:
            return False
        try:
            found = await self._writes.api.get(kind, owner["name"], node.ref.namespace if kind.namespaced else None)
        except NotFound:
            return True
        return bool(found["metadata"]["uid"] != uid)

    async def _delete(self, node: Node) -> None:
        stub = {"metadata": {"name": node.ref.name, "namespace": node.ref.namespace or None, "uid": node.uid}}
        try:
            await self._writes.delete(node.kind, stub, background=True)
        except Conflict:
            return  # a namesake was made meanwhile

    async def _end_foreground(self, node: Node) -> None:
        left = [name for name in node.finalizers if name != _FOREGROUND]
        change = {"metadata": {"uid": node.uid, "finalizers": left}}
        try:
            await self._writes.api.patch(node.kind, node.ref.name, node.ref.namespace or None, change, type="merge")
        except NotFound:
            return


def _owners(node: Node, left: list[Object]) -> Object:
    return {"metadata": {"uid": node.uid, "ownerReferences": left}}
