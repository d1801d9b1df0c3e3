"""Patterns as RE2 takes them; tests/envoy/xds compares the same table with a real Envoy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.regex import regex_error

GOOD = [
    "a", "a|b", "^(.*?;)?(user=jason)(;.*)?$", "(?i)x", "(?i:x)y", "(?P<n>a)", "[a-z]{1,3}", "a{2,}", "a{,3}", "{",
    r"\d+\.\w*", r"\pL\p{Greek}\P{^Lu}", "[[:alpha:]_]", "[]a]", "[^]]", "[a-]", r"\x41\x{FF}", r"\Qa(b\E", "a*?",
    "é+", r"\012", "(a|)", "a{1000}", "(?s-i).", r"[\d\-]", "}", "a]", r"\p{Adlam}", "a(?i)*", "a*(?i)*", r"a\Q\E+",
    "(?)a", r"[\x41-Z]", r"[\d-z]", r"\377",
]  # fmt: skip
BAD = [
    "(", ")", "a)", "[a", "[z-a]", "a**", "*a", "a{2}{3}", "a{1001}", "a{3,2}", "(?=a)", "(?!a)", "(?<=a)b",
    r"(a)\1", "\\", r"\p{Klingon}", r"\px", "[[:klingon:]]", r"\x4", r"\x{100}", "(?P<é>x)", r"\Q\E*", "(?i)*",
    "(?P<>a)", r"\y", "(?z)", "(?>a)", "(a{100}){100}", "a++", "(?", "(?P<n", "[", "[a-", "(?P<a>x)(?P<a>y)",
    "{2}", "a|{2}", "({2,3})", r"[a-\d]", r"[z-\x41]", r"\E", r"\400", "|(?i)+",
]  # fmt: skip
#: RE2 takes them, but Istio asks Go.
GO = [r"\C", r"\é", "é\\é"]


@pytest.mark.parametrize("pattern", GOOD)
def test_what_re2_takes_is_taken(pattern: str) -> None:
    assert regex_error(pattern) is None


@pytest.mark.parametrize("pattern", [*BAD, *GO])
def test_what_re2_refuses_is_refused_with_a_reason(pattern: str) -> None:
    assert regex_error(pattern)


@given(st.text(alphabet="ab()[]{}*+?|\\^$.-:,0123PpQEx<>=!i", max_size=40))
def test_any_text_gets_an_answer(pattern: str) -> None:
    assert regex_error(pattern) is None or isinstance(regex_error(pattern), str)
