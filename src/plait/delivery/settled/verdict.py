"""How far one generation of an object is, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["Settled", "Progressing", "Warming", "Rejected", "ProbeFailed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """Why a proxy refused what comes from an object, and from where in it (`path`, may be empty)."""

    proxy: str
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far one generation of an object is. The numbers are of proxies; `examples` are some of those that `state`
    is about, each with a reason if there is one.
    """

    generation: int
    state: State
    proxies: int = 0
    acknowledged: int = 0
    warming: int = 0
    rejected: int = 0
    settled: int = 0
    examples: tuple[str, ...] = ()
    blame: Blame | None = None

    @property
    def final(self) -> bool:
        """Nothing more will come of it by itself, or somebody has to act."""
        return self.state in {"Settled", "Rejected", "ProbeFailed"}
