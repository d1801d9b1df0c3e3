"""From what a client sent to what may be stored: decode, convert, fill in, admit, validate; the same for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plait.api import former
from plait.machine.api.admission import AdmissionRequest, User, at_once
from plait.machine.api.errors import StatusError, bad_request, conflict, invalid
from plait.machine.api.hooks.contract import Hook
from plait.machine.api.inert import inert_fields
from plait.machine.api.objects import copy_json, metadata, name_of, namespace_of
from plait.machine.api.schema import TYPE_INVALID, UNKNOWN, ApplyConflict, PatchError
from plait.machine.api.schema.fields import required
from plait.machine.api.store import Key
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.machine.api.admission import Admission, Convert, Work
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.query import WriteOptions
    from plait.machine.api.registry import Resource
    from plait.machine.api.schema import FieldError, Schemas, ServedKind

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request to write: who, how, and the warnings that collect on the way (headers of the answer)."""

    user: User
    options: WriteOptions
    #: In the order in which they came; a dict, for an object may be worth a hundred thousand.
    warnings: dict[str, None] = field(default_factory=dict)
    #: What was read, where nothing is wrong with its form.
    checked: list[Json] = field(default_factory=list)
    work: Work = at_once

    def warn(self, text: str) -> None:
        """Tell the user something, once."""
        self.warnings[text] = None


