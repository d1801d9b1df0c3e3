"""Server-side apply and the tracking of who set which field (`metadata.managedFields`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema import managed
from plait.machine.api.schema.fields import type_name
from plait.machine.api.schema.normal import copied, normalise
from plait.machine.api.schema.patches import PatchError
from plait.machine.api.schema.types import Field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.machine.api.schema.managed import FieldSet, Path
    from plait.machine.api.schema.types import Type

_APPLY, _UPDATE = "Apply", "Update"
_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FIRST = "before-first-apply"
_ANCIENT = "ancient-changes"

#: Entries of kind Update that are kept apart; older ones are merged into one.
_MOST_UPDATERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A field another manager owns. `field` is a path such as `.spec.replicas`."""

    field: str
    message: str


class ApplyConflict(Exception):  # noqa: N818 - the name of the thing, as in the API
    """An apply that would change fields of other managers (409 Conflict; each conflict is a cause)."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        self.conflicts = conflicts
        count = len(conflicts)
        lines = [f"{one.message}: {one.field}" for one in conflicts]
        noun = "1 conflict" if count == 1 else f"{count} conflicts"
        separator = " " if count == 1 else "\n- "
        super().__init__(f"Apply failed with {noun}:{separator}{separator.join(lines)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes: manager, the version it speaks, the subresource, and the time (RFC 3339, whole seconds)."""

    manager: str
    api_version: str
    now: str
    subresource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    def same_as(self, other: _Entry) -> bool:
        """Whether both entries are the same manager's."""
        mine = (self.manager, self.operation, self.api_version, self.subresource)
        return mine == (other.manager, other.operation, other.api_version, other.subresource)

    @classmethod
    def of(cls, writer: Writer, operation: str, fields: FieldSet) -> _Entry:
        """What a writer has now set."""
        return cls(
            manager=writer.manager,
            operation=operation,
            api_version=writer.api_version,
            subresource=writer.subresource,
            time=writer.now,
            fields=fields,
        )


