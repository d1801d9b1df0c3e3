"""Whatever stands in an object, no analyzer breaks: what it cannot read it passes over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.analyze.analysis import analyze, judge
from plait.analyze.registry import ANALYZERS
from plait.analyze.world import Item, World
from plait.api.yaml import objects, read_yaml

from .worlds import CASES

WORLDS = [list(objects(read_yaml(case.world))) for case in CASES]
JUNK: list[Any] = [None, 0, -1, 1.5, True, "", "x", "*", "a/b", "~", [], [None], ["x"], {}, {"a": None}, {"": []}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from places(inner)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_object_breaks_an_analyzer(data: st.DataObject) -> None:
    world = copy.deepcopy(WORLDS[data.draw(st.integers(0, len(WORLDS) - 1))])
    for _ in range(data.draw(st.integers(1, 4))):
        known = list(places(world))
        container, key = known[data.draw(st.integers(0, 10_000)) % len(known)]
        container[key] = copy.deepcopy(JUNK[data.draw(st.integers(0, len(JUNK) - 1))])
    items = [Item(one) for one in world if isinstance(one, dict)]
    made = World(items)
    assert not [found.text for found in analyze(made, ANALYZERS) if found.code == "IST0001"]
    for item in items:
        with made.trying(item):
            assert not [found.text for found in judge(made, item) if found.code == "IST0001"]
