"""What else is wrong with an object that the API refuses for the first kind of fault it finds.

The API asks layer by layer: fields it does not know, then types, then rules and meaning. Who writes a file wants all of
it at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.app.objects.given import Given
from plait.app.objects.validate import validator

#: What the API is asked about in other words, or what it has answered by being asked about the object at all.
_UNKNOWN = "UnknownField"
_ANSWERED = frozenset({"NotAnObject", "NotJSON", "NoVersion", "UnknownKind", _UNKNOWN})


def further_lines(given: Given, title: str, told: Sequence[str]) -> list[str]:
    """One line for each error of which `told` says nothing yet."""
    lines: list[str] = []
    every = [found for found in validator().check(given.obj) if found.is_error and found.path]
    misspelt = [found.path for found in every if found.code == _UNKNOWN]
    for found in every:
        # What is missing beside a field that nobody knows is probably that.
        if found.code in _ANSWERED or any(path.rpartition(".")[0] == found.path for path in misspelt):
            continue
        if not any(f"{title}: {found.path}: " in line for line in told):
            advice = f"; {found.fix}" if found.fix else ""
            lines.append(f"{given.where(found.path)}: {title}: {found.path}: {found.message}{advice}")
    return list(dict.fromkeys(lines))
