"""Durations in Go's syntax."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("1.5s", 1.5), ("300ms", 0.3), ("1h2m3s", 3723), (".5s", 0.5), ("0", 0), ("-1s", -1), ("7200s", 7200)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1d", "one", "1s ", "1e3s", "٣s", "9" * 40 + "h"])
def test_other_texts_are_none(text: str) -> None:
    assert parse_duration(text) is None


@given(st.text(alphabet="0123456789.+-nuµmsh ", max_size=70))
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(parse_duration(text), timedelta | None)
