"""Strategic merge patch: a merge patch that knows which lists have keys.

Directives inside a patch: `$patch: replace|delete|merge` on a map or a list item, `$retainKeys`,
`$setElementOrder/FIELD` and `$deleteFromPrimitiveList/FIELD`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import child, shown, type_name
from plait.machine.api.schema.normal import copied
from plait.machine.api.schema.patches import PatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.schema.types import Field, Type

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"


def strategic_merge(kind: Type, obj: dict[str, Any], patch: Any) -> dict[str, Any]:
    """A new object: `patch` laid over `obj`. Raises PatchError (400) for a patch of the wrong shape."""
    if not isinstance(patch, dict):
        raise PatchError(400, f"a strategic merge patch must be a JSON object, not {type_name(patch)}")
    return _map(kind, obj, patch, "")


def _map(kind: Type | None, current: dict[str, Any], patch: dict[str, Any], path: str) -> dict[str, Any]:
    match patch.get(_DIRECTIVE, "merge"):
        case "replace":
            replaced: dict[str, Any] = _without_directives(patch)
            return replaced
        case "delete":
            return {}
        case "merge":
            pass
        case other:
            raise PatchError(400, f"{path or 'patch'}: $patch must be replace, delete or merge, not {shown(other)}")
    made = dict(current)
    for name, value in patch.items():
        if name.startswith(_DELETE_FROM):
            _delete_primitives(made, name.removeprefix(_DELETE_FROM), value, path)
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            made.pop(name, None)
            continue
        where = child(path, name)
        declared = _declared(kind, name)
        order = patch.get(_ORDER + name)
        made[name] = _merged(declared, made.get(name), value, order, where)
    for name, order in patch.items():
        target = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and target not in patch and isinstance(made.get(target), list):
            made[target] = _merged(_declared(kind, target), made[target], [], order, child(path, target))
    return _retained(made, patch, path)


def _declared(kind: Type | None, name: str) -> Field | None:
    if kind is None:
        return None
    return kind.fields.get(name) or (kind.element if kind.form == "map" else None)


def _retained(made: dict[str, Any], patch: dict[str, Any], path: str) -> dict[str, Any]:
    """Only the keys a patch says to keep (for unions such as a volume's source)."""
    if _RETAIN not in patch:
        return made
    keep = patch[_RETAIN]
    if not isinstance(keep, list) or not all(isinstance(name, str) for name in keep):
        raise PatchError(400, f"{child(path, _RETAIN)} must be a list of field names")
    extra = [name for name in patch if not name.startswith("$") and name not in keep and patch[name] is not None]
    if extra:
        raise PatchError(400, f"{child(path, _RETAIN)} must name every field of the patch; {extra[0]} is missing")
    return {name: value for name, value in made.items() if name in keep}


def _merged(declared: Field | None, current: Any, value: Any, order: Any, path: str) -> Any:
    if isinstance(value, dict):
        inner = declared.type if declared else None
        if declared and "replace" in declared.strategies:
            return _without_directives(value)
        base = current if isinstance(current, dict) else {}
        return _map(inner, base, value, path)
    if isinstance(value, list):
        existing = current if isinstance(current, list) else []
        if declared is None or "merge" not in declared.strategies:
            return _without_directives(value)
        if declared.merge_key:
            return _keyed_list(declared, existing, value, order, path)
        return _set_list(existing, value, order)
    return value


def _keyed_list(declared: Field, current: list[Any], patch: list[Any], order: Any, path: str) -> list[Any]:
    """A list whose items have a key: items are merged by it."""
    name = declared.merge_key
    inner = declared.type.element.type if declared.type.element else None
    if any(isinstance(entry, dict) and entry.get(_DIRECTIVE) == "replace" for entry in patch):
        fresh = [entry for entry in patch if not (isinstance(entry, dict) and _DIRECTIVE in entry)]
        return [_without_directives(entry) for entry in fresh]
    made, named = list(current), []
    for index, entry in enumerate(patch):
        where = f"{path}[{index}]"
        if not isinstance(entry, dict):
            raise PatchError(400, f"{where} must be an object with the key {name}, not {type_name(entry)}")
        if name not in entry:
            raise PatchError(400, f"{where} does not contain its merge key {name}; every item of {path} needs one")
        if entry.get(_DIRECTIVE) == "delete":
            made = [old for old in made if _key(old, name) != entry[name]]
            continue
        named.append(entry[name])
        place = next((at for at, old in enumerate(made) if _key(old, name) == entry[name]), None)
        if place is None:
            made.append(_map(inner, {}, entry, where))
        else:
            made[place] = _map(inner, made[place], entry, where)
    wanted = [_key(entry, name) for entry in order] if isinstance(order, list) else named
    return _ordered(made, current, wanted, lambda entry: _key(entry, name))


def _set_list(current: list[Any], patch: list[Any], order: Any) -> list[Any]:
    """A list of scalars that behaves as a set."""
    made = list(current)
    made += [entry for entry in patch if entry not in made]
    return _ordered(made, current, order if isinstance(order, list) else patch, lambda entry: entry)


def _ordered(made: list[Any], current: list[Any], wanted: list[Any], key_of: Callable[[Any], Any]) -> list[Any]:
    """Items as upstream orders them: those named by the patch in its order, the others where they were.

    An item the patch does not name goes before a named one only if it stood before it; so new items come first.
    """
    before = [key_of(entry) for entry in current]
    named = [entry for key in _unique(wanted) for entry in made if key_of(entry) == key]
    others = [entry for entry in made if key_of(entry) not in wanted]
    merged: list[Any] = []
    while others and named:
        left, right = key_of(others[0]), key_of(named[0])
        first = left in before and right in before and before.index(left) < before.index(right)
        merged.append((others if first else named).pop(0))
    return merged + others + named


def _unique(keys: list[Any]) -> list[Any]:
    return [key for index, key in enumerate(keys) if key not in keys[:index]]


def _key(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _delete_primitives(made: dict[str, Any], name: str, values: Any, path: str) -> None:
    if not isinstance(values, list):
        raise PatchError(400, f"{child(path, _DELETE_FROM + name)} must be a list, not {type_name(values)}")
    if isinstance(made.get(name), list):
        made[name] = [entry for entry in made[name] if entry not in values]


def _without_directives(value: Any) -> Any:
    """A copy without directives and nulls: what a patch leaves behind where there was nothing."""
    if isinstance(value, dict):
        return {
            name: _without_directives(inner)
            for name, inner in value.items()
            if inner is not None and not name.startswith(("$patch", "$retainKeys", _ORDER, _DELETE_FROM))
        }
    if isinstance(value, list):
        kept = (entry for entry in value if not (isinstance(entry, dict) and entry.get(_DIRECTIVE) == "delete"))
        return [_without_directives(entry) for entry in kept]
    return copied(value)
