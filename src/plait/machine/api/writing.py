"""Create and update: one pipeline for POST, PUT and every patch.

decode -> merge -> default -> keep what the server decided -> admit -> validate -> store. The engine is single-threaded
and never waits inside a write, so a write sees one state of the store and no lock is needed.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plait.machine.api.admission import at_once
from plait.machine.api.errors import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from plait.machine.api.hooks.contract import Hook
from plait.machine.api.objects import at_path, copy_json, metadata, name_of, put_path, without_nulls
from plait.machine.api.schema.fields import forbidden as forbidden_field
from plait.machine.api.schema.fields import required
from plait.machine.api.shaping import Shaper, Write, check_place, frame_of
from plait.machine.api.store import Key
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.machine.api.hooks.contract import World
    from plait.machine.api.registry import Collection, Resource
    from plait.machine.api.schema import Schemas

Json = dict[str, Any]
_NAMESPACES = ("", "namespaces")
#: What only the server writes; a client's value is replaced by the present one.
_SERVER_META = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
#: What counts of an object that is sent for its status.
_WITH_STATUS = frozenset({"apiVersion", "kind", "metadata", "status"})
#: As upstream: lower case without vowels and look-alikes.
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_MAX_GENERATED = 58


class Writer:
    """Stores objects. Every method is immediate: it raises StatusError or returns the object in the stored version."""

    def __init__(self, *, world: World, schemas: Schemas, shaper: Shaper, hooks: Mapping[Collection, Hook]) -> None:
        self._world = world
        self._store = world.store
        self._schemas = schemas
        self._shaper = shaper
        self._hooks = hooks
        self._plain = Hook()

    def hook(self, resource: Resource) -> Hook:
        """What the kind adds to the pipeline."""
        return self._hooks.get(resource.collection, self._plain)

    def current(self, resource: Resource, namespace: str, name: str) -> Json:
        """The stored object; raises 404."""
        entry = self._store.get(resource.collection, Key(namespace, name))
        if entry is None:
            raise not_found(resource.kind, name)
        return entry.obj

    def create(
        self, resource: Resource, namespace: str, body: Any, write: Write, *, repeated: tuple[str, ...] = ()
    ) -> Json:
        """Store a new object; raises 400, 403, 404 (namespace), 409 or 422."""
        kind = resource.kind
        obj = self._shaper.decode(resource, _plain(body, write), write, repeated=repeated)
        check_place(resource, obj, namespace, "")
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = generate_name(meta["generateName"])
        if not meta.get("name"):
            raise invalid(kind, "", [required("metadata.name", "name or generateName is required")])
        self._check_namespace(resource, namespace, meta["name"])
        if self._store.get(resource.collection, Key(namespace, meta["name"])):
            raise already_exists(kind, meta["name"])
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        meta.pop("managedFields", None)
        return self._store_new(resource, obj, write, applied=False)

    def _store_new(self, resource: Resource, obj: Json, write: Write, *, applied: bool) -> Json:
        kind, hook = resource.kind, self.hook(resource)
        meta = obj["metadata"]
        for field in _SERVER_META:
            meta.pop(field, None)
        if kind.has_status:
            obj.pop("status", None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = timestamp(self._world.clock())
        if hook.generation:
            meta["generation"] = 1
        obj, sent = self._shaper.finish(resource, obj, None, write, hook)
        if not applied:
            obj = self._shaper.track(resource, None, obj, write, sent=sent)
        if write.options.dry_run:
            return obj
        entry = self._store.put(resource.collection, obj)
        hook.created(self._world, entry)
        return entry.obj

    def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        write: Write,
        *,
        subresource: str = "",
        repeated: tuple[str, ...] = (),
    ) -> Json:
        """Store a whole new state of an object; raises 400, 404, 409 or 422."""
        old = self.current(resource, namespace, name)
        obj = self._decode(resource, _plain(body, write), write, old, subresource, repeated=repeated)
        return self.update(resource, old, obj, write, namespace=namespace, name=name, subresource=subresource)

    def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Json], Any],
        write: Write,
        *,
        subresource: str = "",
    ) -> Json:
        """Store what `change` makes of the present object, which it gets in the client's version as a copy."""
        old = self.current(resource, namespace, name)
        merged = without_nulls(change(copy_json(resource.present(old))))
        if resource.kind.custom and not subresource and isinstance(merged, dict) and not changed_spec(old, merged):
            frame = self._shaper.decode(resource, frame_of(merged), _at_once(write), partial=True, stored=old)
            obj = {**old, "metadata": frame["metadata"]}
            return self.update(resource, old, obj, write, namespace=namespace, name=name, settled=True)
        obj = self._decode(resource, merged, write, old, subresource)
        return self.update(resource, old, obj, write, namespace=namespace, name=name, subresource=subresource)

    def _decode(
        self,
        resource: Resource,
        body: Any,
        write: Write,
        old: Json,
        subresource: str,
        *,
        repeated: tuple[str, ...] = (),
    ) -> Json:
        """What is sent to replace `old`. Of a status nothing else counts: what is stored beside it may be faulty, as
        another version may have let it in, and its status is where that is said.
        """
        if subresource != "status" or not resource.kind.custom or not isinstance(body, dict):
            return self._shaper.decode(resource, body, write, repeated=repeated, stored=old)
        own = {name: value for name, value in body.items() if name in _WITH_STATUS}
        return self._shaper.decode(resource, own, _at_once(write), partial=True, repeated=repeated, stored=old)

    def apply(
        self, resource: Resource, namespace: str, name: str, body: Any, write: Write, *, subresource: str = ""
    ) -> tuple[Json, bool]:
        """Server-side apply: the object, and whether it is new. Raises 400, 403, 404, 409 (conflicts) or 422."""
        entry = self._store.get(resource.collection, Key(namespace, name))
        old = entry.obj if entry else None
        config = self._shaper.decode(resource, _plain(body, write), write, partial=True, stored=old)
        check_place(resource, config, namespace, name)
        if old is None and subresource:
            raise not_found(resource.kind, name)
        if old is None and metadata(config).get("uid"):
            raise conflict(resource.kind, name, "uid mismatch: the object to apply does not exist")
        if old is None:
            self._check_namespace(resource, namespace, name)
            obj = self._shaper.apply(resource, None, config, write)
            return self._store_new(resource, obj, write, applied=True), True
        self._check_preconditions(resource, old, config)
        obj = self._shaper.apply(resource, old, config, write, subresource)
        made = self.update(
            resource, old, obj, write, namespace=namespace, name=name, subresource=subresource, applied=True
        )
        return made, False

    def update(
        self,
        resource: Resource,
        old: Json,
        obj: Json,
        write: Write,
        *,
        namespace: str,
        name: str,
        subresource: str = "",
        applied: bool = False,
        settled: bool = False,
    ) -> Json:
        """Store a new state, decoded already. A state equal to the present one changes nothing.

        `applied` says that `managedFields` are up to date: a server-side apply wrote them. `settled`: but for metadata
        it is the state there is.
        """
        check_place(resource, obj, namespace, name)
        self._check_preconditions(resource, old, obj)
        obj = self._keep(resource, old, obj, subresource)
        obj, sent = self._finish_update(resource, old, obj, write, subresource, settled=settled)
        return self._store_update(resource, old, obj, write, subresource=subresource, sent=None if applied else sent)

    def finalize(self, resource: Resource, name: str, body: Json, write: Write) -> Json:
        """Store the `spec.finalizers` of `body` and nothing else of it; raises 404 or 409."""
        old = self.current(resource, "", name)
        self._check_preconditions(resource, old, body)
        obj = copy_json(old)
        left = at_path(body, "spec", "finalizers")
        obj["spec"] = {"finalizers": list(left)} if left else {}
        return self._store_update(resource, old, obj, write, subresource="finalize", sent=obj)

    def _store_update(
        self, resource: Resource, old: Json, obj: Json, write: Write, *, subresource: str, sent: Json | None
    ) -> Json:
        if unchanged(old, obj):
            return old
        if sent is not None:
            obj = self._shaper.track(resource, old, obj, write, sent=sent, subresource=subresource)
        hook = self.hook(resource)
        if hook.generation and changed_spec(old, obj):
            obj["metadata"]["generation"] = int(metadata(old).get("generation") or 0) + 1
        if write.options.dry_run:
            return obj
        gone = self._may_go(hook, old, obj)
        entry = self._store.put(resource.collection, obj)
        return self._store.delete(resource.collection, entry.key).obj if gone else entry.obj

    def _finish_update(
        self, resource: Resource, old: Json, obj: Json, write: Write, subresource: str, *, settled: bool
    ) -> tuple[Json, Json]:
        if subresource == "status":
            kind = resource.kind
            # As Kubernetes does it, what is as it was is not judged again.
            given = {name: value for name, value in obj.items() if name in _WITH_STATUS} if kind.custom else obj
            made = self._schemas.default(kind, given)
            errors = tuple(self._schemas.validate(kind, made, old))
            if kind.custom:
                errors = tuple(error for error in errors if error.path.startswith("status"))
                made = {**obj, **{name: value for name, value in made.items() if name == "status"}}
            if errors:
                raise invalid(kind, name_of(obj), errors)
            return made, made
        return self._shaper.finish(resource, obj, old, write, self.hook(resource), settled=settled)

    @staticmethod
    def _may_go(hook: Hook, old: Json, obj: Json) -> bool:
        """The write that takes the last finalizer off an object being deleted removes it."""
        meta = metadata(obj)
        if not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds"):
            return False
        return hook.held(old) and not hook.held(obj)

    def _keep(self, resource: Resource, old: Json, obj: Json, subresource: str) -> Json:
        """Restore what this write may not touch: what the server decided, and the other half of spec and status."""
        meta, before = dict(metadata(obj)), metadata(old)
        sub = resource.kind.subresource(subresource)
        if sub is not None and sub.part:
            kept: Json = put_path(copy_json(old), sub.part, at_path(obj, *sub.part))
            if "managedFields" in meta:
                kept["metadata"]["managedFields"] = meta["managedFields"]
            return kept
        if subresource == "status":
            kept_meta = copy_json(before)
            if "managedFields" in meta:
                kept_meta["managedFields"] = meta["managedFields"]
            kept = copy_json(old)
            if "status" in obj:
                kept["status"] = obj["status"]
            else:
                kept.pop("status", None)
            kept["metadata"] = kept_meta
            return kept
        for field in _SERVER_META:
            meta.pop(field, None)
            if field in before:
                meta[field] = before[field]
        if "managedFields" not in meta and "managedFields" in before:
            meta["managedFields"] = copy_json(before["managedFields"])
        if before.get("deletionTimestamp"):
            _no_new_finalizers(resource, before, meta)
        obj = self._with_parts(resource, old, {**obj, "metadata": meta})
        if resource.kind.has_status:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = copy_json(old["status"])
        return obj

    def _with_parts(self, resource: Resource, old: Json, obj: Json) -> Json:
        """What only subresources write stays as it is; raises 422 for an object that would have it otherwise."""
        for part in (sub.part for sub in resource.kind.subresources if sub.part):
            if (given := at_path(obj, *part)) == (before := at_path(old, *part)):
                continue
            if given is not None and given != at_path(self._schemas.normalise(resource.kind, old), *part):
                fault = forbidden_field(".".join(part), "may be changed only through a subresource of its own")
                raise invalid(resource.kind, name_of(old), [fault])
            obj = put_path(obj, part, copy_json(before))
        return obj

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.kind.namespaced:
            return
        entry = self._store.get(_NAMESPACES, Key("", namespace))
        if entry is None:
            raise not_found(self._world.registry.stored(*_NAMESPACES), namespace)
        if metadata(entry.obj).get("deletionTimestamp"):
            raise forbidden(
                resource.kind,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                causes=[
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            )

    @staticmethod
    def _check_preconditions(resource: Resource, old: Json, obj: Json) -> None:
        meta, before = metadata(obj), metadata(old)
        given = meta.get("resourceVersion")
        if given and given != before["resourceVersion"]:
            raise conflict(resource.kind, name_of(old), MODIFIED)
        if meta.get("uid") and meta["uid"] != before["uid"]:
            raise conflict(
                resource.kind,
                name_of(old),
                f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}",
            )


