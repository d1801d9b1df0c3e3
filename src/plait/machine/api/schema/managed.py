"""Which fields of an object there are, as server-side apply counts them, and how managedFields write them.

A path is a tuple of elements in the notation of `fieldsV1`: `f:NAME` for fields and map entries, `k:{...}` for items of
a list with keys, `v:VALUE` for members of a set. A field set is a frozenset of paths.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.types import Field, Type

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]
FieldSet = frozenset[Path]

_ANY = Field(type=Type(form="any"))
_META = ("creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid")

#: What no one manages: identity, and what the server writes.
_UNMANAGED: FieldSet = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(("f:metadata", f"f:{name}") for name in _META),
    }
)


def field_set(kind: Type, value: dict[str, Any]) -> FieldSet:
    """Every managed field an object sets."""
    return _managed(_leaves(Field(type=kind), value, ()))


def compare(kind: Type, old: dict[str, Any], new: dict[str, Any]) -> tuple[FieldSet, FieldSet]:
    """Managed fields that `new` adds or changes, and those it lacks."""
    added, removed = _compare(Field(type=kind), old, new, ())
    return _managed(added), _managed(removed)


def _managed(paths: set[Path] | Iterator[Path]) -> FieldSet:
    return frozenset(path for path in paths if path and path[:2] not in _UNMANAGED and path not in _UNMANAGED)


def shape_of(place: Field) -> str:
    """How apply sees a place: `leaf` (one owner), `fields`, `keyed` or `set`."""
    match place.type.form:
        case "object" | "map" if place.map_type != "atomic" and not place.type.atomic:
            return "fields"
        case "any":
            return "fields"
        case "list" if place.list_type == "map" and place.list_keys:
            return "keyed"
        case "list" if place.list_type == "set":
            return "set"
        case _:
            return "leaf"


def place_of(place: Field, name: str) -> Field:
    """The field or map entry of a name."""
    kind = place.type
    return kind.fields.get(name) or (kind.element if kind.form == "map" and kind.element else _ANY)


def item_place(place: Field) -> Field:
    """The place of a list's items."""
    return place.type.element or _ANY


def element(place: Field, item: Any) -> str:
    """The path element of an item of a keyed list or a set."""
    if shape_of(place) == "set" or not isinstance(item, dict):
        return "v:" + json.dumps(item, separators=(",", ":"), sort_keys=True)
    fields = item_place(place).type.fields
    keys: dict[str, Any] = {}
    for name in place.list_keys:
        value = item.get(name, fields[name].default if name in fields else None)
        if value is not None:
            keys[name] = value
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True)


def by_element(place: Field, items: Any) -> dict[str, Any]:
    """The items of a keyed list or a set by path element; of equal ones the first."""
    found: dict[str, Any] = {}
    for item in items if isinstance(items, list) else ():
        found.setdefault(element(place, item), item)
    return found


def _leaves(place: Field, value: Any, path: Path) -> Iterator[Path]:
    shape = shape_of(place)
    if shape == "fields" and isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(place_of(place, name), inner, (*path, f"f:{name}"))
    elif shape in {"keyed", "set"} and isinstance(value, list) and value:
        for name, inner in by_element(place, value).items():
            yield (*path, name)
            if shape == "keyed" and isinstance(inner, dict) and inner:
                yield from _leaves(item_place(place), inner, (*path, name))
    else:
        yield path


def _everything(place: Field, value: Any, path: Path) -> Iterator[Path]:
    """A value's own path and every path below it, containers included: what someone who adds it comes to own."""
    yield path
    shape = shape_of(place)
    if shape == "fields" and isinstance(value, dict):
        for name, inner in value.items():
            yield from _everything(place_of(place, name), inner, (*path, f"f:{name}"))
    elif shape in {"keyed", "set"} and isinstance(value, list):
        for name, inner in by_element(place, value).items():
            yield from _everything(item_place(place), inner, (*path, name)) if shape == "keyed" else ((*path, name),)


def _compare(place: Field, old: Any, new: Any, path: Path) -> tuple[set[Path], set[Path]]:
    """Paths that `new` adds or changes, and those it lacks."""
    shape = shape_of(place)
    before: dict[str, Any]
    after: dict[str, Any]
    if shape == "fields" and isinstance(old, dict) and isinstance(new, dict):
        before = {f"f:{name}": value for name, value in old.items()}
        after = {f"f:{name}": value for name, value in new.items()}
    elif shape in {"keyed", "set"} and isinstance(old, list) and isinstance(new, list):
        before, after = by_element(place, old), by_element(place, new)
    elif old != new or type(old) is not type(new):
        return set(_everything(place, new, path)), set(_everything(place, old, path)) if old is not None else set()
    else:
        return set(), set()
    added, removed = set[Path](), set[Path]()
    for name in {**before, **after}:
        where = (*path, name)
        below = place_of(place, name[2:]) if shape == "fields" else item_place(place)
        if name not in after:
            removed.update(_everything(below, before[name], where))
        elif name in before or (shape == "fields" and _implied(place.type, name[2:], below)):
            empty: Any = [] if below.type.form == "list" else {}
            more, less = _compare(below, before.get(name, empty), after[name], where)
            added |= more
            removed |= less
        else:
            added.update(_everything(below, after[name], where))
    return added, removed - added


def _implied(kind: Type, name: str, below: Field) -> bool:
    """Whether a field is there in every object of the type, so that no one adds it.

    Structs held by value are (`spec`), and lists and maps an encoder never leaves out (`containers`).
    """
    if kind.schema is not None or name not in kind.fields:
        return False
    if below.type.form == "object":
        return name in kind.omit
    return below.type.form in {"list", "map"} and name not in kind.omit and shape_of(below) != "leaf"


def encode(paths: FieldSet) -> dict[str, Any]:
    """`fieldsV1` of a field set."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        node["."] = {}
    return _folded(tree)


def _folded(node: dict[str, Any]) -> dict[str, Any]:
    """A node that is only itself is written `{}`, without the dot."""
    if set(node) == {"."}:
        return {}
    return {name: {} if name == "." else _folded(inner) for name, inner in node.items()}


def decode(tree: Any) -> FieldSet:
    """The field set of a `fieldsV1`; what is not one gives an empty set."""
    found: set[Path] = set()

    def walk(node: dict[str, Any], path: Path) -> None:
        if not node and path:
            found.add(path)
        for name, inner in node.items():
            if name == ".":
                found.add(path)
            elif isinstance(inner, dict):
                walk(inner, (*path, name))

    if isinstance(tree, dict):
        walk(tree, ())
    return frozenset(path for path in found if path)


def shown(path: Path) -> str:
    """A path as conflict messages show it: `.spec.containers[name="c"].image`."""
    parts: list[str] = []
    for name in path:
        if name.startswith("f:"):
            parts.append(f".{name[2:]}")
        elif name.startswith("k:"):
            keys = json.loads(name[2:])
            parts.append("[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]")
        else:
            parts.append(f"[={name[2:]}]")
    return "".join(parts)
