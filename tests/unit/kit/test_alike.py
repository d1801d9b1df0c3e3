"""What two sequences have in common at both ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plait.kit.alike import alike


class Named(tuple):
    """Equal to another of the same elements, and another object."""

    __slots__ = ()


ELEMENTS = st.lists(st.integers(0, 3), max_size=12)


def common(one: list[int], two: list[int]) -> int:
    """How many elements both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


@given(before=ELEMENTS, now=ELEMENTS)
def test_the_longest_beginning_and_of_the_rest_the_longest_end(before, now):
    start = common(before, now)
    end = common(before[start:][::-1], now[start:][::-1])
    assert alike(before, now) == (start, end)


@given(before=ELEMENTS, now=ELEMENTS)
def test_what_is_equal_is_alike_though_it_is_another_object(before, now):
    known = {each: Named((each,)) for each in before}
    others = tuple(Named((each,)) for each in now)
    assert alike(tuple(known[each] for each in before), others) == alike(before, now)
