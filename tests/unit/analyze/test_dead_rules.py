"""A rule that is called dead gets no request: held against the mesh's own routes and the simulator."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.analyze.analysis import analyze
from plait.analyze.world import Item, World
from plait.app.conformance.routing import calls_of
from plait.simulate.call import NOBODY, Call
from plait.simulate.simulate import simulate

PATHS = ["/", "/a", "/A/b", "/a/b", "/ab", "/b"]
TEXT = st.one_of(
    st.just({}),
    st.builds(lambda kind, text: {kind: text}, st.sampled_from(["exact", "prefix"]), st.sampled_from(["1", "12"])),
    st.just({"regex": "1.*"}),
)
HEADERS = st.dictionaries(st.sampled_from(["x", "X", "y"]), TEXT, min_size=1, max_size=2)
URI = st.one_of(
    st.builds(lambda kind, path: {kind: path}, st.sampled_from(["exact", "prefix"]), st.sampled_from(PATHS[:5])),
    st.builds(lambda pattern: {"regex": pattern}, st.sampled_from([".*", "/a.*", "/[ab]"])),
)
FIELDS = {
    "uri": URI,
    "ignoreUriCase": st.booleans(),
    "headers": HEADERS,
    "withoutHeaders": HEADERS,
    "method": st.sampled_from([{"exact": "GET"}, {"prefix": "P"}, {"regex": "GET|PUT"}]),
    "port": st.sampled_from([80, 81]),
    "sourceLabels": st.sampled_from([{"app": "a"}, {"app": "b"}]),
    "gateways": st.sampled_from([["mesh"], ["default/g"], ["mesh", "g"]]),
}


def some_fields() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=2, unique=True)


@st.composite
def rules_near_each_other(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """A rule, and others whose matches are like one before with fields more, less or changed: where it may go wrong."""
    found: list[list[dict[str, Any]]] = [[{field: draw(FIELDS[field]) for field in draw(some_fields())}]]
    for _ in range(draw(st.integers(1, 3))):
        near = dict(draw(st.sampled_from([match for matches in found for match in matches])))
        for field in draw(some_fields()):
            if field in near and draw(st.booleans()):
                del near[field]
            else:
                near[field] = draw(FIELDS[field])
        found.append([near])
    return found


PROXIES = [
    {"type": "sidecar", "namespace": "default", "labels": {"app": "a"}},
    {"type": "sidecar", "namespace": "default", "labels": {"app": "c"}},
    {"type": "router", "namespace": "default", "labels": {"istio": "edge"}},
]


def obj(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def service(name: str, address: str, *ports: int) -> dict[str, Any]:
    listed = [{"name": f"http-{port}", "port": port} for port in ports]
    return obj("v1", "Service", name, {"clusterIP": address, "ports": listed})


def server(port: int) -> dict[str, Any]:
    return {"port": {"number": port, "name": f"http-{port}", "protocol": "HTTP"}, "hosts": ["*"]}


def world(rules: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rule N leads to Service toN."""
    http = []
    for number, matches in enumerate(rules):
        route = {"route": [{"destination": {"host": f"to{number}"}}]}
        http.append({"match": matches, **route} if matches else route)
    return [
        service("web", "10.0.0.1", 80, 81),
        *(service(f"to{number}", f"10.0.1.{number}", 80) for number in range(len(rules))),
        obj(
            "networking.istio.io/v1",
            "Gateway",
            "g",
            {"selector": {"istio": "edge"}, "servers": [server(80), server(81)]},
        ),
        obj(
            "networking.istio.io/v1",
            "VirtualService",
            "v",
            {"hosts": ["web"], "gateways": ["mesh", "g"], "http": http},
        ),
    ]


def requests(address: str) -> list[Call]:
    """Every combination of what matches look at."""
    return [
        Call(
            port=port,
            address=address,
            protocol="http",
            host="web.default.svc.cluster.local",
            method=method,
            path=path,
            headers={name: (value,) for name, value in (("x", x), ("y", y)) if value},
        )
        for port, path, method, x, y in product((80, 81), PATHS, ("GET", "PUT"), ("", "1", "12"), ("", "1"))
    ]


@settings(max_examples=30, deadline=None)
@given(rules=rules_near_each_other())
def test_a_rule_that_is_called_dead_gets_no_request(rules: list[list[dict[str, Any]]]) -> None:
    objects = world(rules)
    told = [one for one in analyze(World(map(Item, objects))) if one.code in {"PLT0001", "IST0130"}]
    dead = {f"to{one.path.removeprefix('spec.http[').removesuffix(']')}" for one in told}
    if not dead:
        return
    text = "\n---\n".join(map(json.dumps, objects))
    for proxy in PROXIES:
        configuration, gateway, _ = calls_of({"proxy": proxy, "config_yaml": text})
        calls = requests(NOBODY if gateway else "10.0.0.1")
        reached = {simulate(configuration, call, gateway=gateway).cluster for call in calls}
        assert not dead & {cluster.split("|")[-1].partition(".")[0] for cluster in reached if cluster}, told
