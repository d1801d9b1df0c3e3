"""Where an Ingress is reached: the address of the ingress gateway, in its status, if its class is Istio's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.api.ingress import CONTROLLER, IngressSettings
from plait.api.mesh_settings import KEY, NAME, read_settings
from plait.kube.kinds import CONFIGMAP, INGRESS, INGRESSCLASS, SERVICE
from plait.kube.reflect import Ref, ref_of
from plait.machine.controllers.controller import WritingController
from plait.machine.controllers.loadbalancer import INGRESS_GATEWAY
from plait.machine.controllers.objects import is_deleting

if TYPE_CHECKING:
    from plait.machine.controllers.cache import Change

Object = dict[str, Any]

#: The mesh's settings, beside its gateways.
_SETTINGS: Final = Ref(INGRESS_GATEWAY.namespace, NAME)


class IngressController(WritingController):
    """Copies the gateway's address into every Ingress of class istio, and takes it out of those that no longer are."""

    name = "ingress"
    workers = 1

    def changed(self, change: Change) -> None:
        """An Ingress, or what all of them depend on."""
        if change.kind == INGRESS and change.new is not None:
            self.queue.add(change.ref)
        elif change.kind == INGRESSCLASS or (
            change.kind in {SERVICE, CONFIGMAP} and change.ref.namespace == _SETTINGS.namespace
        ):
            for ingress in self._cache.all(INGRESS):
                self.queue.add(ref_of(ingress))

    async def reconcile(self, key: Ref) -> float | None:
        """Set or clear the address."""
        ingress = self._cache.get(INGRESS, key)
        if ingress is None or is_deleting(ingress):
            return None
        settings = self._settings()
        gateway = self._cache.get(SERVICE, Ref(_SETTINGS.namespace, settings.service))
        wanted = _addresses(gateway) if gateway is not None and self._is_istios(ingress, settings) else []
        status = ingress.get("status") or {}
        if wanted != _addresses(ingress):
            balancer = {"ingress": wanted} if wanted else {}
            await self._writes.status(INGRESS, ingress, {**status, "loadBalancer": balancer})
        return None

    def _settings(self) -> IngressSettings:
        found = self._cache.get(CONFIGMAP, _SETTINGS)
        text = ((found or {}).get("data") or {}).get(KEY, "")
        return read_settings(text).settings.ingress if text else IngressSettings()

    def _is_istios(self, ingress: Object, settings: IngressSettings) -> bool:
        annotations = ingress["metadata"].get("annotations") or {}
        name = settings.class_of(annotations, (ingress.get("spec") or {}).get("ingressClassName") or "")
        if not name:
            return name is not None
        found = self._cache.get(INGRESSCLASS, Ref("", name))
        return found is not None and (found.get("spec") or {}).get("controller") == CONTROLLER


def _addresses(obj: Object) -> list[Object]:
    """Of a Service or an Ingress; what only a Service has (ipMode) is left out."""
    given = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [{name: item[name] for name in ("ip", "hostname") if item.get(name)} for item in given]