class Shaper:
    """The middle of the write pipeline. Pure but for what hooks allocate; never changes its arguments."""

    def __init__(
        self,
        *,
        schemas: Schemas,
        admission: Admission,
        convert: Convert,
        world: World,
        unlimited: Mapping[str, str] | None = None,
    ) -> None:
        self._schemas = schemas
        self._admission = admission
        self._convert = convert
        self._world = world
        self._unlimited = tuple((unlimited or {}).items())

    def decode(
        self,
        resource: Resource,
        obj: Any,
        write: Write,
        *,
        repeated: tuple[str, ...] = (),
        partial: bool = False,
        stored: Json | None = None,
    ) -> Json:
        """The object in its stored version, without unknown fields; `repeated` are keys its text gave twice.

        A `partial` object (of an apply) is checked for what it has, not for what it lacks. `stored` is what it
        replaces. Raises 400 or 422; unknown
        and repeated fields are refused or become warnings as the client asked.
        """
        if not isinstance(obj, dict):
            raise bad_request(f"the body must be an object of kind {resource.kind.kind}")
        self._check_type(resource, obj)
        kind = resource.kind
        given = obj
        obj, notes, faults, normal = write.work("read", given, lambda: self._read(kind, given))
        for note in notes:
            write.warn(f'{kind.kind} "{name_of(obj)}": {note}')
        cannot = f'{kind.kind} in version "{resource.version}" cannot be handled as a {kind.kind}: '
        wrong = [fault for fault in faults if fault.reason == TYPE_INVALID]
        loose = [*(f'duplicate field "{path}"' for path in repeated)]
        loose += [str(fault) for fault in faults if fault.reason == UNKNOWN]
        strict = f"strict decoding error: {', '.join(loose)}" if write.options.validation == "Strict" and loose else ""
        if wrong and not kind.custom:
            raise bad_request(cannot + "; ".join([*map(str, wrong), *filter(None, [strict])]))
        if strict:
            further = [] if partial else self._all_faults(kind, obj, faults, write)
            raise bad_request("; ".join([f"{cannot}{strict}", *map(str, further)]))
        if write.options.validation == "Warn":
            for text in loose:
                write.warn(text)
        refused = [fault for fault in faults if fault.reason != UNKNOWN]
        if refused and not partial:
            raise invalid(kind, name_of(obj), self._all_faults(kind, obj, faults, write))
        made = self.store_version(resource, obj, write, stored) if normal is None else _framed(kind, normal)
        if kind.custom and not faults and not partial and _contents(made) == _contents(obj):
            write.checked.append(_contents(made))
        return made

    def _read(
        self, kind: ServedKind, obj: Json
    ) -> tuple[Json, Sequence[former.Note], Sequence[FieldError], Json | None]:
        """The object in today's form with notes on that, its faults, and of a custom resource what is stored."""
        obj, notes = former.present(obj)
        faults = self._schemas.strict(kind, obj)
        return obj, notes, faults, self._schemas.normalise(kind, obj) if kind.custom else None

    def _all_faults(self, kind: ServedKind, obj: Json, faults: Sequence[FieldError], write: Write) -> list[FieldError]:
        """With the faults of an object's form those that would be found when these are mended, as far as can be told.

        Faults of one layer after another would be one attempt after another for whoever writes the object. Without
        unknown fields.
        """
        found = write.work("all faults", obj, lambda: self._beside(kind, obj, faults))
        return [fault for fault in found if fault.reason != UNKNOWN]

    def _beside(self, kind: ServedKind, obj: Json, faults: Sequence[FieldError]) -> list[FieldError]:
        found = list(faults)
        if kind.custom and all(fault.reason == UNKNOWN for fault in faults):
            named = {**obj, "metadata": {"name": "unnamed", "namespace": "default", **metadata(obj)}}
            found += self._schemas.validate(kind, self._schemas.default(kind, named))
        return [*found, *self._admission.beside(kind.group, obj, found)]

    def store_version(self, resource: Resource, obj: Json, write: Write, stored: Json | None) -> Json:
        """The normalised object in the version it is stored in."""
        kind = resource.kind
        if resource.converted and not kind.custom:
            obj, warnings = self._convert(obj, stored=stored)
            for text in warnings:
                write.warn(text)
            obj = self._schemas.to_storage(kind, obj)
        else:
            obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
        return _framed(kind, self._schemas.normalise(kind, obj))

    def finish(
        self, resource: Resource, obj: Json, old: Json | None, write: Write, hook: Hook, *, settled: bool = False
    ) -> tuple[Json, Json]:
        """Fill in, admit and validate an object that is about to be stored; raises 403 or 422.

        The second object is the first before the server added anything but defaults: what the client answers for. Of a
        `settled` custom resource nothing but the metadata is new, and nothing else is judged: what is stored may be
        faulty, as another version may have let it in.
        """
        kind = resource.kind
        if settled:
            obj = {**obj, "metadata": self._schemas.default(kind, frame_of(obj))["metadata"]}
            made = self._admit(kind, obj, old, write, settled=True)
            found = self._schemas.validate(kind, frame_of(made), frame_of(old or {}), checked=True)
            if errors := tuple(error for error in found if error.path.startswith("metadata")):
                raise invalid(kind, name_of(obj), errors)
            return made, obj
        for text in inert_fields(kind.group, kind.kind, obj, old, unlimited=self._unlimited):
            write.warn(text)
        obj = self._defaulted(kind, obj, write)
        sent = copy_json(obj)
        errors = tuple(hook.prepare(self._world, obj, old))
        if obj != sent:
            obj = self._schemas.default(kind, obj)
        if errors:
            raise invalid(kind, name_of(obj), errors)
        if write.work is not at_once:
            # Done before others are asked, who then need not be asked again.
            self._faults(kind, obj, old, write)
        obj = self._admit(kind, obj, old, write)
        if old is None and not kind.acts:
            write.warn(f"{kind.kind} {name_of(obj)!r} is stored, but has no effect in this version of plait")
        hook.admitted(self._world, obj, old)
        for text in hook.warnings(self._world, obj):
            write.warn(text)
        if type(hook).admitted is not Hook.admitted:
            obj = self._schemas.default(kind, obj)
        if errors := self._faults(kind, obj, old, write):
            raise invalid(kind, name_of(obj), errors)
        return obj, sent

    def _defaulted(self, kind: ServedKind, obj: Json, write: Write) -> Json:
        made = write.work("defaults", _given(obj), lambda: self._schemas.default(kind, obj))
        if write.work is at_once:
            return made
        return {**made, "metadata": self._schemas.default(kind, frame_of(obj))["metadata"]}

    def _faults(self, kind: ServedKind, obj: Json, old: Json | None, write: Write) -> tuple[FieldError, ...]:
        checked = _contents(obj) in write.checked
        return write.work("validity", _given(obj), lambda: self._schemas.validate(kind, obj, old, checked=checked))

    def track(
        self, resource: Resource, old: Json | None, obj: Json, write: Write, *, sent: Json, subresource: str = ""
    ) -> Json:
        """The object with the fields that `sent` changed under the client's name.

        What admission and hooks add is nobody's, as on Kubernetes: a later apply by the same client, which does not
        know of it, must not take it away.
        """
        tracked = self._schemas.track_update(
            resource.kind,
            old,
            sent,
            manager=write.options.manager,
            now=timestamp(self._world.clock()),
            api_version=resource.api_version,
            subresource=subresource,
        )
        meta = dict(metadata(obj))
        meta.pop("managedFields", None)
        if (managed := metadata(tracked).get("managedFields")) is not None:
            meta["managedFields"] = managed
        return {**obj, "metadata": meta}

    def apply(self, resource: Resource, old: Json | None, config: Json, write: Write, subresource: str = "") -> Json:
        """What a server-side apply of `config` makes of the object; raises 400, 409 or 422."""
        kind = resource.kind
        if not write.options.manager_given:
            fault = required("fieldManager", "is required for apply patch")
            raise StatusError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {fault}')
        try:
            made = write.work(
                "apply",
                (old, config),
                lambda: self._schemas.server_side_apply(
                    kind,
                    old,
                    config,
                    manager=write.options.manager,
                    now=timestamp(self._world.clock()),
                    force=write.options.force,
                    api_version=resource.api_version,
                    subresource=subresource,
                ),
            )
        except ApplyConflict as problem:
            causes = [
                {"reason": "FieldManagerConflict", "message": item.message, "field": item.field}
                for item in problem.conflicts
            ]
            raise conflict(kind, name_of(config), str(problem), causes=causes) from None
        except PatchError as problem:
            raise StatusError(problem.code, "BadRequest", problem.message) from None
        return {**made, "metadata": copy_json(made["metadata"])}

    def _admit(self, kind: ServedKind, obj: Json, old: Json | None, write: Write, *, settled: bool = False) -> Json:
        space = self._world.store.get(("", "namespaces"), Key("", namespace_of(obj))) if kind.namespaced else None
        result = self._admission.admit(
            AdmissionRequest(
                operation="CREATE" if old is None else "UPDATE",
                group=kind.group,
                version=kind.version,
                kind=kind.kind,
                namespace=namespace_of(obj),
                name=name_of(obj),
                obj=obj,
                old=old,
                namespace_object=space.obj if space else None,
                dry_run=write.options.dry_run,
                user=write.user,
                objects=self._world.store,
                settled=settled,
                work=write.work,
            )
        )
        for text in result.warnings:
            write.warn(text)
        if result.errors:
            formal: tuple[FieldError, ...] = ()
            if kind.custom:
                formal = write.work("formal", _given(obj), lambda: self._schemas.validate(kind, obj, old))
            told = {error.path for error in result.errors}
            raise invalid(kind, name_of(obj), [*result.errors, *(f for f in formal if f.path not in told)])
        return obj if result.obj is obj else self._schemas.default(kind, result.obj)

    def _check_type(self, resource: Resource, obj: Json) -> None:
        given = obj.get("apiVersion") or resource.api_version
        if given != resource.api_version:
            raise bad_request(
                f"the API version in the data ({given}) does not match the expected API version "
                f"({resource.api_version})"
            )
        kind = obj.get("kind") or resource.kind.kind
        if kind != resource.kind.kind:
            raise bad_request(f"the kind in the data ({kind}) does not match the expected kind ({resource.kind.kind})")
        if not isinstance(obj.get("metadata", {}), dict | None):
            raise bad_request("metadata must be an object")
        obj.setdefault("apiVersion", resource.api_version)
        obj.setdefault("kind", resource.kind.kind)


