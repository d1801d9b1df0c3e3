"""Dead routes: which earlier match takes everything that a later one is for (PLT0001)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.analyze.covering import form_of
from plait.analyze.fields import mapping, number, text
from plait.analyze.shadowing import COVERS, MOST_COVERED, Earlier, unreachable_rules
from plait.analyze.world import Item

from .test_messages import codes
from .worlds import SERVICE, istio

TO = "route: [{destination: {host: web}}]"

COVERED = [
    ("uri: {prefix: /a}", "uri: {exact: /a/b}"),
    ("uri: {prefix: /a}", "uri: {prefix: /a/b}, headers: {x: {exact: y}}"),
    ("uri: {prefix: /A}, ignoreUriCase: true", "uri: {exact: /a}"),
    ("uri: {prefix: /}", "uri: {regex: '/v[0-9]+'}"),
    ("uri: {regex: '.*'}", "uri: {exact: /a}"),
    ("headers: {X-Who: {}}", "headers: {x-who: {exact: me}}"),
    ("headers: {x: {prefix: a}}", "headers: {x: {exact: abc}, y: {exact: b}}"),
    ("queryParams: {q: {exact: '1'}}", "queryParams: {q: {exact: '1'}}, method: {exact: GET}"),
    ("withoutHeaders: {x: {exact: a}}", "withoutHeaders: {X: {exact: a}}, uri: {exact: /a}"),
    ("method: {regex: 'GET|PUT'}", "method: {regex: 'GET|PUT'}, port: 80"),
    ("port: 80", "port: 80, uri: {exact: /a}"),
    ("sourceLabels: {app: a}", "sourceLabels: {app: a, version: v1}"),
    ("sourceNamespace: a", "sourceNamespace: a, uri: {exact: /a}"),
    ("gateways: [mesh, a]", "gateways: [mesh], uri: {exact: /a}"),
    # With gateways named, nobody asks who calls.
    ("gateways: [mesh], sourceLabels: {app: a}", "gateways: [mesh], uri: {exact: /a}"),
]

APART = [
    ("uri: {exact: /a}", "uri: {prefix: /a}"),
    ("uri: {prefix: /a/b}", "uri: {prefix: /a}"),
    ("uri: {prefix: /A}", "uri: {exact: /a}"),
    ("uri: {prefix: /a}", "uri: {exact: /a}, ignoreUriCase: true"),
    ("uri: {prefix: /a}", "uri: {regex: '/a.*'}"),
    ("uri: {prefix: /a}", "headers: {x: {exact: y}}"),
    ("headers: {x: {exact: a}}", "headers: {x: {prefix: a}}"),
    ("headers: {x: {exact: a}}", "headers: {y: {exact: a}}"),
    ("queryParams: {q: {exact: '1'}}", "queryParams: {Q: {exact: '1'}}"),
    ("withoutHeaders: {x: {exact: a}}", "uri: {exact: /a}"),
    ("method: {exact: GET}", "method: {exact: PUT}"),
    ("authority: {exact: a}", "scheme: {exact: http}"),
    ("port: 80", "port: 81"),
    ("port: 80", "uri: {exact: /a}"),
    ("sourceLabels: {app: a, version: v1}", "sourceLabels: {app: a}"),
    ("sourceNamespace: a", "sourceNamespace: b"),
    ("gateways: [mesh]", "gateways: [a]"),
    ("gateways: [mesh]", "uri: {exact: /a}"),
    ("sourceLabels: {app: a}", "gateways: [mesh], sourceLabels: {app: a}"),
    ("sourceNamespace: a", "gateways: [mesh], sourceNamespace: a"),
    ("headers: {'@request.auth.claims.Sub': {}}", "headers: {'@request.auth.claims.sub': {exact: a}}"),
]


def world(*rules: str, protocol: str = "http") -> set[str]:
    spec = f"{{hosts: [web], gateways: [mesh, a], {protocol}: [{', '.join(rules)}]}}"
    return codes(SERVICE + istio("VirtualService", "web", spec), "VirtualService shop/web")


@pytest.mark.parametrize(("earlier", "later"), COVERED)
def test_a_rule_behind_one_that_takes_all_of_its_requests_is_dead(earlier: str, later: str) -> None:
    assert "PLT0001" in world(f"{{match: [{{{earlier}}}], {TO}}}", f"{{match: [{{{later}}}], {TO}}}")


@pytest.mark.parametrize(("earlier", "later"), APART)
def test_a_rule_that_may_still_get_a_request_is_not(earlier: str, later: str) -> None:
    assert "PLT0001" not in world(f"{{match: [{{{earlier}}}], {TO}}}", f"{{match: [{{{later}}}], {TO}}}")


def test_every_match_of_a_rule_must_be_taken_by_one_of_those_before() -> None:
    first, second = f"{{match: [{{uri: {{prefix: /a}}}}], {TO}}}", f"{{match: [{{uri: {{prefix: /b}}}}], {TO}}}"
    both = f"{{match: [{{uri: {{exact: /a/1}}}}, {{uri: {{exact: /b/1}}}}], {TO}}}"
    assert "PLT0001" in world(first, second, both)
    assert "PLT0001" not in world(first, both)


def test_what_a_delegate_does_not_take_goes_on() -> None:
    delegating = "{match: [{uri: {prefix: /a}}], delegate: {name: other}}"
    assert "PLT0001" not in world(delegating, f"{{match: [{{uri: {{exact: /a/b}}}}], {TO}}}")


def test_rules_for_connections_are_compared_by_names_and_subnets() -> None:
    def tls(earlier: str, later: str) -> set[str]:
        rules = [f"{{match: [{{port: 443, sniHosts: [{names}]}}], {TO}}}" for names in (earlier, later)]
        return world(*rules, protocol="tls")

    assert "PLT0001" in tls("a.example.com, b.example.com", "b.example.com")
    assert "PLT0001" not in tls("a.example.com", "a.example.com, b.example.com")
    wide, narrow = (
        f"{{match: [{{port: 80}}], {TO}}}",
        f"{{match: [{{port: 80, destinationSubnets: [10.0.0.0/8]}}], {TO}}}",
    )
    assert "PLT0001" in world(wide, narrow, protocol="tcp")
    assert "PLT0001" not in world(narrow, wide, protocol="tcp")


PATHS = st.sampled_from(["", "/", "/a", "/A", "/a/b", "/ab", ".*"])
TEXT = st.one_of(
    st.none(),
    st.just({}),
    st.builds(lambda kind, content: {kind: content}, st.sampled_from(["exact", "prefix", "regex"]), PATHS),
)
HEADERS = st.dictionaries(st.sampled_from(["x", "X", "y"]), TEXT, max_size=2)
HTTP = st.fixed_dictionaries(
    {"uri": TEXT, "headers": HEADERS},
    optional={
        "port": st.sampled_from([0, 80]),
        "ignoreUriCase": st.booleans(),
        "method": TEXT,
        "queryParams": st.dictionaries(st.sampled_from(["x", "y"]), TEXT, max_size=1),
    },
)
NAMES = st.lists(st.sampled_from(["a.example", "b.example"]), max_size=2)
ISTIO = st.fixed_dictionaries(
    {"uri": st.builds(lambda content: {"prefix": content}, st.text("/ab", max_size=4))},
    optional={
        "headers": HEADERS,
        "queryParams": st.dictionaries(st.sampled_from("xy"), TEXT, max_size=1),
        "withoutHeaders": st.dictionaries(st.just("x"), TEXT, max_size=1),
        "authority": TEXT,
        "method": st.sampled_from([None, {"exact": "GET"}, {"exact": "GETS"}, {"prefix": "G"}, {"regex": "GET"}]),
        "port": st.sampled_from([0, 80, "80"]),
    },
)
L4 = st.fixed_dictionaries(
    {}, optional={"sniHosts": NAMES, "port": st.sampled_from([0, 80]), "destinationSubnets": NAMES}
)


@pytest.mark.parametrize(("protocol", "matches"), [("http", HTTP), ("tls", L4), ("tcp", L4)])
@given(data=st.data())
def test_the_first_that_covers_a_match_is_found_without_looking_at_all(protocol: str, matches: Any, data: Any) -> None:
    earlier = data.draw(st.lists(matches, max_size=6))
    match = data.draw(matches)
    index = Earlier(protocol)
    for rule, before in enumerate(earlier):
        index.add(rule, before)
    covers = COVERS[protocol]
    assert index.first(match) == next((rule for rule, before in enumerate(earlier) if covers(before, match)), None)


def test_two_entries_for_one_header_both_hold() -> None:
    before = {"headers": {"x": {"exact": "a"}, "X": {}}}
    assert not COVERS["http"](before, {"headers": {"x": {}}})
    assert COVERS["http"](before, {"headers": {"x": {"exact": "a"}}})
    assert COVERS["http"]({"withoutHeaders": {"x": {}}}, {"withoutHeaders": {"X": {}, "x": {"exact": "b"}}})


def virtual_service(matches: list[list[dict[str, Any]]]) -> Item:
    http = [{"match": each, "route": [{"destination": {"host": "web"}}]} for each in matches]
    return Item(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"hosts": ["web"], "http": http},
        }
    )


def covered_by_istio(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Istio's comparison of two matches, each with each."""
    shorter, longer = text(before, "uri", "prefix"), text(after, "uri", "prefix")
    if not shorter or shorter == longer or not longer.startswith(shorter):
        return False
    if number(before, "port") != number(after, "port"):
        return False
    methods = [form_of(mapping(match, "method")) or "exact:GET" for match in (before, after)]
    authorities = [form_of(mapping(match, "authority")) for match in (before, after)]
    if not methods[0].startswith(methods[1]) or not authorities[0].startswith(authorities[1]):
        return False
    pairs = [(mapping(before, field), mapping(after, field)) for field in ("headers", "queryParams", "withoutHeaders")]
    return all(
        first.keys() == second.keys() and all(form_of(first[name]).startswith(form_of(second[name])) for name in first)
        for first, second in pairs
    )