def _at_once(write: Write) -> Write:
    """The write where only a small part of an object is looked at."""
    return replace(write, work=at_once)


def _no_new_finalizers(resource: Resource, before: Json, meta: Json) -> None:
    added = set(meta.get("finalizers") or ()) - set(before.get("finalizers") or ())
    if added:
        raise StatusError(
            422,
            "Invalid",
            f'{resource.kind.kind} "{before["name"]}" is invalid: metadata.finalizers: Forbidden: no new finalizers '
            f"can be added if the object is being deleted, found new finalizers {sorted(added)}",
        )


def _plain(body: Any, write: Write) -> Any:
    """The body without nulls; what is said of its type is filled in there."""
    made = write.work("plain", body, lambda: without_nulls(body))
    return dict(made) if isinstance(made, dict) else made


def generate_name(prefix: str) -> str:
    """The prefix, cut if need be, and five random characters."""
    suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(_SUFFIX_LENGTH))
    return prefix[:_MAX_GENERATED] + suffix


def unchanged(old: Json, obj: Json) -> bool:
    """Whether two states differ in nothing that counts."""
    return _essence(old) == _essence(obj)


def _essence(obj: Json) -> Json:
    meta = {key: value for key, value in metadata(obj).items() if key not in {"resourceVersion", "managedFields"}}
    owners = metadata(obj).get("managedFields", ())
    managed = [{key: value for key, value in entry.items() if key != "time"} for entry in owners]
    return {**obj, "metadata": meta, "managed": managed}


def changed_spec(old: Json, obj: Json) -> bool:
    """Whether anything outside metadata and status differs."""
    outside = {"metadata", "status"}
    return {k: v for k, v in old.items() if k not in outside} != {k: v for k, v in obj.items() if k not in outside}
