"""How Envoy compares texts: its string matchers, and regular expressions by its own engine, RE2."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import re2

_GROUP: Final = re.compile(r"\\([0-9\\])")


@lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """A compiled pattern; raises ValueError for one that Envoy would not load either."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"{text!r} is no regular expression for RE2: {error}") from error


def quoted(text: str) -> str:
    """A text as a pattern that means nothing but itself."""
    return str(re2.escape(text))


def regex_holds(text: str, value: str) -> bool:
    """Whether the whole of a value has the form; Envoy never looks for a part of it."""
    return pattern(text).fullmatch(value) is not None


def rewritten(text: str, substitution: str, value: str) -> str:
    r"""Every match replaced, as RE2 does it: `\1` is the first group, `\0` all that matched."""

    def expanded(found: Any) -> str:
        return _GROUP.sub(lambda mark: mark[1] if mark[1] == "\\" else found[int(mark[1])] or "", substitution)

    return str(pattern(text).sub(expanded, value))


def string_holds(matcher: Any, text: str) -> bool:
    """Envoy's StringMatcher; `ignore_case` says nothing about a regex (Envoy: `(?i)` does)."""
    kind = matcher.WhichOneof("match_pattern")
    if kind == "safe_regex":
        return regex_holds(matcher.safe_regex.regex, text)
    wanted = str(getattr(matcher, kind)) if kind else ""
    if matcher.ignore_case:
        text, wanted = text.lower(), wanted.lower()
    match kind:
        case "exact":
            return text == wanted
        case "prefix":
            return text.startswith(wanted)
        case "suffix":
            return text.endswith(wanted)
        case "contains":
            return wanted in text
    return False


def any_holds(matchers: Any, text: str) -> bool:
    """Whether one of several StringMatchers holds."""
    return any(string_holds(each, text) for each in matchers)
