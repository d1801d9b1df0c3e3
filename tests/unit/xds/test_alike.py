"""Sequences that are mostly as they were: what is found alike, and that remembered results are those made anew."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from plait.kit.alike import Grouped, Mapped, Merged, alike

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


PARTS = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6).map(sorted), min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from("ab"), PARTS), max_size=12))
def test_what_is_merged_is_sorted(calls: list[tuple[str, list[list[int]]]]) -> None:
    remembered: Merged[tuple[int, int]] = Merged(1)
    for key, found in calls:
        parts = tuple(tuple((number, place) for number in part) for place, part in enumerate(found))
        assert remembered.get(key, parts) == tuple(sorted(chain.from_iterable(parts)))


NAMES = st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")).map(".".join)).map(sorted).map(tuple)


@given(st.lists(st.tuples(st.sampled_from("ab"), NAMES), max_size=12))
def test_blocks_are_those_that_would_be_made(calls: list[tuple[str, tuple[str, ...]]]) -> None:
    remembered: Grouped[str] = Grouped(1, lambda name: name[-1])
    for key, names in calls:
        expected = [tuple(name for name in names if name.endswith(group)) for group in "xyz"]
        assert [block.members for block in remembered.get(key, names)] == [each for each in expected if each]


def test_a_block_with_the_same_elements_stays_and_is_equal_to_others() -> None:
    remembered: Grouped[str] = Grouped(8, lambda name: name[-1])
    before = remembered.get("key", ("a.x", "a.y", "b.x"))
    now = remembered.get("key", ("a.x", "a.y", "b.x", "c.x"))
    assert now[1] is before[1]
    assert now[0] == remembered.get("other", ("a.x", "b.x", "c.x"))[0] != before[0]
