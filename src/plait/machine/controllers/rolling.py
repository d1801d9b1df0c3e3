"""The arithmetic of a rolling update: how many replicas each ReplicaSet may have next. Pure, integers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `replicas + surge` pods, at least `replicas - unavailable` of them available."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """Pods there may be."""
        return self.replicas + self.surge

    @property
    def least(self) -> int:
        """Pods that must be available."""
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A ReplicaSet in numbers; `age` sorts older first, `most` is the `max-replicas` it was last sized for."""

    name: str
    wanted: int
    available: int
    age: tuple[str, str] = ("", "")
    most: int = 0


def resolve_share(value: int | str | None, replicas: int, *, up: bool) -> int:
    """An integer, or a percentage of `replicas` rounded up or down; raises ValueError."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    text = value.strip()
    if not text.endswith("%"):
        raise ValueError(f"{value!r} is neither a number nor a percentage such as 25%")
    share = int(text[:-1]) * replicas
    return -(-share // 100) if up else share // 100


def rolling_budget(replicas: int, surge: int | str | None, unavailable: int | str | None) -> Budget:
    """Surge rounds up, unavailability down; if both come to nothing one pod may be missing, or nothing could move."""
    most = resolve_share(surge, replicas, up=True)
    missing = resolve_share(unavailable, replicas, up=False)
    if most == 0 and missing == 0:
        missing = 1
    return Budget(replicas=replicas, surge=most, unavailable=min(missing, replicas))


def next_new_size(budget: Budget, *, wanted: int, total: int) -> int:
    """The new ReplicaSet's size; `wanted` is its size now (0 if it is to be made), `total` that of all."""
    if wanted >= budget.replicas:
        return budget.replicas
    room = budget.most - total
    return wanted + max(0, min(room, budget.replicas - wanted))


def next_old_sizes(budget: Budget, new: Size | None, olds: Sequence[Size]) -> Mapping[str, int]:
    """The sizes of the old ReplicaSets that shrink.

    Replicas that are not available go first: they serve nobody. Then available ones, as far as the budget allows.
    """
    total = sum(old.wanted for old in olds) + (new.wanted if new else 0)
    pending = new.wanted - new.available if new else 0
    spare = total - budget.least - pending
    if spare <= 0:
        return {}
    sizes = {old.name: old.wanted for old in olds}
    by_age = sorted(olds, key=lambda old: old.age)
    for old in by_age:
        broken = min(max(0, old.wanted - old.available), spare)
        sizes[old.name] -= broken
        spare -= broken
    serving = sum(old.available for old in olds) + (new.available if new else 0)
    spare = serving - budget.least
    for old in by_age:
        going = min(sizes[old.name], max(0, spare))
        sizes[old.name] -= going
        spare -= going
    return {old.name: sizes[old.name] for old in olds if sizes[old.name] != old.wanted}


def proportional_sizes(budget: Budget, sets: Sequence[Size]) -> Mapping[str, int]:
    """Sizes when a Deployment is scaled in the middle of a rollout: each active ReplicaSet by its share.

    What rounding leaves over goes to the largest, among equals to the newest when growing, the oldest when shrinking.
    """
    allowed = budget.most if budget.replicas > 0 else 0
    change = allowed - sum(each.wanted for each in sets)
    # Two stable sorts: by age in the direction of the change, then the largest first.
    ranked = sorted(sets, key=lambda each: each.age, reverse=change > 0)
    ranked.sort(key=lambda each: -each.wanted)
    sizes: dict[str, int] = {}
    given = 0
    for each in ranked:
        share = 0
        if each.wanted and change and given != change:
            left = change - given
            fraction = _fraction(budget, each)
            share = min(fraction, left) if change > 0 else max(fraction, left)
        sizes[each.name] = each.wanted + share
        given += share
    if ranked and change:
        first = ranked[0].name
        sizes[first] = max(0, sizes[first] + change - given)
    return sizes


def _fraction(budget: Budget, each: Size) -> int:
    if budget.replicas == 0:
        return -each.wanted
    if each.most <= 0:
        return 0
    grown = each.wanted * budget.most / each.most
    return math.floor(grown + 0.5) - each.wanted
