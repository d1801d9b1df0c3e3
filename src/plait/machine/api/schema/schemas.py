"""Everything the API server knows about its kinds, behind one value."""

from __future__ import annotations

import json
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema import (
    apply,
    builtin,
    defaults,
    openapi,
    patches,
    strategic,
    structural,
    structural_defaults,
    validation,
    versions,
)
from plait.machine.api.schema.builtin_more import METRICS_DEFINITIONS
from plait.machine.api.schema.cel import RuleTree, check_rules, compile_rules
from plait.machine.api.schema.custom import custom_kinds
from plait.machine.api.schema.decode import check
from plait.machine.api.schema.fields import UNKNOWN
from plait.machine.api.schema.former import FORMER_KINDS, FORMER_SCHEMAS
from plait.machine.api.schema.kinds import GroupVersion, ServedKind
from plait.machine.api.schema.normal import normalise
from plait.machine.api.schema.protobuf import ProtobufDecoder
from plait.machine.api.schema.types import Compiler, Type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.schema.openapi import Document


class Schemas:
    """The kinds of the API and what can be done with their objects. Pure: every method returns new values."""

    def __init__(
        self, *, builtin_data: Mapping[str, Any], istio_data: Mapping[str, Any], protobuf_data: Mapping[str, Any]
    ) -> None:
        self._protobuf = ProtobufDecoder(protobuf_data)
        istio_kinds, istio_schemas = custom_kinds(istio_data)
        self._custom: dict[str, Mapping[str, Any]] = {**istio_schemas, **FORMER_SCHEMAS}
        self._definitions: Mapping[str, Mapping[str, Any]] = builtin_data["definitions"] | METRICS_DEFINITIONS
        self._compiler = Compiler(self._definitions, builtin_data["omit"])
        self._types: dict[str, Type] = {}
        self._rules: dict[str, RuleTree | None] = {}
        self._defaults: dict[str, Mapping[str, Any] | None] = {}
        self.kinds: tuple[ServedKind, ...] = (*builtin.KINDS, *istio_kinds, *FORMER_KINDS)
        self._by_plural = {(str(at), kind.plural): kind for kind in self.kinds for at in kind.endpoints}
        bodies = (*self.kinds, *builtin.BODIES)
        self._by_kind = {(str(at), kind.kind): kind for kind in bodies for at in kind.endpoints}
        self._documents = self._make_documents()
        self._index = openapi.index(self._documents)
        # What is always served; what users define comes and goes beside it.
        self._own = (self.kinds, dict(self._custom), dict(self._documents))

    @property
    def own_kinds(self) -> tuple[ServedKind, ...]:
        """The kinds that are always served."""
        return self._own[0]

    def define(self, kinds: tuple[ServedKind, ...], schemas: Mapping[str, Mapping[str, Any]]) -> None:
        """Serve these kinds of users, described by `schemas`, and no other beside the API's own."""
        own, custom, documents = self._own
        if not kinds and self.kinds == own:
            return
        self.kinds = (*own, *kinds)
        self._forget(self._custom.keys() - custom.keys())
        self._custom = {**custom, **schemas}
        self._forget(schemas)
        self._by_plural = {(str(at), kind.plural): kind for kind in self.kinds for at in kind.endpoints}
        self._by_kind = {(str(at), kind.kind): kind for kind in (*self.kinds, *builtin.BODIES) for at in kind.endpoints}
        touched = {at for kind in kinds for at in kind.endpoints}
        self._documents = {**documents, **self._make_documents(touched)}
        self._index = openapi.index(self._documents)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            for known in (self._types, self._rules, self._defaults):
                known.pop(name, None)

    # -- finding kinds -------------------------------------------------------------------------------------------

    def resource(self, group: str, version: str, plural: str) -> ServedKind | None:
        """The kind served at a path of the API, under any of its group versions."""
        return self._by_plural.get((str(GroupVersion(group=group, version=version)), plural))

    def kind(self, api_version: str, kind: str) -> ServedKind | None:
        """The kind of an object by its `apiVersion` and `kind`, bodies of subresources included."""
        return self._by_kind.get((api_version, kind))

    # -- objects -------------------------------------------------------------------------------------------------

    def type_of(self, kind: ServedKind, obj: Mapping[str, Any] | None = None) -> Type:
        """The type of an object of a kind in the version it is written in (stored version if it names none)."""
        name = _definition(kind, obj)
        if name not in self._types:
            schema = self._custom.get(name)
            self._types[name] = self._compiler.named(name) if schema is None else self._compiler.custom(schema)
        return self._types[name]

    def strict(self, kind: ServedKind, obj: Any) -> tuple[FieldError, ...]:
        """Faults of an object by its type. Reasons: UNKNOWN (a Warning or a 400 by fieldValidation), TYPE_INVALID
        (always a 400 for built-in kinds), others from a CRD's schema (422).
        """
        shape = self.type_of(kind, obj if isinstance(obj, dict) else None)
        found = check(shape, obj)
        if kind.custom and isinstance(obj, dict) and shape.schema is not None:
            found += structural.check(shape.schema, obj)
        return tuple(found)

    def validate(
        self,
        kind: ServedKind,
        obj: dict[str, Any],
        old: dict[str, Any] | None = None,
        *,
        checked: bool = False,
    ) -> tuple[FieldError, ...]:
        """Faults of a defaulted object in the stored version, as an update of `old` if given (all are 422).

        `checked` says that `strict` has found nothing in what the object has beside its metadata.
        """
        looked_at = {name: value for name, value in obj.items() if name == "metadata"} if checked else obj
        found = check(self.type_of(kind, obj), looked_at) if checked else self.strict(kind, looked_at)
        wrong = tuple(fault for fault in found if fault.reason != UNKNOWN)
        if wrong:
            return wrong
        return (*self._by_rules(kind, obj, old), *validation.validate_object(kind, obj, old))

    def _by_rules(self, kind: ServedKind, obj: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
        name = _definition(kind, obj)
        if name not in self._rules:
            schema = self._custom.get(name)
            self._rules[name] = compile_rules(schema) if schema is not None else None
        tree = self._rules[name]
        return check_rules(tree, obj, old) if tree is not None else []

    def normalise(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """The object without unknown fields, nulls and empty fields that count as unset."""
        return normalise(self.type_of(kind, obj), obj)

    def default(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """The normalised object with upstream's defaults filled in."""
        made = self.normalise(kind, obj)
        defaults.fill(kind, made)
        if kind.custom and (schema := self._defaults_of(_definition(kind, made))) is not None:
            structural_defaults.fill(schema, made)
        return made

    def _defaults_of(self, name: str) -> Mapping[str, Any] | None:
        if name not in self._defaults:
            schema = self._custom.get(name)
            self._defaults[name] = structural_defaults.pruned(schema) if schema is not None else None
        return self._defaults[name]

    to_storage = staticmethod(versions.to_storage)
    to_version = staticmethod(versions.to_version)

    def decode_protobuf(self, body: bytes) -> dict[str, Any]:
        """The object of a Kubernetes protobuf body. Raises ProtobufError (400)."""
        return self._protobuf.decode(body)

    # -- patches -------------------------------------------------------------------------------------------------

    def strategic_merge(self, kind: ServedKind, obj: dict[str, Any], patch: Any) -> dict[str, Any]:
        """Strategic merge by the kind's merge keys. Raises PatchError; 415 for custom resources."""
        if kind.custom:
            message = (
                f"{kind.resource} are custom resources, which take no strategic merge patch; send one of "
                "application/merge-patch+json, application/json-patch+json, application/apply-patch+yaml"
            )
            raise patches.PatchError(415, message)
        return strategic.strategic_merge(self.type_of(kind, obj), obj, patch)

    merge_patch = staticmethod(patches.merge_patch)
    json_patch = staticmethod(patches.json_patch)

    def server_side_apply(
        self,
        kind: ServedKind,
        old: dict[str, Any] | None,
        applied: Any,
        *,
        manager: str,
        now: str,
        force: bool = False,
        api_version: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """The object after an apply, with managedFields but not yet defaulted.

        `old` and `applied` are in the stored version; `api_version` is the one the client spoke, `now` RFC 3339.
        Raises ApplyConflict (409) and PatchError.
        """
        writer = apply.Writer(
            manager=manager, api_version=api_version or kind.api_version, now=now, subresource=subresource
        )
        return apply.server_side_apply(self.type_of(kind), old, applied, writer, force=force)

    def track_update(
        self,
        kind: ServedKind,
        old: dict[str, Any] | None,
        new: dict[str, Any],
        *,
        manager: str,
        now: str,
        api_version: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """`new`, complete and in the stored version, with managedFields as they are after a write that is no apply."""
        writer = apply.Writer(
            manager=manager, api_version=api_version or kind.api_version, now=now, subresource=subresource
        )
        return apply.track_update(self.type_of(kind), old, new, writer)

    # -- OpenAPI -------------------------------------------------------------------------------------------------

    def openapi_index(self) -> Document:
        """What `GET /openapi/v3` answers."""
        return self._index

    def openapi_document(self, group: str, version: str) -> Document | None:
        """What `GET /openapi/v3/apis/GROUP/VERSION` answers (`/openapi/v3/api/v1` for the core group)."""
        return self._documents.get(openapi.root_path(GroupVersion(group=group, version=version)))

    def _make_documents(self, only: set[GroupVersion] | None = None) -> dict[str, Document]:
        served: dict[GroupVersion, list[ServedKind]] = {}
        for kind in self.kinds:
            for at in kind.endpoints:
                if only is None or at in only:
                    served.setdefault(at, []).append(kind)
        make = partial(openapi.document, definitions=self._definitions, custom=self._custom)
        return {openapi.root_path(at): make(at, kinds) for at, kinds in served.items()}


def _definition(kind: ServedKind, obj: Mapping[str, Any] | None) -> str:
    given = obj.get("apiVersion") if obj else None
    return kind.definitions.get(given if isinstance(given, str) else "") or kind.definitions[kind.api_version]


def load_schemas() -> Schemas:
    """Read the package data (about 0.2 MB) and compile it; call it once, when the process is wired."""
    folder = files("plait.machine.api.schema") / "data"
    return Schemas(
        builtin_data=json.loads((folder / "builtin.json").read_text()),
        istio_data=json.loads((folder / "istio.json").read_text()),
        protobuf_data=json.loads((folder / "protobuf.json").read_text()),
    )
