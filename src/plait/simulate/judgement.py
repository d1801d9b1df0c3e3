"""What filters of authorization say of a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one RBAC filter says. `rule` is the name of the one that held; empty: none did.

    `names` are all of its rules; `tried`: its say has no consequence. `asks` is a provider that is asked where a rule
    held: what it would answer is not known.
    """

    action: Literal["ALLOW", "DENY", "LOG"]
    allowed: bool
    rule: str = ""
    names: tuple[str, ...] = ()
    tried: bool = False
    asks: str = ""


def refusal(found: Iterable[Judgement]) -> Judgement | None:
    """The judgement that refuses; None: all let it through."""
    return next((each for each in found if not each.allowed and not each.tried), None)
