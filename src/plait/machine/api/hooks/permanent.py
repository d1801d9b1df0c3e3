"""Objects the machine cannot do without: deleted, they come back at once, as on Kubernetes after some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.objects import copy_json, metadata
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.registry import Collection
    from plait.machine.api.store import Entry

Json = dict[str, Any]

ROOT_CERTIFICATE = "kube-root-ca.crt"
_API = Key("default", "kubernetes")
_KEPT = ("name", "namespace", "labels", "annotations")


def is_permanent(collection: Collection, key: Key) -> bool:
    """Whether pods need it to start (the root certificate) or to reach the API (Service and EndpointSlice)."""
    if collection == ("", "configmaps"):
        return key.name == ROOT_CERTIFICATE
    return collection in {("", "services"), ("discovery.k8s.io", "endpointslices")} and key == _API


def restore(world: World, collection: Collection, gone: Entry) -> None:
    """Make what was deleted again, unless its namespace goes too."""
    if not is_permanent(collection, gone.key):
        return
    space = world.store.get(("", "namespaces"), Key("", gone.key.namespace))
    if space is None or metadata(space.obj).get("deletionTimestamp"):
        return
    obj: Json = copy_json(gone.obj)
    obj["metadata"] = {name: value for name, value in obj["metadata"].items() if name in _KEPT}
    obj.pop("status", None)
    world.create(*collection, obj)
