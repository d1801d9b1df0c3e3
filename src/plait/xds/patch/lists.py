"""Operations of EnvoyFilter patches on a list of named elements: filters, chains, routes, virtual hosts.

The place to insert at is where the match points. Without a match BEFORE means the front and AFTER the end (Istio's
rule). What a list must end with, such as the router, stays at its end: Envoy refuses anything behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from plait.xds.patch.merge import merge

INSERTS: Final = frozenset({"ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
MERGES: Final = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})


def change_list(
    elements: Any,
    operation: str,
    value: Any,
    *,
    matches: Callable[[Any], bool],
    named: bool,
    terminal: Callable[[Any], bool] = lambda _element: False,
) -> None:
    """Apply one operation to the repeated field `elements`.

    `named`: the match points at single elements. `terminal`: elements that nothing may follow.
    """
    if operation in MERGES:
        for element in elements:
            if matches(element):
                merge(element, value, replace_lists=operation != "MERGE")
        return
    kept = list(elements)
    if operation == "REMOVE":
        kept = [element for element in kept if not matches(element)]
    elif operation == "REPLACE":
        # Only what is named can be replaced: a patch without a name would wipe the list.
        kept = [value if named and matches(element) else element for element in kept]
    else:
        place = _place(kept, operation, matches, named=named, terminal=terminal)
        if place is None:
            return
        kept.insert(place, value)
    copies = [_copy(element) for element in kept]
    del elements[:]
    elements.extend(copies)


def _place(
    kept: list[Any],
    operation: str,
    matches: Callable[[Any], bool],
    *,
    named: bool,
    terminal: Callable[[Any], bool],
) -> int | None:
    end = next((index for index, element in enumerate(kept) if terminal(element)), len(kept))
    if operation == "INSERT_FIRST" or (operation == "INSERT_BEFORE" and not named):
        return 0
    if operation == "ADD" or not named:
        return end
    found = next((index for index, element in enumerate(kept) if matches(element)), None)
    if found is None:
        return None
    return found if operation == "INSERT_BEFORE" else min(found + 1, end)


def _copy(element: Any) -> Any:
    result = type(element)()
    result.CopyFrom(element)
    return result
