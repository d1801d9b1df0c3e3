"""Delete: now, after a grace period, or when the last finalizer goes; and what becomes of the objects it owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.errors import bad_request, conflict, forbidden, not_found, success
from plait.machine.api.hooks.contract import DeleteOptions
from plait.machine.api.hooks.permanent import restore
from plait.machine.api.objects import copy_json, metadata
from plait.machine.api.query import flag, number
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.machine.api.hooks.contract import World
    from plait.machine.api.query import ReadOptions
    from plait.machine.api.registry import Resource
    from plait.machine.api.store import Entry
    from plait.machine.api.writing import Writer

Json = dict[str, Any]

_POLICIES = frozenset({"Background", "Foreground", "Orphan"})


def delete_options(body: Any, query: Mapping[str, str]) -> DeleteOptions:
    """From the body, or the query where there is none. Raises 400."""
    options = body if isinstance(body, dict) else {}
    grace = options.get("gracePeriodSeconds")
    if grace is None:
        grace = number(query, "gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request(f"gracePeriodSeconds must be an integer, not {grace!r}")
    policy = options.get("propagationPolicy") or query.get("propagationPolicy") or ""
    if not policy:
        orphan = options.get("orphanDependents") or ("orphanDependents" in query and flag(query, "orphanDependents"))
        policy = "Orphan" if orphan else "Background"
    if policy not in _POLICIES:
        raise bad_request(f"propagationPolicy {policy!r} is unknown: write Background, Foreground or Orphan")
    conditions = options.get("preconditions") or {}
    dry_run = options.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    if dry_run not in ([], ["All"]):
        raise bad_request(f'dryRun {dry_run!r} is unknown: the only value is "All"')
    return DeleteOptions(
        grace=grace,
        propagation=policy,
        uid=conditions.get("uid") or "",
        version=conditions.get("resourceVersion") or "",
        dry_run=bool(dry_run),
    )


class Deleter:
    """Removes objects. Dependents of a removed owner are collected by the controllers; Orphan frees them here."""

    def __init__(self, *, world: World, writer: Writer) -> None:
        self._world = world
        self._store = world.store
        self._writer = writer

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Json, bool]:
        """The answer (the object, or a Status) and whether the object is gone; raises 403, 404 or 409."""
        entry = self._store.get(resource.collection, Key(namespace, name))
        if entry is None:
            raise not_found(resource.kind, name)
        self._check(resource, entry, options)
        hook = self._writer.hook(resource)
        if refusal := hook.refuse_delete(self._world, entry):
            raise forbidden(resource.kind, name, refusal)
        obj = copy_json(entry.obj)
        now = hook.mark_deleted(self._world, obj, options)
        if options.dry_run:
            return (success(name=name, kind=resource.kind, uid=obj["metadata"]["uid"]) if now else obj), now
        if options.propagation == "Orphan":
            self._orphan(metadata(entry.obj)["uid"])
        if not now:
            if obj != entry.obj:
                obj = self._store.put(resource.collection, obj).obj
            return obj, False
        gone = self._store.delete(resource.collection, entry.key)
        restore(self._world, resource.collection, gone)
        if hook.returns_deleted:
            return gone.obj, True
        return success(name=name, kind=resource.kind, uid=metadata(entry.obj)["uid"]), True

    def delete_collection(
        self, resource: Resource, namespace: str, read: ReadOptions, options: DeleteOptions
    ) -> list[Entry]:
        """Delete every object the selectors take; the answer is what was there."""
        chosen = [entry for entry in self._store.entries(resource.collection, namespace) if read.matches(entry.obj)]
        for entry in chosen:
            if self._store.get(resource.collection, entry.key) is not None:
                self.delete(resource, *entry.key, options)
        return chosen

    @staticmethod
    def _check(resource: Resource, entry: Entry, options: DeleteOptions) -> None:
        meta = metadata(entry.obj)
        if options.uid and options.uid != meta["uid"]:
            raise conflict(
                resource.kind,
                entry.key.name,
                f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {meta['uid']}",
            )
        if options.version and options.version != meta["resourceVersion"]:
            raise conflict(
                resource.kind,
                entry.key.name,
                f"Precondition failed: ResourceVersion in precondition: {options.version}, "
                f"ResourceVersion in object meta: {meta['resourceVersion']}",
            )

    def _orphan(self, uid: str) -> None:
        for kind in self._world.registry.collections():
            collection = (kind.group, kind.plural)
            for entry in list(self._store.entries(collection)):
                owners = metadata(entry.obj).get("ownerReferences") or ()
                if not any(owner.get("uid") == uid for owner in owners):
                    continue
                obj = copy_json(entry.obj)
                left = [owner for owner in obj["metadata"]["ownerReferences"] if owner.get("uid") != uid]
                obj["metadata"]["ownerReferences"] = left
                if not left:
                    del obj["metadata"]["ownerReferences"]
                self._store.put(collection, obj)