def content(match: dict[str, Any]) -> str:
    return json.dumps(match, sort_keys=True)


@given(st.lists(st.lists(ISTIO, min_size=1, max_size=2), max_size=8))
def test_prefixes_that_an_earlier_one_covers_are_those_of_a_comparison_of_each_with_each(
    rules: list[list[dict[str, Any]]],
) -> None:
    flat = [(index, place, match) for index, rule in enumerate(rules) for place, match in enumerate(rule)]
    wanted: list[tuple[str, str]] = []
    for number_, (index, place, match) in enumerate(flat):
        before = flat[:number_]
        if any(content(earlier) == content(match) for _, _, earlier in before):
            continue
        wanted += [
            (f"spec.http[{index}].match[{place}]", f"in spec.http[{rule}].match[{inner}]")
            for at, (rule, inner, earlier) in enumerate(before)
            if covered_by_istio(earlier, match)
            and not any(content(earlier) == content(other) for _, _, other in before[:at])
        ]
    told = [one for one in unreachable_rules(virtual_service(rules)) if "(prefix " in one.text]
    assert [(one.path, one.text[one.text.rindex("in spec") :]) for one in told] == wanted


def test_of_very_many_covered_prefixes_the_rest_is_a_number() -> None:
    rules = [[{"uri": {"prefix": "/" + "a" * length}}] for length in range(60)]
    told = unreachable_rules(virtual_service(rules))
    assert len(told) == MOST_COVERED + 1
    # 0 + 1 + … + 44 = 990: the rule of index 45 has 45, of which 10 are told.
    assert told[-1].path == "spec.http"
    assert told[-1].text.startswith("15 more matches are already taken by earlier prefixes")


@pytest.mark.parametrize(
    "match",
    [
        lambda place: {"uri": {"prefix": "/"}, "headers": {"user": {"regex": f"u{place}"}}},
        lambda place: {"queryParams": {"user": {"exact": f"u{place}"}}, "method": {"exact": "GET"}},
        lambda place: {"uri": {"prefix": "/" + "a" * (place % 100)}, "authority": {"prefix": f"u{place:05}"}},
        lambda place: {"uri": {"prefix": f"/{place % 100}"}, "port": 1 + place},
    ],
)
def test_of_many_matches_each_is_compared_with_few(match: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def covers(*pair: Any) -> bool:
        compared.append(pair)
        return COVERED_BY_RULE(*pair)

    monkeypatch.setitem(COVERS, "http", covers)
    index = Earlier("http")
    for place in range(3000):
        assert index.first(match(place)) is None
        index.add(place, match(place))
    assert len(compared) < 3000
    assert not unreachable_rules(virtual_service([[match(place)] for place in range(3000)]))


COVERED_BY_RULE = COVERS["http"]
