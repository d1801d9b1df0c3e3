"""What the three layers together (schema, CEL rules, meaning) take and refuse, kind by kind: `istio_rows.txt`.

A row is a verdict, a frame of test_istio_rules and the text that goes into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plait.app.objects.validate import validator

from .test_istio_rules import framed

ROWS = Path(__file__).with_name("istio_rows.txt").read_text().splitlines()


def faults(frame: str, text: str, **metadata: Any) -> list[str]:
    return [str(found) for found in validator().check(framed(frame, text, **metadata)) if found.is_error]


@pytest.mark.parametrize("row", ROWS)
def test_rows(row: str) -> None:
    head, _, text = row.partition(":")
    verdict, frame = head.split()
    found = faults(frame, text.strip())
    assert bool(found) == (verdict == "refuses"), found


@pytest.mark.parametrize(
    ("length", "frame", "text"),
    [
        (1024, "route", "match: [{{uri: {{regex: {}}}}}]"),
        (1024, "route", "rewrite: {{uriRegexRewrite: {{match: {}, rewrite: b}}}}"),
        (256, "wasm", "url: 'http://a.com', pluginName: {}"),
        (253, "wasm", "url: 'http://a.com', imagePullSecret: {}"),
        (256, "wasm", "url: 'http://a.com', vmConfig: {{env: [{{name: {}}}]}}"),
    ],
)
def test_texts_have_a_greatest_length(length: int, frame: str, text: str) -> None:
    assert not faults(frame, text.format("a" * length))
    assert faults(frame, text.format("a" * (length + 1)))


@pytest.mark.parametrize("name", ["parents", "parent-namespace", "webhook-always-reject"])
def test_annotations_of_istio_itself_are_not_for_users(name: str) -> None:
    assert faults("dr", "host: a.b", annotations={f"internal.istio.io/{name}": "x"})


@pytest.mark.parametrize(
    ("refused", "frame", "text", "value"),
    [
        (True, "rule", "hosts: [a.com]", "true"),
        (False, "authz", "rules: [{}]", "false"),
        (False, "authz", "action: DENY, rules: [{}]", "true"),
        (True, "authz", "rules: [{}]", "xyz"),
        (True, "authz", "action: AUDIT, rules: [{}]", "true"),
        (True, "authz", "action: CUSTOM, provider: {name: a}, rules: [{}]", "true"),
    ],
)
def test_what_can_be_tried_without_effect(refused: bool, frame: str, text: str, value: str) -> None:
    assert bool(faults(frame, text, annotations={"istio.io/dry-run": value})) == refused


def test_the_name_of_a_gateway_is_a_label() -> None:
    server = "servers: [{hosts: ['*'], port: {number: 80, name: h, protocol: HTTP}}]"
    assert not faults("gw", server)
    assert faults("gw", server, name="a.b")
