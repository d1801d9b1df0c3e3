"""Namespaces: what comes into being with one, and its end in two steps (drain, then finalize)."""
# ruff: noqa: ARG002 - every hook has all arguments of the contract

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.hooks.contract import DeleteOptions, Hook, mark
from plait.machine.api.hooks.permanent import ROOT_CERTIFICATE

if TYPE_CHECKING:
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.store import Entry

Json = dict[str, Any]

#: Made at the first start; the machine cannot do without them.
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "istio-system")
_UNDELETABLE = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})


class NamespaceHook(Hook):
    """Sets name label, finalizer and phase; puts ServiceAccount and root certificate into new namespaces."""

    generation = False
    returns_deleted = True

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
        """`spec.finalizers` keeps the namespace until its contents are gone; only `finalize` changes it."""
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        if old is None:
            obj["spec"] = {"finalizers": ["kubernetes"]}
            obj["status"] = {"phase": "Active"}
        else:
            obj["spec"] = old.get("spec", {})
        return ()

    def created(self, world: World, entry: Entry) -> None:
        """Every namespace has a ServiceAccount `default` and the root certificate."""
        furnish(world, entry.key.name)

    def refuse_delete(self, world: World, entry: Entry) -> str:
        """Namespaces the API itself needs stay."""
        return "this namespace may not be deleted" if entry.key.name in _UNDELETABLE else ""

    def mark_deleted(self, world: World, obj: Json, options: DeleteOptions) -> bool:
        """Terminating until the controllers have drained it and emptied `spec.finalizers`."""
        if not obj["metadata"].get("deletionTimestamp"):
            mark(world, obj, 0)
            obj["metadata"].pop("deletionGracePeriodSeconds")
            obj.setdefault("status", {})["phase"] = "Terminating"
        return not self.held(obj)

    def held(self, obj: Json) -> bool:
        """`spec.finalizers` hold a namespace until its contents are gone."""
        return bool(obj.get("spec", {}).get("finalizers")) or super().held(obj)


def furnish(world: World, namespace: str) -> None:
    """Make what every namespace has, where it is missing."""
    world.create(
        "",
        "serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}},
    )
    world.create(
        "",
        "configmaps",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": ROOT_CERTIFICATE,
                "namespace": namespace,
                "annotations": {
                    "kubernetes.io/description": "Certificate authority of the Kubernetes API of this machine."
                },
            },
            "data": {"ca.crt": world.ca},
        },
    )
