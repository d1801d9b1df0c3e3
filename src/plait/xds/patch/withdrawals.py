"""EnvoyFilters out of service: those that a proxy refused to run with. The proxy runs on without them."""

from __future__ import annotations

from collections.abc import Iterable

from plait.api.meta import ObjectKey
from plait.api.problem import Problem


class Withdrawals:
    """Which EnvoyFilters are not used, and why. One comes back when its spec changes.

    Of several that changed what was refused the one that changed last goes first: the others had been accepted before.
    """

    def __init__(self) -> None:
        self._reasons: dict[ObjectKey, str] = {}
        self._changed: dict[ObjectKey, int] = {}
        self._clock = 0

    def reason(self, rule: ObjectKey) -> str | None:
        """Why a rule is not used; None: it is."""
        return self._reasons.get(rule)

    def changed(self, rule: ObjectKey) -> bool:
        """Note that a rule is another now, or gone; True when that puts it back into service."""
        self._clock += 1
        self._changed[rule] = self._clock
        return self._reasons.pop(rule, None) is not None

    def withdraw(self, suspects: Iterable[ObjectKey], reason: str) -> ObjectKey | None:
        """Take the likeliest of `suspects` out of service; None when none is in service."""
        known = [rule for rule in suspects if rule not in self._reasons]
        if not known:
            return None
        chosen = max(known, key=lambda rule: (self._changed.get(rule, 0), rule))
        self._reasons[chosen] = reason
        return chosen

    def problem(self, rule: ObjectKey) -> Problem | None:
        """What its author has to know."""
        reason = self._reasons.get(rule)
        if reason is None:
            return None
        return Problem(
            object=rule,
            path="spec.configPatches",
            message=f"out of service, since Envoy refused what it makes: {reason}",
            fix="another patch; it is tried again as soon as it changes",
        )

    def rules(self) -> tuple[ObjectKey, ...]:
        """The rules out of service."""
        return tuple(sorted(self._reasons))
