"""What a proxy says of a call's token, in a person's words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from plait.snapshot.tokens import source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.mesh.tokens import TokenRule
    from plait.simulate.call import Outcome
    from plait.simulate.jwt import Token, Verdict
    from plait.simulate.token_judgement import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """`words` say why; `origin` is the rule that decides, `principal` whom a valid token names (ISSUER/SUBJECT).

    `place` is where the token was found. Nothing of a token itself is shown but what explains the verdict.
    """

    verdict: Verdict
    status: int
    words: str
    origin: str = ""
    place: str = ""
    principal: str = ""


def token_answer(met: Outcome, rules: Sequence[TokenRule]) -> TokenAnswer | None:
    """What was said of the token of a call; None: nobody looks at tokens there. `rules` are those of the proxy."""
    if met.tokens is None or not rules:
        return None
    found, status = met.tokens.decisive, met.tokens.status
    rule = rules[int(found.provider.rpartition("-")[2])]
    of_rule = found.verdict not in {"missing", "wrong issuer"} or len(rules) == 1
    return TokenAnswer(
        verdict=found.verdict,
        status=status,
        words=_missing(rules, status)
        if found.token is None and found.verdict == "missing"
        else _words(found, rules, rule),
        origin=str(rule.origin) if of_rule else "",
        place=found.place,
        principal=_principal(found.token) if found.token is not None and found.verdict == "valid" else "",
    )


def _principal(token: Token) -> str:
    return f"{token.issuer}/{token.claims.get('sub', '')}"


def _missing(rules: Sequence[TokenRule], status: int) -> str:
    places = ", ".join(dict.fromkeys(place for each in rules for place in _places(each)))
    if status:
        return f"there is no token, and one is demanded: in {places}"
    return f"there is none in {places}; without one a request goes on, and has no principal"


def _places(rule: TokenRule) -> list[str]:
    given = rule.rule
    found = [f"header {each.name}" for each in given.from_headers]
    found += [f"query parameter {each}" for each in given.from_params]
    found += [f"cookie {each}" for each in given.from_cookies]
    return found or ["header authorization (Bearer)", "query parameter access_token"]


def _words(found: Found, rules: Sequence[TokenRule], rule: TokenRule) -> str:
    token = found.token
    if token is None:
        if found.verdict == "unknown algorithm":
            return "it is signed in a way that no proxy verifies"
        return "it is no token: not three parts in base64url with JSON in the first two, or claims of another type"
    match found.verdict:
        case "valid":
            return f"of {token.issuer or 'an issuer that it does not name'}"
        case "wrong issuer":
            wanted = ", ".join(dict.fromkeys(each.rule.issuer for each in rules if each.rule.issuer))
            return f"its issuer is {token.issuer or 'not named'}; rules are for {wanted}"
        case "expired":
            return f"it was valid until {_time(token.time('exp'))}"
        case "not yet valid":
            return f"it is valid from {_time(token.time('nbf'))} on"
        case "wrong audience":
            audiences = ", ".join(token.audiences) or "nobody in particular"
            return f"it is for {audiences}; the rule wants {', '.join(rule.rule.audiences)}"
        case "no keys":
            source = source_of(rule.rule)
            where = source.url if source is not None else "the rule's jwks"
            return f"there are no keys to verify it with: {where} has given none that a proxy can use"
        case "unknown key":
            named = f"{token.key_name!r} " if token.key_name else ""
            return f"no key of its issuer has its name {named}and algorithm {token.algorithm}"
        case _:
            return "no key of its issuer has made its signature: it was changed, or is somebody else's"


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
