from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.controllers.rolling import (
    Budget,
    Size,
    next_new_size,
    next_old_sizes,
    proportional_sizes,
    resolve_share,
    rolling_budget,
)


@pytest.mark.parametrize(
    ("value", "replicas", "up", "expected"),
    [
        (3, 10, True, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("25%", 1, True, 1),
        ("25%", 1, False, 0),
        ("100%", 7, False, 7),
        ("0%", 7, True, 0),
        (None, 7, True, 0),
    ],
)
def test_surge_rounds_up_and_unavailability_down(value, replicas, up, expected):
    assert resolve_share(value, replicas, up=up) == expected


def test_what_is_no_share_is_named():
    with pytest.raises(ValueError, match="'many' is neither a number nor a percentage"):
        resolve_share("many", 3, up=True)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "most", "least"),
    [
        (1, "25%", "25%", 2, 1),
        (3, "25%", "25%", 4, 3),
        (4, "25%", "25%", 5, 3),
        (10, 0, "25%", 10, 8),
        (10, 0, 0, 10, 9),
        (2, 1, 5, 3, 0),
        (0, "25%", "25%", 0, 0),
    ],
)
def test_budget(replicas, surge, unavailable, most, least):
    budget = rolling_budget(replicas, surge, unavailable)
    assert (budget.most, budget.least) == (most, least)


@pytest.mark.parametrize(
    ("wanted", "total", "expected"),
    [(0, 10, 3), (0, 0, 10), (3, 13, 3), (8, 8, 10), (12, 12, 10), (10, 15, 10), (0, 20, 0)],
)
def test_the_new_grows_into_the_room_there_is(wanted, total, expected):
    assert next_new_size(Budget(replicas=10, surge=3, unavailable=2), wanted=wanted, total=total) == expected


def size(name: str, wanted: int, available: int, **more: object) -> Size:
    return Size(name=name, wanted=wanted, available=available, age=(name, ""), **more)


@pytest.mark.parametrize(
    ("new", "olds", "expected"),
    [
        # 13 pods, none of the new ready: 2 of the old may go
        (size("n", 3, 0), [size("a", 10, 10)], {"a": 8}),
        # as the new become ready, as many of the old go
        (size("n", 5, 3), [size("a", 8, 8)], {"a": 5}),
        # broken ones go before any that serve, from whichever they are
        (size("n", 3, 0), [size("a", 5, 5), size("b", 5, 3)], {"b": 3}),
        # nothing to give
        (size("n", 2, 0), [size("a", 8, 8)], {}),
        (size("n", 10, 10), [size("a", 3, 3)], {"a": 0}),
        (size("n", 10, 10), [size("a", 2, 2), size("b", 1, 0)], {"a": 0, "b": 0}),
    ],
)
def test_the_old_shrink_as_far_as_enough_stay_available(new, olds, expected):
    assert next_old_sizes(Budget(replicas=10, surge=3, unavailable=2), new, olds) == expected


@pytest.mark.parametrize(
    ("budget", "sets", "expected"),
    [
        # the example of the Kubernetes documentation: 10 -> 15, surge 3
        (
            Budget(replicas=15, surge=3, unavailable=2),
            [size("a", 8, 8, most=13), size("b", 5, 0, most=13)],
            {"a": 11, "b": 7},
        ),
        (
            Budget(replicas=5, surge=2, unavailable=1),
            [size("a", 8, 8, most=13), size("b", 5, 0, most=13)],
            {"a": 4, "b": 3},
        ),
        (
            Budget(replicas=0, surge=0, unavailable=0),
            [size("a", 3, 3, most=4), size("b", 1, 0, most=4)],
            {"a": 0, "b": 0},
        ),
    ],
)
def test_scaling_in_between_keeps_the_proportions(budget, sets, expected):
    assert proportional_sizes(budget, sets) == expected


shares = st.one_of(st.integers(0, 12), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(
    replicas=st.integers(0, 20),
    surge=shares,
    unavailable=shares,
    olds=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=3),
    luck=st.randoms(use_true_random=False),
)
def test_every_rolling_update_ends_and_keeps_its_budget(replicas, surge, unavailable, olds, luck):
    budget = rolling_budget(replicas, surge, unavailable)
    sets = [Size(name=f"o{n}", wanted=w, available=min(w, a), age=(str(n), "")) for n, (w, a) in enumerate(olds)]
    new = Size(name="n", wanted=0, available=0, age=("9", ""))
    at_most = max(budget.most, sum(old.wanted for old in sets))
    for _ in range(300):
        total = new.wanted + sum(old.wanted for old in sets)
        grown = next_new_size(budget, wanted=new.wanted, total=total)
        if grown != new.wanted:
            new = Size(name="n", wanted=grown, available=min(new.available, grown), age=new.age)
        else:
            before = new.available + sum(old.available for old in sets)
            sizes = next_old_sizes(budget, new, sets)
            # The pods that go are those that are not ready, as long as there are any.
            sets = [
                Size(name=o.name, wanted=(w := sizes.get(o.name, o.wanted)), available=min(o.available, w), age=o.age)
                for o in sets
            ]
            after = new.available + sum(old.available for old in sets)
            assert after == before or after >= budget.least
        assert new.wanted + sum(old.wanted for old in sets) <= at_most
        if new.available < new.wanted and luck.random() < 0.7:
            new = Size(name="n", wanted=new.wanted, available=new.available + 1, age=new.age)
    assert new.wanted == replicas
    assert all(old.wanted == 0 for old in sets)
