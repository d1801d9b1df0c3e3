"""Envoy's conditions at their edges, which calls made at random seldom meet."""

from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher

from plait.simulate.request import Request
from plait.simulate.routes import header_holds


def request(*values: str) -> Request:
    headers = {"x": values} if values else {}
    return Request(method="GET", host="a", path="/", query=None, scheme="http", headers=headers)


@pytest.mark.parametrize(
    ("value", "holds"),
    [("-4", False), ("-3", True), ("0", True), ("14", True), ("15", False), ("1.5", False), ("", False)],
)
def test_a_range_begins_with_its_start_and_ends_before_its_end(value: str, holds: bool) -> None:
    matcher = HeaderMatcher(name="x", range_match={"start": -3, "end": 15})
    assert header_holds(matcher, request(value)) is holds
    matcher.invert_match = True
    assert header_holds(matcher, request(value)) is not holds


def test_what_is_absent_fails_every_comparison_but_counts_as_empty_where_that_is_said() -> None:
    for inverted in (False, True):
        matcher = HeaderMatcher(name="x", string_match={"exact": "1"}, invert_match=inverted)
        assert not header_holds(matcher, request())
        matcher.treat_missing_header_as_empty = True
        assert header_holds(matcher, request()) is inverted


def test_of_several_values_one_is_enough_and_inverted_none_may_fit() -> None:
    matcher = HeaderMatcher(name="x", string_match={"exact": "1"})
    assert header_holds(matcher, request("0", "1"))
    matcher.invert_match = True
    assert not header_holds(matcher, request("0", "1"))
    assert header_holds(matcher, request("0", "2"))
