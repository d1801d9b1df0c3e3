"""What is said of the tokens of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from plait.simulate.jwt import Token, Verdict

_LITTLE: Final[tuple[Verdict, ...]] = ("missing", "wrong issuer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one provider says. `place` is where the token was found: a header, a query parameter or a cookie.

    `token` is None where there is none, or what there is cannot be read.
    """

    provider: str
    verdict: Verdict
    place: str = ""
    token: Token | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenJudgement:
    """`status` is the proxy's answer, 0: the request goes on. `found` is what each provider says that was asked."""

    status: int
    found: tuple[Found, ...]

    @property
    def decisive(self) -> Found:
        """Of several providers what explains the answer: a valid token, else the worst that is said of one."""
        valid = (each for each in self.found if each.verdict == "valid")
        bad = (each for each in self.found if each.verdict not in _LITTLE)
        foreign = (each for each in self.found if each.verdict != "missing")
        return next(valid, None) or next(bad, None) or next(foreign, None) or self.found[0]
