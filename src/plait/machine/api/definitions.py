"""Kinds that users define, in force from one write to the next: served, described, and gone with their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.hooks.contract import mark
from plait.machine.api.hooks.definitions import COLLECTION, FINALIZER, is_established
from plait.machine.api.objects import copy_json
from plait.machine.api.schema.defined import defined_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.machine.api.hooks.contract import World
    from plait.machine.api.registry import Collection
    from plait.machine.api.schema import Schemas, ServedKind

Json = dict[str, Any]


class Definitions:
    """Keeps registry and schemas as the stored definitions say, within the write that changes them."""

    def __init__(self, *, world: World, schemas: Schemas) -> None:
        self._world = world
        self._schemas = schemas
        self._followed: set[Collection] = set()

    def start(self) -> None:
        """Serve what is stored, and follow it from here on."""
        self._world.store.on_change[COLLECTION] = self.refresh
        self.refresh()

    def refresh(self) -> None:
        """Serve what the stored definitions say now; go on with those that are being deleted."""
        store, registry = self._world.store, self._world.registry
        kinds: dict[Collection, ServedKind] = {}
        schemas: dict[str, Mapping[str, Any]] = {}
        ending: list[Json] = []
        for entry in list(store.entries(COLLECTION)):
            definition = entry.obj
            if not is_established(definition):
                continue
            at = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
            if registry.is_own(*at):
                continue
            kind, described = defined_kind(definition)
            kinds[at] = kind
            schemas.update(described)
            if definition["metadata"].get("deletionTimestamp"):
                ending.append(definition)
        self._schemas.define(tuple(kinds.values()), schemas)
        registry.define(kinds.values())
        for kind in kinds.values():
            self._restore(kind)
        for definition in ending:
            self._drain(definition)

    def _restore(self, kind: ServedKind) -> None:
        """Objects stored in another version are kept in the one that is stored now."""
        store, collection = self._world.store, (kind.group, kind.plural)
        for entry in list(store.entries(collection)):
            if entry.obj["apiVersion"] != kind.api_version:
                store.put(collection, {**copy_json(entry.obj), "apiVersion": kind.api_version})

    def _drain(self, definition: Json) -> None:
        """Delete the objects of a definition; those with finalizers are waited for. Then the definition goes."""
        store = self._world.store
        at = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        store.on_change.pop(at, None)
        for entry in list(store.entries(at)):
            meta = entry.obj["metadata"]
            if meta.get("deletionTimestamp"):
                continue  # whoever takes its last finalizer off removes it
            if not meta.get("finalizers"):
                store.delete(at, entry.key)
            else:
                marked = copy_json(entry.obj)
                mark(self._world, marked, 0)
                store.put(at, marked)
        if store.count(at):
            store.on_change[at] = self.refresh
            return
        left = copy_json(definition)
        left["metadata"]["finalizers"] = [
            item for item in left["metadata"].get("finalizers") or () if item != FINALIZER
        ]
        known = next((e for e in store.entries(COLLECTION) if e.key.name == left["metadata"]["name"]), None)
        if known is None or FINALIZER not in (known.obj["metadata"].get("finalizers") or ()):
            return
        entry = store.put(COLLECTION, left)
        if not left["metadata"]["finalizers"]:
            store.delete(COLLECTION, entry.key)