def frame_of(obj: Json) -> Json:
    """What every object has: its type and metadata."""
    return {name: value for name, value in obj.items() if name in {"apiVersion", "kind", "metadata"}}


def _framed(kind: ServedKind, normal: Json) -> Json:
    """The object with its type first, and with metadata of its own, which may be written to."""
    made = dict(normal)
    made["metadata"] = copy_json(made.get("metadata", {}))
    frame = {"kind": made.pop("kind", kind.kind), "apiVersion": made.pop("apiVersion", kind.api_version)}
    return {**frame, **({"apiVersion": kind.api_version} if kind.custom else {}), **made}


def _given(obj: Json) -> Json:
    """An object without what the server writes anew with each attempt."""
    meta = {name: value for name, value in metadata(obj).items() if name not in {"uid", "creationTimestamp"}}
    return {**obj, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}


def _contents(obj: Json) -> Json:
    """An object without its frame, which the server writes."""
    return {name: value for name, value in obj.items() if name not in {"apiVersion", "kind", "metadata"}}


def check_place(resource: Resource, obj: Json, namespace: str, name: str) -> None:
    """The object must name the namespace and name of its path, or none. Raises 400. Fills in the namespace."""
    meta = metadata(obj)
    if resource.kind.namespaced:
        given = meta.get("namespace") or namespace
        if given != namespace:
            raise bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request: "
                f"{given!r} is not {namespace!r}"
            )
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    if name and meta.get("name") != name:
        raise bad_request(
            f"the name of the object ({meta.get('name') or ''}) does not match the name on the URL ({name})"
        )
