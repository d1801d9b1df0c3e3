"""JSON objects -> typed objects and Problems; whatever the JSON, nothing is raised."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.decode import decode, decoded_kinds
from plait.api.problem import Level
from plait.api.virtualservice import VirtualService

ISTIO = "networking.istio.io/v1"
FIELDS = re.findall(
    r"\w+",
    """hosts host http match uri exact regex route destination subset subsets weight port number name labels
    trafficPolicy connectionPool tcp maxConnections servers selector gateways ports spec timeout retries attempts
    endpoints addresses conditions exportTo headers redirect clusterIP podIP status""",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def rule(http: Any, hosts: Any = ("reviews",), **spec: Any) -> dict[str, Any]:
    metadata = {"name": "r", "namespace": "shop"}
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": metadata,
        "spec": {"hosts": list(hosts), "http": http, **spec},
    }


def errors(obj: dict[str, Any]) -> list[str]:
    return [problem.path for problem in decode(obj).problems if problem.level is Level.ERROR]


def to(host: str = "reviews", **more: Any) -> dict[str, Any]:
    return {"destination": {"host": host}, **more}


@given(obj=JSON)
def test_arbitrary_json_is_never_an_exception(obj: Any) -> None:
    decode(obj)


@given(spec=JSON, kind=st.sampled_from([kind for _, kind in decoded_kinds()]), metadata=JSON)
def test_a_known_kind_with_arbitrary_content_is_never_an_exception(spec: Any, kind: str, metadata: Any) -> None:
    groups = {name: group for group, name in decoded_kinds()}
    version = f"{groups[kind]}/v1" if groups[kind] else "v1"
    named = {"name": "x", "namespace": "y", **(metadata if isinstance(metadata, dict) else {})}
    result = decode(
        {"apiVersion": version, "kind": kind, "metadata": named, "spec": spec, "status": spec, "ports": spec}
    )
    assert result.value is not None or result.key is None or result.problems


def test_every_version_of_a_kind_means_the_same() -> None:
    new, old = rule([{"route": [to()]}]), rule([{"route": [to()]}])
    old["apiVersion"] = "networking.istio.io/v1alpha3"
    assert decode(new).value == decode(old).value
    assert isinstance(decode(new).value, VirtualService)


def test_kinds_of_other_groups_have_no_meaning() -> None:
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "x"}, "spec": {}}
    assert decode(gateway) == (None, None, ())


def test_fields_that_change_nothing_make_no_difference() -> None:
    one, other = rule([{"route": [to()]}]), rule([{"route": [to()]}])
    other["metadata"] |= {"resourceVersion": "7", "generation": 3, "uid": "u", "managedFields": [{}]}
    other["status"] = {"conditions": []}
    assert decode(one).value == decode(other).value


def test_null_and_numbers_as_text_are_read_as_protobuf_json_reads_them() -> None:
    value = decode(rule([{"route": [to(weight="90", headers=None)], "match": None, "timeout": None}])).value
    assert isinstance(value, VirtualService)
    assert value.spec.http[0].route[0].weight == 90


def test_a_wrong_type_is_a_problem_with_path_and_value() -> None:
    (problem,) = decode(rule([{"route": [to(weight="heavy")]}])).problems
    assert problem.path == "spec.http[0].route[0].weight"
    assert problem.value == "heavy"
    assert "int" in problem.message


@pytest.mark.parametrize(
    ("http", "path"),
    [
        ([{"route": [to(weight=-1), to(weight=2)]}], "spec.http[0].route[0].weight"),
        ([{"route": [to(), to()]}], "spec.http[0].route"),
        ([{}], "spec.http[0]"),
        ([{"route": [to()], "redirect": {"uri": "/x"}}], "spec.http[0]"),
        ([{"route": [to("not a host")]}], "spec.http[0].route[0].destination.host"),
        ([{"route": [to("")]}], "spec.http[0].route[0].destination.host"),
        ([{"match": [{"uri": {"regex": "("}}], "route": [to()]}], "spec.http[0].match[0].uri.regex"),
        ([{"match": [{"uri": {"exact": "/", "prefix": "/"}}], "route": [to()]}], "spec.http[0].match[0].uri"),
        ([{"match": [{"headers": {"a b": {"exact": "x"}}}], "route": [to()]}], "spec.http[0].match[0].headers[a b]"),
        ([{"match": [{"port": 70000}], "route": [to()]}], "spec.http[0].match[0].port"),
        ([{"route": [to()], "timeout": "soon"}], "spec.http[0].timeout"),
        ([{"route": [to()], "retries": {"attempts": -1}}], "spec.http[0].retries.attempts"),
        ([{"redirect": {"redirectCode": 200, "uri": "/"}}], "spec.http[0].redirect.redirectCode"),
        ([{"directResponse": {"status": 42}}], "spec.http[0].directResponse.status"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_path(http: Any, path: str) -> None:
    assert errors(rule(http)) == [path]


def test_all_mistakes_of_an_object_are_told_at_once() -> None:
    http = [{"route": [to("not a host")], "timeout": "soon"}]
    assert errors(rule(http, hosts=["*", "a b"])) == [
        "spec.hosts[0]",
        "spec.hosts[1]",
        "spec.http[0].route[0].destination.host",
        "spec.http[0].timeout",
    ]


def test_a_star_is_a_host_for_gateways_only() -> None:
    assert errors(rule([{"route": [to()]}], hosts=["*"], gateways=["edge"])) == []
    assert errors(rule([{"route": [to()]}], hosts=["*"])) == ["spec.hosts[0]"]


def test_gateways_and_nobody_else_route_by_claims() -> None:
    routes = [{"match": [{"headers": {"@request.auth.claims.sub": {"exact": "a"}}}], "route": [to()]}]
    assert decode(rule(routes, hosts=["web"], gateways=["edge"])).problems == ()
    assert errors(rule(routes, hosts=["web"])) == ["spec.http[0].match[0]"]


def test_gateways_and_destination_rules_are_checked() -> None:
    metadata = {"name": "r", "namespace": "shop"}
    server = {"port": {"number": 0, "protocol": "HTPP", "name": "x"}, "hosts": []}
    gateway = {"apiVersion": ISTIO, "kind": "Gateway", "metadata": metadata, "spec": {"servers": [server]}}
    paths = ["spec.servers[0].hosts", "spec.servers[0].port.number", "spec.servers[0].port.protocol"]
    assert sorted(errors(gateway)) == paths
    subsets = [{"name": "v1"}, {"name": "v1"}, {"name": "no name"}]
    pool = {"tcp": {"maxConnections": -1, "connectTimeout": "1 minute"}}
    spec = {"host": "reviews", "subsets": subsets, "trafficPolicy": {"connectionPool": pool}}
    destination = {"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": metadata, "spec": spec}
    assert sorted(errors(destination)) == [
        "spec.subsets[1].name",
        "spec.subsets[2].name",
        "spec.trafficPolicy.connectionPool.tcp.connectTimeout",
        "spec.trafficPolicy.connectionPool.tcp.maxConnections",
    ]


def warned(obj: dict[str, Any]) -> list[str]:
    result = decode(obj)
    assert result.value is not None, result.problems
    return [str(problem).partition(": ")[2] for problem in result.problems if problem.level is Level.WARNING]


def test_weights_that_do_not_add_up_are_told_with_the_shares_they_mean() -> None:
    shares = [{**to(), "weight": 90}, {**to(), "weight": 5}]
    (said,) = warned(rule([{"route": shares}]))
    assert said == (
        "spec.http[0].route: the weights 90 + 5 add up to 95, not 100: they are taken as 94.7% and 5.26% "
        "(weights that add up to 100)"
    )
    assert warned(rule([{"route": [{**to(), "weight": 1}]}])) == []
    assert warned(rule([{"route": [{**to(), "weight": 100}, to()]}])) == [
        "spec.http[0].route[1].weight: 0 or absent: this destination gets no traffic (a weight)"
    ]


def test_old_forms_are_accepted_and_the_new_ones_named() -> None:
    fault = {"abort": {"httpStatus": 500, "percent": 100}}
    assert warned(rule([{"fault": fault, "route": [to()]}])) == [
        "spec.http[0].fault.abort.percent: is the form of Istio 1.0 (percentage: {value: 100})"
    ]


@pytest.mark.parametrize(
    ("balancer", "path"),
    [
        ({"consistentHash": {"useSourceIp": True, "httpHeaderName": "x"}}, "consistentHash"),
        ({"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 100}}}, "consistentHash.maglev.tableSize"),
        ({"consistentHash": {"httpCookie": {"name": "a b"}}}, "consistentHash.httpCookie.name"),
        ({"simple": "RANDOM", "consistentHash": {"useSourceIp": True}}, ""),
        ({"warmup": {"duration": "1s", "aggression": 0}}, "warmup.aggression"),
    ],
)
def test_load_balancers_that_envoy_would_refuse_are_refused_before(balancer: Any, path: str) -> None:
    metadata = {"name": "r", "namespace": "shop"}
    spec = {"host": "reviews", "trafficPolicy": {"loadBalancer": balancer}}
    found = errors({"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": metadata, "spec": spec})
    assert found == [f"spec.trafficPolicy.loadBalancer.{path}".rstrip(".")]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("accessLogFile: log", "data.mesh.accessLogFile"),
        ("outboundTrafficPolicy: {mode: DENY}", "data.mesh.outboundTrafficPolicy.mode"),
        ("a: [", "data.mesh"),
        ("accessLogFile: /dev/stdout\naccessLogFormat: '%NO_SUCH%'", "data.mesh.accessLogFormat"),
        ("accessLogEncoding: JSON\naccessLogFormat: '{'", "data.mesh.accessLogFormat"),
    ],
)
def test_settings_of_the_mesh_that_no_proxy_would_take_are_refused(text: str, path: str) -> None:
    metadata = {"name": "istio", "namespace": "istio-system"}
    assert errors({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}) == [path]


def test_settings_of_the_mesh_without_an_effect_are_told() -> None:
    metadata = {"name": "istio", "namespace": "istio-system"}
    text = "accessLogFile: /dev/stdout\nenableTracing: true\n"
    assert warned({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}) == [
        "data.mesh.enableTracing: has no effect yet: there are no metrics or traces of requests"
    ]
    metadata["name"] = "settings-of-an-application"
    assert decode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}).key is None


@pytest.mark.parametrize(
    ("kind", "spec", "path", "value"),
    [
        (
            "PeerAuthentication",
            {"selector": {"matchLabels": {"a": "b", "app.kubernetes.io/name": 7}}},
            "spec.selector.matchLabels[app.kubernetes.io/name]",
            7,
        ),
        (
            "PeerAuthentication",
            {"portLevelMtls": {"80": {"mode": "STRICT"}, "81": {"mode": "ON"}}},
            "spec.portLevelMtls[81].mode",
            "ON",
        ),
        ("PeerAuthentication", {"portLevelMtls": {"80": {}, "81": "STRICT"}}, "spec.portLevelMtls[81]", "STRICT"),
    ],
)
def test_a_wrong_type_within_a_map_is_told_with_its_key(kind: str, spec: Any, path: str, value: Any) -> None:
    metadata = {"name": "a", "namespace": "b"}
    found = decode({"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
    assert [(problem.path, problem.value) for problem in found.problems] == [(path, value)]
