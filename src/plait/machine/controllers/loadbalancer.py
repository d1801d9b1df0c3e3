"""Services of type LoadBalancer: the ingress gateway has one on this machine, the loopback address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.kinds import SERVICE
from plait.kube.reflect import Ref
from plait.machine.controllers.controller import Controller
from plait.machine.controllers.objects import is_deleting

if TYPE_CHECKING:
    from plait.kube.recorder import Recorder
    from plait.machine.controllers.cache import Cache, Change
    from plait.machine.controllers.writes import Writes

Object = dict[str, Any]

INGRESS_GATEWAY = Ref("istio-system", "istio-ingressgateway")
_ADDRESS = "127.0.0.1"


def ingress_of(service: Object, gateway: Ref = INGRESS_GATEWAY) -> list[Object]:
    """What `status.loadBalancer.ingress` should be."""
    meta, spec = service["metadata"], service["spec"]
    if spec.get("type") == "LoadBalancer" and (meta["namespace"], meta["name"]) == gateway:
        return [{"ip": _ADDRESS, "ipMode": "VIP"}]
    return []


class LoadBalancerController(Controller):
    """Writes the address of the one Service that the machine's host ports lead to, and says so about all others."""

    name = "loadbalancer"
    workers = 1

    def __init__(self, *, cache: Cache, writes: Writes, recorder: Recorder) -> None:
        super().__init__()
        self._cache = cache
        self._writes = writes
        self._recorder = recorder

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
        if wanted != _ingress(service):
            status = dict(service.get("status") or {})
            status["loadBalancer"] = {"ingress": wanted} if wanted else {}
            await self._writes.status(SERVICE, service, status)
        if not wanted and service["spec"].get("type") == "LoadBalancer":
            self._recorder.record(
                service,
                type="Warning",
                reason="NoLoadBalancer",
                message=(
                    "this machine has one address for traffic from outside, that of the ingress gateway: reach this "
                    "Service by a Gateway and a VirtualService, or with kubectl port-forward"
                ),
            )
        return None


def _ingress(service: Object) -> list[Object]:
    return ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
