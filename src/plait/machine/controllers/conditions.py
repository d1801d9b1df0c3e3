"""Lists of conditions in a status, changed without touching the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Condition = dict[str, Any]


def find_condition(conditions: Iterable[Condition] | None, kind: str) -> Condition | None:
    """By type."""
    return next((condition for condition in conditions or () if condition.get("type") == kind), None)


def without_condition(conditions: Iterable[Condition], kind: str) -> list[Condition]:
    """All others."""
    return [condition for condition in conditions if condition.get("type") != kind]


def with_condition(
    conditions: Sequence[Condition],
    kind: str,
    status: str,
    *,
    reason: str,
    message: str,
    now: str,
    updates: bool = True,
    refresh: bool = False,
) -> list[Condition]:
    """Set a condition; one that says the same already stays as it is, unless `refresh`.

    lastTransitionTime moves only when the status does. `updates` says whether the kind has a lastUpdateTime.
    """
    known = find_condition(conditions, kind)
    if known and known["status"] == status and known.get("reason") == reason and not refresh:
        return list(conditions)
    moved = known["lastTransitionTime"] if known and known["status"] == status else now
    made = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": moved}
    if updates:
        made["lastUpdateTime"] = now
    return [*without_condition(conditions, kind), made]
