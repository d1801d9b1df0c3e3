"""Pods: first status, service account, and deletion that leaves the node time to stop the processes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from plait.machine.api.errors import forbidden
from plait.machine.api.hooks.contract import DeleteOptions, Hook, mark
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.schema.fields import FieldError

Json = dict[str, Any]

#: Where programs in pods look for token, certificate and namespace.
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_TOKEN_VOLUME = "kube-api-access-"  # noqa: S105 - a name
_TOKEN_SECONDS = 3607
_ACCOUNTS = ("", "serviceaccounts")
_DEFAULT_GRACE = 30


class PodHook(Hook):
    """A pod that runs is marked first; the node deletes it with grace 0 once its processes have ended."""

    returns_deleted = True

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
        """Pending, with its quality-of-service class; without a service account it runs as `default`."""
        spec = obj.setdefault("spec", {})
        if old is None:
            obj["status"] = {"phase": "Pending"}
            account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
            spec["serviceAccountName"] = spec["serviceAccount"] = account
            if _account(world, obj) is None:
                raise forbidden(
                    world.registry.stored("", "pods"),
                    obj["metadata"]["name"],
                    f"error looking up service account {obj['metadata']['namespace']}/{account}: "
                    f'serviceaccount "{account}" not found',
                )
        elif old["spec"].get("nodeName"):
            spec.setdefault("nodeName", old["spec"]["nodeName"])
        return ()

    def admitted(self, world: World, obj: Json, old: Json | None) -> None:
        """Injected containers get the token too, and count for the quality-of-service class."""
        if old is None:
            _mount_token(obj["spec"], _account(world, obj) or {})
            obj["status"]["qosClass"] = qos_class(obj["spec"])

    def mark_deleted(self, world: World, obj: Json, options: DeleteOptions) -> bool:
        """A pod no node has taken, or that has ended, goes at once; a second deletion may only shorten the first."""
        meta, spec = obj["metadata"], obj.get("spec", {})
        grace = options.grace
        if grace is None:
            grace = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
        ended = obj.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        if not spec.get("nodeName") or ended:
            grace = 0
        grace = max(grace, 0)
        before = meta.get("deletionGracePeriodSeconds") if meta.get("deletionTimestamp") else None
        if before is None or grace < before:
            mark(world, obj, grace)
        else:
            grace = before if options.grace is None or options.grace >= before else grace
        return grace == 0 and not meta.get("finalizers")


def _account(world: World, obj: Json) -> Json | None:
    entry = world.store.get(_ACCOUNTS, Key(obj["metadata"]["namespace"], obj["spec"]["serviceAccountName"]))
    return entry.obj if entry else None


def _mount_token(spec: Json, account: Json) -> None:
    """The projected volume every pod gets unless it or its account says `automountServiceAccountToken: false`."""
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    containers = [*spec.get("initContainers", []), *spec.get("containers", [])]
    bare = [c for c in containers if all(m.get("mountPath") != TOKEN_PATH for m in c.get("volumeMounts") or [])]
    if not wanted or not bare:
        return
    volumes = spec.setdefault("volumes", [])
    name = next((v["name"] for v in volumes if v.get("name", "").startswith(_TOKEN_VOLUME)), "")
    if not name:
        name = _TOKEN_VOLUME + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
        volumes.append({"name": name, "projected": {"defaultMode": 0o644, "sources": _token_sources()}})
    for container in bare:
        mount = {"name": name, "mountPath": TOKEN_PATH, "readOnly": True}
        container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _token_sources() -> list[Json]:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]


def qos_class(spec: Json) -> str:
    """Guaranteed if every container limits cpu and memory to its requests, BestEffort if none asks, else Burstable."""
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    guaranteed, asks = True, False
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            asks = asks or name in limits or name in requests
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not asks:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
