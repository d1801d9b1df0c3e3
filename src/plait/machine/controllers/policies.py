"""MeshPolicy and Policy of Istio 1.0: the PeerAuthentication of each, which it owns and which goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.api.former_policies import DEFAULT, peers_of
from plait.kube.kinds import MESHPOLICY, PEERAUTHENTICATION, POLICY
from plait.kube.reflect import Ref
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.loadbalancer import INGRESS_GATEWAY
from plait.machine.controllers.objects import controller_reference, is_controlled_by, is_deleting

if TYPE_CHECKING:
    from plait.machine.controllers.cache import Change

Object = dict[str, Any]

_ROOT: Final = INGRESS_GATEWAY.namespace


class PolicyController(WritingController):
    """Keys are where the PeerAuthentications are. One that somebody else wrote is left alone."""

    name = "policies"
    workers = 1

    def changed(self, change: Change) -> None:
        """A policy of either time."""
        if change.kind == MESHPOLICY:
            self.queue.add(Ref(_ROOT, change.ref.name))
        elif change.kind in {POLICY, PEERAUTHENTICATION}:
            self.queue.add(change.ref)

    async def reconcile(self, key: Ref) -> float | None:
        """Make the PeerAuthentication, or bring it up to date; garbage collection removes it."""
        if key.name != DEFAULT or (owner := self._owner(key)) is None:
            return None
        peers, _ = peers_of(owner, root=_ROOT)
        if peers is None:
            return None
        found = self._cache.get(PEERAUTHENTICATION, key)
        if found is None:
            made = {
                "apiVersion": PEERAUTHENTICATION.api_version,
                "kind": PEERAUTHENTICATION.kind,
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "ownerReferences": [controller_reference(owner)],
                },
                "spec": peers.spec,
            }
            await self._writes.create(PEERAUTHENTICATION, made)
        elif is_controlled_by(found, owner) and found.get("spec") != peers.spec and not is_deleting(found):
            await self._writes.replace(PEERAUTHENTICATION, {**found, "spec": peers.spec})
        return None

    def _owner(self, key: Ref) -> Object | None:
        """The policy that decides: of the root namespace, the mesh's before the namespace's own."""
        mesh = self._cache.get(MESHPOLICY, Ref("", key.name)) if key.namespace == _ROOT else None
        found = mesh or self._cache.get(POLICY, key)
        return None if found is None or is_deleting(found) else found
