"""Manifests as kubectl reads them, with positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.yaml import objects, read_yaml


def one(text: str) -> Any:
    reading = read_yaml(text)
    assert reading.problems == ()
    return reading.documents[0].value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("off", False), ("y", True), ('"yes"', "yes"), ("010", 8), ("0x1F", 31), ("12:30", "12:30"),
        ("1_000", 1000), ("1e3", 1000.0), ("2026-11-22", "2026-11-22"), ("~", None), ("", None), ("1.5", 1.5),
        ("0b11", 3), ("v1", "v1"), ("1.2.3", "1.2.3"), ("!!str 12", "12"), ("-", None), ("09", 9.0), (".5", 0.5),
    ],
)  # fmt: skip
def test_plain_scalars_are_what_go_makes_of_them(text: str, value: Any) -> None:
    if text == "-":
        assert one("a:\n-\n") == {"a": [None]}
    else:
        assert one(f"a: {text}\n") == {"a": value}


def test_an_ipv6_prefix_is_text() -> None:
    assert one("a:\n- 2001:db8::\n- 2001:db8::/32\n") == {"a": ["2001:db8::", "2001:db8::/32"]}


def test_keys_are_text_and_merge_keys_merge() -> None:
    assert one("1: a\ntrue: b\n") == {"1": "a", "true": "b"}
    assert one("base: &b {x: 1, z: 2}\na:\n  <<: *b\n  z: 3\n")["a"] == {"x": 1, "z": 3}


def test_positions_lead_from_a_path_to_a_line() -> None:
    text = "# head\n---\nkind: VirtualService\nspec:\n  http:\n  - route:\n    - weight: 90\n"
    (document,) = read_yaml(text, "a.yaml").documents
    assert document.line == 3
    assert document.position("spec.http[0].route[0].weight") == (7, 7)
    assert document.position("spec.http[0].route[0].destination.host") == (7, 7)
    assert document.position("metadata.name") == (3, 1)


def test_a_broken_document_does_not_hide_the_others() -> None:
    reading = read_yaml("a: [\n---\nb: 1\nb: 2\n--- # comment\nc: 3\n---\n", "f.yaml")
    assert [document.value for document in reading.documents] == [{"c": 3}]
    assert [str(problem).split(": ")[0] for problem in reading.problems] == ["f.yaml:2:1", "f.yaml:4:1"]
    assert "already set" in reading.problems[1].message


def test_a_document_with_a_key_twice_can_still_be_looked_at() -> None:
    reading = read_yaml("spec:\n  a: {b: {c: 1}}\n  a:\n    d: 2\n---\nb: 1\n")
    assert [document.value for document in reading.documents] == [{"b": 1}]
    (doubtful,) = reading.doubtful
    assert doubtful.value == {"spec": {"a": {"d": 2}}}
    assert [doubtful.position(path) for path in ("spec.a", "spec.a.d", "spec.a.b.c")] == [(3, 3), (4, 5), (3, 3)]


def test_every_key_that_stands_twice_is_told() -> None:
    reading = read_yaml("a: 1\na: 2\nb: {c: 1, c: 2}\nd: 1\n")
    assert [(p.line, p.column, p.message.split()[1]) for p in reading.problems] == [(2, 1, "'a'"), (3, 11, "'c'")]
    assert reading.documents == ()


def test_lists_are_taken_apart() -> None:
    assert list(objects(read_yaml("kind: List\nitems:\n- {kind: A}\n- {kind: B}\n---\nkind: C\n"))) == [
        {"kind": "A"},
        {"kind": "B"},
        {"kind": "C"},
    ]


def test_neither_depth_nor_aliases_exhaust_the_reader() -> None:
    assert "deep" in read_yaml("[" * 100_000).problems[0].message
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "more than" in read_yaml(bomb).problems[0].message


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n ,?<~%@\t0\ufeff", max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    read_yaml(text)


def test_other_peoples_manifests_are_read(shared: Path) -> None:
    for path in sorted(shared.glob("sockshop-istio/**/*.yaml")):
        reading = read_yaml(path.read_text(), path.name)
        assert reading.documents
        assert reading.problems == ()
