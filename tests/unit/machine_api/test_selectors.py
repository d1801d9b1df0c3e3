from __future__ import annotations

from typing import Any

import pytest

from plait.machine.api.errors import StatusError
from plait.machine.api.selectors import parse_fields, parse_labels, selector_text


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}}


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "1"}, True),
        ("a=1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1,2)", {"a": "2"}, True),
        ("a in (1, 2)", {"a": "3"}, False),
        ("a in (1)", {}, False),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "1"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("!a", {"b": ""}, True),
        ("a=1,b notin (x),!c", {"a": "1", "b": "y"}, True),
        ("a=1,b notin (x),!c", {"a": "1", "b": "x"}, False),
        ("a=", {"a": ""}, True),
        ("app.kubernetes.io/name=web", {"app.kubernetes.io/name": "web"}, True),
        ("a>3", {"a": "4"}, True),
        ("a<3", {"a": "4"}, False),
        ("a>3", {"a": "x"}, False),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], *, matches: bool) -> None:
    test = parse_labels(selector)
    assert test is not None
    assert test(labelled(**labels)) is matches


def test_objects_without_labels_are_matched_too() -> None:
    test = parse_labels("!a")
    assert test is not None
    assert test({"metadata": {"name": "x"}})


def test_an_empty_selector_is_none() -> None:
    assert parse_labels("") is None
    assert parse_fields("") is None


@pytest.mark.parametrize("selector", ["a in 1", "=x", "a=(", "a b"])
def test_a_malformed_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_labels(selector)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=x", True),
        ("metadata.name!=x", False),
        ("status.phase!=Failed,spec.nodeName=plait", True),
        ("spec.nodeName=", False),
        ("spec.unset=", True),
        ("spec.on=true", True),
    ],
)
def test_field_selectors(selector: str, *, matches: bool) -> None:
    test = parse_fields(selector)
    assert test is not None
    obj = {"metadata": {"name": "x"}, "spec": {"nodeName": "plait", "on": True}, "status": {"phase": "Running"}}
    assert test(obj) is matches


def test_a_malformed_field_selector_is_a_bad_request() -> None:
    with pytest.raises(StatusError):
        parse_fields("metadata.name")


def test_selector_text() -> None:
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "a=1,b=2,c in (x,y),!d"
    assert selector_text(None) == ""
