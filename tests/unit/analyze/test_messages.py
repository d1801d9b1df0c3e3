"""Every message: a world that has it, and the same world mended."""

from __future__ import annotations

import pytest

from plait.analyze.analysis import analyze
from plait.analyze.meanings import MEANINGS
from plait.analyze.messages import MESSAGES
from plait.analyze.registry import ANALYZERS
from plait.analyze.world import Item, World
from plait.api.yaml import objects, read_yaml

from .worlds import CASES, Case

#: Tested where what they need is at hand: certificates, keys, several clusters, a broken analyzer.
ELSEWHERE = {"IST0001", "IST0170", "PLT0013", "PLT0015", "PLT0017", "PLT0020"}


def codes(text: str, resource: str) -> set[str]:
    reading = read_yaml(text)
    assert not reading.problems, reading.problems
    world = World(Item(obj) for obj in objects(reading))
    return {found.code for found in analyze(world, ANALYZERS) if found.resource == resource}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_message_is_given_where_it_is_due_and_goes_when_the_world_is_mended(case: Case) -> None:
    assert case.code in codes(case.world, case.resource)
    mended = case.world
    for old, new in case.mends:
        assert old in mended
        mended = mended.replace(old, new)
    assert case.code not in codes(mended, case.resource)
    assert "IST0001" not in codes(case.world, "Analyzer")


def test_every_message_that_can_be_given_is_tested_and_explained() -> None:
    possible = {code for code, message in MESSAGES.items() if not message.unreported}
    assert {case.code for case in CASES} | ELSEWHERE == possible
    assert set(MEANINGS) == set(MESSAGES)


def test_analyzers_say_which_messages_they_give() -> None:
    promised = {message.code for analyzer in ANALYZERS for message in analyzer.messages}
    promised |= {"IST0001", "PLT0015", "PLT0020"}
    assert promised == {code for code, message in MESSAGES.items() if not message.unreported}
    assert len({analyzer.name for analyzer in ANALYZERS}) == len(ANALYZERS)
    for case in CASES:
        reading = read_yaml(case.world)
        world = World(Item(obj) for obj in objects(reading))
        for analyzer in ANALYZERS:
            given = {found.message for found in analyze(world, [analyzer])}
            assert given <= set(analyzer.messages), analyzer.name