def track_update(kind: Type, old: dict[str, Any] | None, new: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """`new` with managedFields as they are after this write of anything but an apply.

    Changed fields become the writer's and nobody else's. A managedFields list in `new` is taken as the client's wish;
    a list with one empty entry clears it.
    """
    given = _metadata(new).get("managedFields")
    if given == [{}]:
        return _with_entries(new, [])
    entries = _entries(given) or _entries(_metadata(old).get("managedFields"))
    added, removed = managed.compare(kind, old or {}, new)
    added, removed = _in_scope(added, writer), _in_scope(removed, writer)
    if not added and not removed:
        return _with_entries(new, entries)
    mine = _Entry.of(writer, _UPDATE, added)
    kept: list[_Entry] = []
    for entry in entries:
        left = entry.fields - removed
        if entry.same_as(mine):
            mine = replace(mine, fields=mine.fields | left, time=entry.time if left >= added else writer.now)
        elif left := left - _leaf_paths(added):
            kept.append(replace(entry, fields=left))
    return _with_entries(new, _capped([*kept, mine] if mine.fields else kept))


def server_side_apply(
    kind: Type, old: dict[str, Any] | None, applied: Any, writer: Writer, *, force: bool
) -> dict[str, Any]:
    """The object after an apply: fields set as `applied` says, fields this manager no longer applies removed.

    Raises ApplyConflict unless `force`, and PatchError (400) if `applied` is not an object or carries managedFields.
    """
    if not isinstance(applied, dict):
        raise PatchError(400, f"an apply configuration must be an object, not {type_name(applied)}")
    if _metadata(applied).get("managedFields"):
        raise PatchError(400, "metadata.managedFields must not be set in an apply configuration: leave it out")
    wanted = normalise(kind, applied)
    live = _without_managed(old or {})
    entries = _entries(_metadata(old).get("managedFields"))
    if old is not None and not entries:
        entries = [_first_entry(kind, live, writer)]
    merged = _merged(Field(type=kind), live, wanted)
    fields = _in_scope(managed.field_set(kind, wanted), writer)
    mine = _Entry.of(writer, _APPLY, fields)
    before = next((entry for entry in entries if entry.same_as(mine)), None)
    others = [entry for entry in entries if entry is not before]
    changed = _leaf_paths(managed.compare(kind, live, merged)[0] & fields) if old is not None else frozenset()
    if not force:
        _refuse_conflicts(others, changed - _applied_by_client(kind, live, writer))
    others = [replace(entry, fields=left) for entry in others if (left := entry.fields - changed)]
    if before is not None:
        gone = _ours_alone(before.fields - fields, fields, others)
        merged = _removed(Field(type=kind), merged, gone) or {}
        if before.fields == fields and merged == live:
            mine = before
    if writer.manager == _KUBECTL and _LAST_APPLIED in _annotations(live):
        merged = _with_last_applied(merged, applied)
    return _with_entries(merged, [mine, *others] if fields else others)


def _metadata(obj: dict[str, Any] | None) -> dict[str, Any]:
    found = obj.get("metadata") if obj else None
    return found if isinstance(found, dict) else {}


def _annotations(obj: dict[str, Any]) -> dict[str, Any]:
    found = _metadata(obj).get("annotations")
    return found if isinstance(found, dict) else {}


def _applied_by_client(kind: Type, live: dict[str, Any], writer: Writer) -> FieldSet:
    """Fields that client-side `kubectl apply` set and nobody changed since: server-side apply takes them over."""
    text = _annotations(live).get(_LAST_APPLIED)
    if writer.manager != _KUBECTL or not isinstance(text, str):
        return frozenset()
    try:
        last = json.loads(text)
    except ValueError:
        return frozenset()
    if not isinstance(last, dict):
        return frozenset()
    last = normalise(kind, last)
    changed, _ = managed.compare(kind, live, last)
    return managed.field_set(kind, last) - changed


def _with_last_applied(obj: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    """The annotation of client-side apply stays true, so that both ways of applying can be mixed."""
    made: dict[str, Any] = copied(obj)
    annotations = made.setdefault("metadata", {}).setdefault("annotations", {})
    last = copied(applied)
    _annotations(last).pop(_LAST_APPLIED, None)
    annotations[_LAST_APPLIED] = json.dumps(last, separators=(",", ":"), sort_keys=True) + "\n"
    return made


def _first_entry(kind: Type, live: dict[str, Any], writer: Writer) -> _Entry:
    """An object nobody tracked belongs to an unnamed writer before the first apply."""
    return _Entry(
        manager=_FIRST,
        operation=_UPDATE,
        api_version=writer.api_version,
        subresource="",
        time=writer.now,
        fields=managed.field_set(kind, live),
    )


def _refuse_conflicts(others: Iterable[_Entry], changed: FieldSet) -> None:
    found: list[Conflict] = []
    for entry in others:
        where = f' with subresource "{entry.subresource}"' if entry.subresource else ""
        version = f" using {entry.api_version}" if entry.operation == _UPDATE else ""
        message = f'conflict with "{entry.manager}"{where}{version}'
        found += [Conflict(field=managed.shown(path), message=message) for path in sorted(entry.fields & changed)]
    if found:
        raise ApplyConflict(tuple(found))


def _in_scope(paths: FieldSet, writer: Writer) -> FieldSet:
    """Fields a write of this subresource can set: status only, or everything."""
    if writer.subresource == "status":
        return frozenset(path for path in paths if path[0] == "f:status")
    return paths


def _leaf_paths(paths: FieldSet) -> FieldSet:
    """Without containers that have members in the set: owning a list is no claim on others' items."""
    inner = {path[:length] for path in paths for length in range(1, len(path))}
    return frozenset(path for path in paths if path not in inner)


def _ours_alone(gone: FieldSet, kept: FieldSet, others: Iterable[_Entry]) -> FieldSet:
    """Of the fields no longer applied those that nobody else owns and that hold nothing anybody owns."""
    held: set[Path] = set()
    for paths in (kept, *(entry.fields for entry in others)):
        for path in paths:
            held.update(path[:length] for length in range(1, len(path) + 1))
    return frozenset(path for path in gone if path not in held)


def _merged(place: Field, old: Any, new: Any) -> Any:
    shape = managed.shape_of(place)
    if shape == "fields" and isinstance(old, dict) and isinstance(new, dict):
        made = dict(old)
        for name, inner in new.items():
            made[name] = _merged(managed.place_of(place, name), old[name], inner) if name in old else inner
        return made
    if shape in {"keyed", "set"} and isinstance(old, list) and isinstance(new, list):
        return _merged_list(place, old, new)
    return new


def _merged_list(place: Field, old: list[Any], new: list[Any]) -> list[Any]:
    """Applied items in their order; the others stay where they are between them."""
    before, after = managed.by_element(place, old), managed.by_element(place, new)
    left, right = list(before), list(after)
    made: list[Any] = []
    while left or right:
        if left and left[0] not in after:
            made.append(before[left.pop(0)])
        elif right:
            name = right.pop(0)
            known = name in before
            made.append(_merged(managed.item_place(place), before[name], after[name]) if known else after[name])
            if known:
                left.remove(name)
    return made


def _removed(place: Field, value: Any, gone: FieldSet) -> Any:
    """The value without the fields in `gone`; None if nothing is left of it."""
    if not gone:
        return value
    below: dict[str, set[Path]] = {}
    for path in gone:
        below.setdefault(path[0], set()).add(path[1:])
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for name, inner in value.items():
            rest = below.get(f"f:{name}")
            kept = inner if rest is None else _kept(managed.place_of(place, name), inner, rest)
            if kept is not None:
                made[name] = kept
        return made or None
    if isinstance(value, list):
        items: list[Any] = []
        for inner in value:
            rest = below.get(managed.element(place, inner))
            kept = inner if rest is None else _kept(managed.item_place(place), inner, rest)
            if kept is not None:
                items.append(kept)
        return items or None
    return value


def _kept(place: Field, value: Any, rest: set[Path]) -> Any:
    if () in rest:
        return None
    return _removed(place, value, frozenset(rest))


def _entries(value: Any) -> list[_Entry]:
    if not isinstance(value, list):
        return []
    return [
        _Entry(
            manager=str(entry.get("manager", "")),
            operation=str(entry.get("operation", "")),
            api_version=str(entry.get("apiVersion", "")),
            subresource=str(entry.get("subresource", "")),
            time=str(entry.get("time", "")),
            fields=managed.decode(entry.get("fieldsV1")),
        )
        for entry in value
        if isinstance(entry, dict) and entry
    ]


def _capped(entries: list[_Entry]) -> list[_Entry]:
    """At most ten entries of kind Update: the oldest beyond that become one."""
    updates = sorted((entry for entry in entries if entry.operation == _UPDATE), key=lambda entry: entry.time)
    surplus = len(updates) - _MOST_UPDATERS
    if surplus <= 0:
        return entries
    old = [entry for entry in updates if entry.manager == _ANCIENT][:1] or updates[:1]
    folded = old + [entry for entry in updates if entry not in old][:surplus]
    merged = replace(folded[0], manager=_ANCIENT, fields=frozenset().union(*(entry.fields for entry in folded)))
    return [entry for entry in entries if entry not in folded] + [merged]


def _with_entries(obj: dict[str, Any], entries: list[_Entry]) -> dict[str, Any]:
    made: dict[str, Any] = copied(obj)
    metadata = made.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return made
    metadata.pop("managedFields", None)
    order = sorted(entries, key=lambda entry: (entry.operation, entry.time, entry.manager, entry.subresource))
    if order:
        metadata["managedFields"] = [_written(entry) for entry in order]
    return made


def _written(entry: _Entry) -> dict[str, Any]:
    made = {
        "manager": entry.manager,
        "operation": entry.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": managed.encode(entry.fields),
    }
    if entry.subresource:
        made["subresource"] = entry.subresource
    return made if entry.time else {name: value for name, value in made.items() if name != "time"}


def _without_managed(obj: dict[str, Any]) -> dict[str, Any]:
    if "managedFields" not in _metadata(obj):
        return obj
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}
