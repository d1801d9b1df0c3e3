"""What an apply makes of an object that another apply wrote before, worked out without writing.

A server-side apply takes away the fields that its manager applied before and does not apply now. Where `kubectl apply`
wrote the object its fields have to be taken over first (`plan.owned_anew`), which a dry run cannot do. So the outcome
is computed here from what the API says of each field's managers, and the API is asked whether it would take that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from plait.app.objects.plan import owned_anew

Fields = Mapping[str, Any]
_NOTHING: Final = object()
_SELF: Final = "."


def inherited(live: dict[str, Any], new: Mapping[str, Any], manager: str, api_version: str) -> dict[str, Any] | None:
    """`live` as it would be after an apply of `new`; None where there is nothing to take over."""
    entries: Sequence[Mapping[str, Any]] = live["metadata"].get("managedFields") or ()
    anew = owned_anew(entries, manager, api_version)
    if anew is None:
        return None
    mine = anew[-1]["fieldsV1"]
    others: dict[str, Any] = {}
    for entry in anew[:-1]:
        _unite(others, entry.get("fieldsV1") or {})
    every: dict[str, Any] = {}
    for fields in (mine, others):
        _unite(every, fields)
    result: dict[str, Any] = _merged(_without(live, mine, others, new), new, every)
    return result


def _unite(into: dict[str, Any], fields: Fields) -> None:
    for key, inner in fields.items():
        _unite(into.setdefault(key, {}), inner)


def _without(live: Any, mine: Fields, others: Fields, new: Any) -> Any:
    """`live` less what is ours alone and `new` has no more."""
    found = live
    for element, inner in mine.items():
        here, there, foreign = _at(found, element), _at(new, element), others.get(element)
        if element == _SELF or here is _NOTHING:
            continue
        rest = here
        if set(inner) - {_SELF}:
            rest = _without(here, inner, foreign or {}, None if there is _NOTHING else there)
        # What has nothing below it in the list of fields is one value; what has is gone when it is empty.
        gone = not (set(inner) - {_SELF}) or not rest or (element.startswith("k:") and there is _NOTHING)
        found = _put(found, element, _NOTHING if gone and there is _NOTHING and foreign is None else rest)
    return found


def _merged(live: Any, new: Any, fields: Fields) -> Any:
    if isinstance(live, Mapping) and isinstance(new, Mapping):
        changed = {
            key: _merged(live[key], value, fields.get(f"f:{key}") or {}) if key in live else value
            for key, value in new.items()
        }
        return {**live, **changed}
    if isinstance(live, list) and isinstance(new, list):
        names = [json.loads(element[2:]) for element in fields if element.startswith("k:")]
        if names:
            return _joined(live, new, tuple(names[0]), fields)
        if any(element.startswith("v:") for element in fields):
            return [*live, *(item for item in new if item not in live)]
    return new


def _joined(live: Sequence[Any], new: Sequence[Any], keys: tuple[str, ...], fields: Fields) -> list[Any]:
    """A list whose items are told apart by `keys`."""
    result = list(live)
    for item in new:
        place = _place(result, {key: item[key] for key in keys if key in item})
        if place is None:
            result.append(item)
            continue
        found = result[place]
        name = json.dumps({key: found.get(key) for key in keys}, separators=(",", ":"), sort_keys=True)
        result[place] = _merged(found, item, fields.get(f"k:{name}") or {})
    return result


def _place(items: Sequence[Any], name: Mapping[str, Any]) -> int | None:
    """Where the item with these keys is in a list. A key that it does not have is one that the API fills in."""
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and all(item.get(key, value) == value for key, value in name.items()):
            return index
    return None


def _at(value: Any, element: str) -> Any:
    """The part of a value that an element of a field's path means."""
    kind, _, rest = element.partition(":")
    if kind == "f" and isinstance(value, Mapping):
        return value.get(rest, _NOTHING)
    if kind in {"k", "v"} and isinstance(value, list):
        name = json.loads(rest)
        index = _place(value, name) if kind == "k" else value.index(name) if name in value else None
        return value[index] if index is not None else _NOTHING
    return _NOTHING


def _put(value: Any, element: str, part: Any) -> Any:
    kind, _, rest = element.partition(":")
    if kind == "f":
        kept = {key: each for key, each in value.items() if key != rest or part is not _NOTHING}
        return kept if part is _NOTHING else {**kept, rest: part}
    name = json.loads(rest)
    index = _place(value, name) if kind == "k" else value.index(name)
    if part is _NOTHING:
        return [each for place, each in enumerate(value) if place != index]
    return [part if place == index else each for place, each in enumerate(value)]
