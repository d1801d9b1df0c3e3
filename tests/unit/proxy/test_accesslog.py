"""Access log lines as a gateway and sidecars wrote them, and their words."""

from __future__ import annotations

import json

import pytest
from envoy.config.accesslog.v3.accesslog_pb2 import ResponseFlagFilter

from plait.proxy.accesslog import Explainer, read_record
from plait.proxy.flags import FLAGS

OVERFLOW = (
    '[2026-11-22T23:51:07.113Z] "GET /index.html HTTP/1.1" 503 UO upstream_reset_before_response_started{overflow} - '
    '"-" 0 81 0 - "-" "fortio.org/fortio-1.60" "7d5b" "front-end:80" "-" outbound|80||front-end.sock-shop.svc.cluster'
    '.local - 10.42.170.9:80 10.42.0.31:40122 - default "VirtualService/sock-shop/front-end spec.http[0]"'
)
REFUSED = (
    '[2026-11-22T23:51:09.002Z] "GET / HTTP/1.1" 503 UF,URX upstream_reset_before_response_started'
    "{remote_connection_failure|delayed_connect_error:_Connection_refused} - "
    '"delayed_connect_error:_Connection_refused" 0 145 3 - "-" "curl/7.88.1" "a1" "catalogue" "10.42.0.12:80" '
    "outbound|80|v1|catalogue.sock-shop.svc.cluster.local"
    " - 10.42.130.2:80 10.42.0.31:51880 - -"
)
PASSED = (
    '[2026-11-22T23:51:09.002Z] "GET /orders HTTP/1.1" 500 - via_upstream - "-" 0 145 3 2 "-" "curl/7.88.1" "a1" '
    '"orders" "10.42.0.12:80" outbound|80||orders.sock-shop.svc.cluster.local - 10.42.130.2:80 10.42.0.31:51880 - -'
)
TCP = (
    '[2026-11-22T23:51:09.002Z] "- - -" 0 UF,URX - - "delayed_connect_error:_Connection_refused" 0 0 1002 - "-" "-" '
    '"-" "-" "10.42.0.7:3306" outbound|3306||catalogue-db.sock-shop.svc.cluster.local - 10.42.0.7:3306 10.42.0.5:1 - -'
)


def test_the_table_has_every_flag_that_envoy_has() -> None:
    field = ResponseFlagFilter.DESCRIPTOR.fields_by_name["flags"]
    (rules,) = [value for option, value in field.GetOptions().ListFields() if option.name == "rules"]
    in_envoy = set(getattr(rules.repeated.items.string, "in"))
    assert len(in_envoy) >= 30
    assert set(FLAGS) == in_envoy


@pytest.mark.parametrize("flag", FLAGS.values(), ids=lambda flag: flag.name)
def test_every_flag_has_words_whatever_the_line_tells(flag) -> None:
    head = "[2026-11-22T23:51:07.113Z]"
    (first, cause, look) = Explainer("a.b").explain(f'{head} "GET / HTTP/1.1" 503 {flag.name} -')[:3]
    assert first.startswith(f"{flag.name}: {flag.title}: ")
    assert cause.startswith("  usual cause: ")
    assert look.startswith("  look at: ")
    assert "{" not in look


def test_an_overflow_names_the_destination_and_the_route_it_came_by() -> None:
    lines = Explainer("fortio-1.sock-shop").explain(OVERFLOW)
    assert lines[0].startswith("UO: upstream overflow: a circuit breaker was full")
    assert "connectionPool of front-end.sock-shop.svc.cluster.local" in lines[2]
    assert lines[-1] == "route: VirtualService/sock-shop/front-end spec.http[0]"


def test_a_flag_is_explained_in_full_once() -> None:
    explainer = Explainer("fortio-1.sock-shop")
    explainer.explain(OVERFLOW)
    assert explainer.explain(OVERFLOW)[0] == "UO: upstream overflow"


def test_several_flags_and_the_reason_of_the_transport() -> None:
    lines = Explainer("front-end-1.sock-shop").explain(REFUSED)
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "UF",
        "URX",
        "the other end, or the way to it",
    ]
    assert "plait proxy-config endpoint front-end-1.sock-shop --cluster 'outbound|80|v1|catalogue" in lines[2]
    assert lines[-1].endswith("delayed connect error: Connection refused")


def test_an_error_of_the_application_is_told_apart_from_those_of_the_mesh() -> None:
    (line,) = Explainer("a.b").explain(PASSED)
    assert line.startswith("500 came from the application of orders.sock-shop.svc.cluster.local itself")
    assert Explainer("a.b").explain(PASSED.replace(" 500 ", " 200 ")) == ()


def test_connections_without_http() -> None:
    record = read_record(TCP)
    assert record is not None
    assert (record.code, record.flags, record.host) == (0, ("UF", "URX"), "catalogue-db.sock-shop.svc.cluster.local")


def test_refusals_by_policy_have_no_flag_but_details() -> None:
    explainer = Explainer("a.b")
    for rule, says in (
        ("none", "no AuthorizationPolicy allows it; those that could: istioctl x authz check a.b"),
        ("ns[shop]-policy[writes]-rule[2]", "refused by AuthorizationPolicy/shop/writes spec.rules[2]"),
    ):
        line = PASSED.replace("500 - via_upstream", f"403 - rbac_access_denied_matched_policy[{rule}]")
        assert explainer.explain(line)[0] == f"rbac_access_denied: {says}"


def test_json_lines() -> None:
    line = json.dumps(
        {
            "response_code": 503,
            "response_flags": "NC",
            "response_code_details": "cluster_not_found",
            "authority": "shop",
            "origin": "VirtualService/s/f spec.http[0]",
        }
    )
    lines = Explainer("gw.istio-system").explain(line)
    assert lines[0].startswith("NC: upstream cluster not found")
    assert lines[-1] == "route: VirtualService/s/f spec.http[0]"


def test_a_quote_in_a_header_does_not_mislead() -> None:
    record = read_record(OVERFLOW.replace("fortio.org/fortio-1.60", 'odd "agent"'))
    assert record is not None
    assert record.host == "front-end.sock-shop.svc.cluster.local"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "{not json",
        "[1,2]",
        '{"level": "info"}',
        "[2026-11-22 23:51:07.113][12][warning][config] gRPC config stream closed",
        "[2026-11-22T23:51:07.113Z] not a request",
    ],
)
def test_other_lines_are_no_records(line: str) -> None:
    assert read_record(line) is None
    assert Explainer("a.b").explain(line) == ()


def test_an_unknown_flag_is_said_to_be_one() -> None:
    assert "does not know" in Explainer("a.b").explain(OVERFLOW.replace(" UO ", " XYZ "))[0]


def test_destinations_the_mesh_does_not_know() -> None:
    line = (
        '[2026-11-22T23:51:09.002Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - 1.2.3.4:443 - -'
    )
    assert any("REGISTRY_ONLY" in text for text in Explainer("a.b").explain(line))


def test_only_a_whole_value_is_an_origin() -> None:
    for last, expected in (
        ("VirtualService/s/f spec.http[0]", "VirtualService/s/f spec.http[0]"),
        ("DestinationRule/s/f", "DestinationRule/s/f"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", ""),
    ):
        record = read_record(f'{PASSED} "{last}"')
        assert record is not None
        assert record.origin == expected
