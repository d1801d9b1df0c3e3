"""Services of type LoadBalancer: the ingress gateway has the loopback address; the others get theirs from the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.kinds import SERVICE
from plait.kube.reflect import Ref
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.objects import is_deleting

if TYPE_CHECKING:
    from plait.machine.controllers.cache import Change

Object = dict[str, Any]

INGRESS_GATEWAY = Ref("istio-system", "istio-ingressgateway")
_ADDRESS = "127.0.0.1"


def ingress_of(service: Object) -> list[Object] | None:
    """What `status.loadBalancer.ingress` should be; None where the node knows, which opens the ports."""
    meta, spec = service["metadata"], service["spec"]
    if spec.get("type") != "LoadBalancer":
        return []
    return [{"ip": _ADDRESS, "ipMode": "VIP"}] if (meta["namespace"], meta["name"]) == INGRESS_GATEWAY else None


class LoadBalancerController(WritingController):
    """Writes the address of the one Service that the machine's host ports lead to; clears those of other types."""

    name = "loadbalancer"
    workers = 1

    def changed(self, change: Change) -> None:
        """A Service whose type or address is in question."""
        old, new = change.old, change.new
        if change.kind != SERVICE or new is None:
            return
        same = old is not None and old["spec"].get("type") == new["spec"].get("type") and _ingress(old) == _ingress(new)
        if not same and (new["spec"].get("type") == "LoadBalancer" or _ingress(new)):
            self.queue.add(change.ref)

    async def reconcile(self, key: Ref) -> float | None:
        """Set or clear the address."""
        service = self._cache.get(SERVICE, key)
        if service is None or is_deleting(service):
            return None
        wanted = ingress_of(service)
        if wanted is not None and wanted != _ingress(service):
            status = dict(service.get("status") or {})
            status["loadBalancer"] = {"ingress": wanted} if wanted else {}
            await self._writes.status(SERVICE, service, status)
        return None


def _ingress(service: Object) -> list[Object]:
    return ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
