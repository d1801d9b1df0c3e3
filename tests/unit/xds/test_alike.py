"""Sequences that are mostly as they were: what is found alike, and that remembered results are those made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plait.kit.alike import Mapped, alike

NUMBERS = st.lists(st.integers(0, 3), max_size=80).map(tuple)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_both_ends_are_alike_and_the_next_elements_are_not(
    head: tuple[int, ...], one: tuple[int, ...], two: tuple[int, ...], tail: tuple[int, ...]
) -> None:
    before, now = head + one + tail, head + two + tail
    start, end = alike(before, now)
    assert before[:start] == now[:start]
    assert end == 0 or before[-end:] == now[-end:]
    most = min(len(before), len(now))
    assert len(head) <= start <= most
    assert start + end <= most
    assert start == most or before[start] != now[start]
    assert start + end == most or before[-1 - end] != now[-1 - end]


@given(st.lists(st.tuples(st.sampled_from("ab"), NUMBERS, st.booleans()), max_size=12))
def test_what_is_remembered_is_what_would_be_made(calls: list[tuple[str, tuple[int, ...], bool]]) -> None:
    remembered: Mapped[int, int] = Mapped(1)
    contexts = {True: object(), False: object()}
    for key, elements, plus in calls:
        made = remembered.get(key, elements, lambda n, plus=plus: n + plus, contexts[plus])
        assert made == tuple(n + plus for n in elements)


def test_only_new_elements_are_looked_at() -> None:
    seen: list[int] = []
    remembered: Mapped[int, int] = Mapped(8)
    remembered.get("key", tuple(range(100)), lambda n: n)
    remembered.get("key", (*range(50), 1000, *range(50, 100)), lambda n: seen.append(n) or n)
    assert seen == [1000]
