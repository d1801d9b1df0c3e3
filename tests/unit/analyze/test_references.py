"""References that lead nowhere and rules that cannot act are accepted, and said."""

from __future__ import annotations

from typing import Any

import pytest

from plait.analyze.analysis import analyze
from plait.analyze.finding import Finding
from plait.analyze.registry import ANALYZERS
from plait.analyze.world import Item, World


def service(name: str, ports: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": "10.0.0.1", "ports": ports},
    }


def istio(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def findings(*objects: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.code, one.path) for one in told(*objects)]


def told(*objects: dict[str, Any]) -> tuple[Finding, ...]:
    base = [
        service("web", [{"name": "http", "port": 80}]),
        service("db", [{"name": "tcp-db", "port": 3306}]),
        service("two", [{"name": "http", "port": 80}, {"name": "http-b", "port": 81}]),
    ]
    base.append(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"addresses": ["10.0.1.1"]}],
            "ports": [{"name": "http", "port": 8080}],
        }
    )
    return tuple(analyze(World(map(Item, (*base, *objects)))))


def rule(destination: dict[str, Any], hosts: tuple[str, ...] = ("web",), **spec: Any) -> dict[str, Any]:
    return istio("VirtualService", "r", hosts=list(hosts), http=[{"route": [{"destination": destination}]}], **spec)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (rule({"host": "web"}), []),
        (rule({"host": "gone"}), [("IST0101", "spec.http[0].route[0].destination.host")]),
        (rule({"host": "web", "subset": "v9"}), [("IST0101", "spec.http[0].route[0].destination.subset")]),
        (rule({"host": "web", "port": {"number": 9}}), [("IST0101", "spec.http[0].route[0].destination.port")]),
        (rule({"host": "two"}), [("IST0112", "spec.http[0].route[0].destination")]),
        (rule({"host": "db"}), [("PLT0006", "spec.http[0].route[0].destination.host")]),
        (rule({"host": "web"}, hosts=("db",)), [("PLT0006", "spec.hosts[0]")]),
        (
            rule({"host": "web"}, gateways=["edge"]),
            [("IST0101", "spec.gateways[0]")],
        ),
        (istio("DestinationRule", "d", host="gone"), [("IST0174", "spec.host")]),
        (
            istio("DestinationRule", "d", host="web", subsets=[{"name": "v1", "labels": {"a": "b"}}]),
            [("IST0173", "spec.subsets[0].labels"), ("PLT0002", "spec.subsets[0].labels")],
        ),
        # Nothing runs yet: that its subsets have no endpoints either goes without saying.
        (
            istio("DestinationRule", "d", host="two", subsets=[{"name": "v1", "labels": {"a": "b"}}]),
            [("IST0173", "spec.subsets[0].labels")],
        ),
    ],
)
def test_dangling_references_and_idle_rules_are_told(obj: Any, expected: Any) -> None:
    assert findings(obj) == expected


@pytest.mark.parametrize(
    ("servers", "hosts", "told"),
    [
        ("a.example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", False),
        ("a.example.com", "*.example.com", False),
        ("a.example.com", "*", False),
        ("*", "a.example.com", False),
        ("a.example.com", "b.example.com", True),
        ("*.example.com", "a.example.org", True),
        ("*.example.com", "example.com", True),
    ],
)
def test_hosts_of_a_rule_and_of_its_gateway_may_be_wider_than_each_other(servers: str, hosts: str, told: bool) -> None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [servers]}
    gateway = istio("Gateway", "edge", selector={"app": "edge"}, servers=[server])
    codes = [code for code, _ in findings(gateway, rule({"host": "web"}, (hosts,), gateways=["edge"]))]
    assert ("IST0132" in codes) is told


def test_a_finding_names_what_to_write_instead() -> None:
    world = World([Item(service("web", [{"name": "http", "port": 80}])), Item(rule({"host": "web", "subset": "v2"}))])
    (found,) = analyze(world)
    assert str(found) == (
        "VirtualService shop/r: spec.http[0].route[0].destination.subset: "
        "web.shop.svc.cluster.local has no subset 'v2': requests get 503, as "
        "no DestinationRule is for it; a DestinationRule for this host with the subset"
    )


def test_findings_go_when_their_cause_goes() -> None:
    world = World([Item(rule({"host": "web"}))])
    assert analyze(world)
    made = Item(service("web", [{"name": "http", "port": 80}]))
    with world.trying(made):
        assert not analyze(world)
    assert analyze(world)
    world.put(made)
    assert not analyze(world)
    world.remove(made.kind, made.key)
    assert analyze(world)


@pytest.mark.parametrize(
    ("local", "wide", "conflict"),
    [
        ("*.a.example.com", "*.example.com", True),
        ("b.example.com", "*.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("b.example.com", "c.example.com", False),
        ("example.org", "*.example.com", False),
    ],
)
def test_a_rule_for_everybody_meets_those_of_one_namespace_whose_hosts_it_covers(
    local: str, wide: str, conflict: bool
) -> None:
    def claims(name: str, namespace: str, host: str, seen_by: str) -> dict[str, Any]:
        spec = {"hosts": [host], "exportTo": [seen_by], "http": [{"directResponse": {"status": 200}}]}
        return istio("VirtualService", name, **spec) | {"metadata": {"name": name, "namespace": namespace}}

    given = findings(claims("one", "shop", local, "."), claims("two", "other", wide, "*"))
    assert [code for code, _ in given].count("IST0109") == (2 if conflict else 0)


def test_servers_that_cannot_share_a_port_are_told_within_a_gateway_too() -> None:
    secure = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"]}
    tls = {"mode": "PASSTHROUGH"}
    plain = {"port": {"number": 443, "name": "http", "protocol": "HTTP"}, "hosts": ["b.example"]}
    gateway = istio("Gateway", "edge", selector={"a": "b"}, servers=[{**secure, "tls": tls}, plain])
    assert ("PLT0008", "spec.servers[1].port") in findings(gateway)
    two = istio("Gateway", "edge", selector={"a": "b"}, servers=[{**secure, "tls": tls}])
    assert "PLT0008" not in [code for code, _ in findings(two)]


def test_a_server_that_is_passed_over_for_one_of_its_hosts_is_told() -> None:
    def secure(name: str, *hosts: str) -> dict[str, Any]:
        port = {"number": 443, "name": name, "protocol": "HTTPS"}
        return {"port": port, "hosts": list(hosts), "tls": {"mode": "PASSTHROUGH"}}

    def edge(name: str, *servers: dict[str, Any]) -> dict[str, Any]:
        return istio("Gateway", name, selector={"a": "b"}, servers=list(servers))

    one = edge("a", secure("x", "*/a.example", "./b.example"), secure("y", "c.example", "a.example"))
    two = edge("b", secure("x", "shop/b.example"), secure("y", "c.example", "d.example"))
    told = [place for code, place in findings(one, two) if code == "PLT0008"]
    assert told == ["spec.servers[1].hosts", "spec.servers[0].hosts"]
    again = edge("b", secure("x", "other/b.example"), secure("y", "c.example", "d.example"))
    assert [place for code, place in findings(one, again) if code == "PLT0008"] == ["spec.servers[1].hosts"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"credentialName": "c"}, {"credentialName": "c"}, True),
        ({"credentialName": "c"}, {"credentialName": "c", "serverCertificate": "a"}, True),
        ({"credentialName": "c"}, {"credentialName": "d"}, False),
        ({"serverCertificate": "a", "privateKey": "b"}, {"serverCertificate": "a", "privateKey": "b"}, True),
        ({"serverCertificate": "a", "privateKey": "b"}, {"serverCertificate": "a", "privateKey": "c"}, False),
        ({"serverCertificate": "a"}, {"serverCertificate": "a"}, False),
        ({"mode": "PASSTHROUGH"}, {"mode": "PASSTHROUGH"}, False),
    ],
)
def test_what_is_one_certificate(one: dict[str, str], other: dict[str, str], same: bool) -> None:
    def edge(name: str, tls: dict[str, str]) -> dict[str, Any]:
        port = {"number": 443, "name": "https", "protocol": "HTTPS"}
        server = {"port": port, "hosts": [f"{name}.example"], "tls": {"mode": "SIMPLE"} | tls}
        return istio("Gateway", name, selector={"a": "b"}, servers=[server])

    told = [code for code, _ in findings(edge("a", one), edge("b", other))].count("IST0138")
    assert told == (2 if same else 0)


def test_a_mirror_that_cannot_read_http_loses_its_copies_and_nothing_else() -> None:
    http = [{"route": [{"destination": {"host": "web"}}], "mirrors": [{"destination": {"host": "db"}}]}]
    (only,) = told(istio("VirtualService", "r", hosts=["web"], http=http))
    assert only.path == "spec.http[0].mirrors[0].destination.host"
    assert only.text == "copies are lost, since HTTP is sent to db, whose port 3306 tcp-db speaks TCP"


def test_what_a_destination_that_is_not_there_costs_is_told_by_what_is_sent_to_it() -> None:
    away = {"destination": {"host": "away"}}
    rule = istio(
        "VirtualService",
        "r",
        hosts=["web"],
        http=[{"route": [away], "mirror": away["destination"], "mirrors": [away]}],
        tcp=[{"route": [away]}],
    )
    found = {one.path: one.text for one in told(rule) if one.path.endswith("host")}
    there_is_none = "there is no host away.shop.svc.cluster.local: "
    assert found == {
        "spec.http[0].route[0].destination.host": f"{there_is_none}requests get 503",
        "spec.http[0].mirror.host": f"{there_is_none}copies are lost",
        "spec.http[0].mirrors[0].destination.host": f"{there_is_none}copies are lost",
        "spec.tcp[0].route[0].destination.host": f"{there_is_none}connections are closed",
    }


def entry(**spec: Any) -> dict[str, Any]:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return istio("ServiceEntry", "e", hosts=["out.example"], ports=ports, resolution="STATIC", **spec)


SUBSET = istio("DestinationRule", "d", host="out.example", subsets=[{"name": "v1", "labels": {"v": "1"}}])
SELECTING = entry(workloadSelector={"labels": {"app": "out"}})


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ((entry(endpoints=[{"address": "10.1.1.1", "labels": {"v": "1"}}]),), []),
        ((entry(endpoints=[{"address": "10.1.1.1", "labels": {"v": "2"}}]),), ["IST0173"]),
        ((SELECTING, istio("WorkloadEntry", "w", address="10.1.1.1", labels={"app": "out", "v": "1"})), []),
        ((SELECTING, istio("WorkloadEntry", "w", address="10.1.1.1", labels={"app": "other", "v": "1"})), ["IST0173"]),
        ((SELECTING, istio("WorkloadEntry", "w", address="10.1.1.1", labels={"app": "out"})), ["IST0173"]),
    ],
)
def test_endpoints_of_entries_are_in_a_subset_too(objects: tuple[dict[str, Any], ...], expected: list[str]) -> None:
    assert [code for code, _ in findings(SUBSET, *objects) if code == "IST0173"] == expected


def test_the_labels_of_a_workload_entry_itself_select_it() -> None:
    workload = istio("WorkloadEntry", "w", address="10.1.1.1")
    workload["metadata"]["labels"] = {"app": "out", "v": "1"}
    assert not {code for code, _ in findings(SUBSET, SELECTING, workload)} & {"IST0173", "PLT0010"}


def test_a_wildcard_that_covers_hosts_is_no_unknown_host() -> None:
    assert findings(istio("DestinationRule", "d", host="*.shop.svc.cluster.local")) == []
    assert ("IST0174", "spec.host") in findings(istio("DestinationRule", "d", host="*.bank.svc.cluster.local"))


@pytest.mark.parametrize(("resolution", "address", "told"), [
    ("STATIC", "some.name", True), ("STATIC", "10.1.1.1", False), ("STATIC", "unix:///x", False), ("DNS", "a.b", False)
])  # fmt: skip
def test_a_name_among_addresses_is_told(resolution: str, address: str, told: bool) -> None:
    workload = istio("WorkloadEntry", "w", address=address, labels={"app": "out"})
    selecting = {**SELECTING, "spec": {**SELECTING["spec"], "resolution": resolution}}
    assert (("PLT0010", "spec.address") in findings(selecting, workload)) is told


def test_a_gateway_that_is_not_there_is_told_once_and_as_istio_does_where_that_is_asked_for() -> None:
    world = World([Item(rule({"host": "web"}, gateways=["edge"]))])
    (analyzer,) = [one for one in ANALYZERS if one.name == "virtualservice.GatewayAnalyzer"]
    assert [one.code for one in analyze(world, [analyzer])] == ["IST0101"]
    assert [one.code for one in analyze(world, [analyzer], implied=True)] == ["IST0101", "IST0132"]


def test_several_rules_of_a_host_define_subsets() -> None:
    rules = [
        istio("DestinationRule", name, host="web", subsets=[{"name": name, "labels": {}}]) for name in ("v1", "v2")
    ]
    (found,) = [one for one in told(*rules, rule({"host": "web", "subset": "v9"})) if one.code == "IST0101"]
    assert found.text.endswith("as DestinationRule/shop/v1, DestinationRule/shop/v2 define v1, v2")


GATEWAYS_ALONE = (
    "has a credentialName, which only gateways use while the rule has no workloadSelector: "
    "sidecars trust every authority of the machine"
)


@pytest.mark.parametrize(
    ("tls", "selector", "text"),
    [
        ({"mode": "SIMPLE"}, False, "has no caCertificates: every authority of the machine is trusted"),
        ({"mode": "SIMPLE", "insecureSkipVerify": True}, False, "has insecureSkipVerify: whoever answers is believed"),
        (
            {"mode": "SIMPLE", "credentialName": "c"},
            False,
            GATEWAYS_ALONE,
        ),
        (
            {"mode": "MUTUAL", "credentialName": "c"},
            False,
            f"{GATEWAYS_ALONE} and show no certificate",
        ),
        ({"mode": "SIMPLE", "credentialName": "c"}, True, ""),
        ({"mode": "SIMPLE", "caCertificates": "/ca.pem"}, False, ""),
    ],
)
def test_whom_a_rule_trusts_is_said_as_it_is(tls: dict[str, Any], selector: Any, text: str) -> None:
    chosen = {"workloadSelector": {"matchLabels": {"app": "web"}}} if selector else {}
    at_port = {"port": {"number": 80}, "tls": tls}
    obj = istio(
        "DestinationRule", "d", host="web", trafficPolicy={"tls": tls, "portLevelSettings": [at_port]}, **chosen
    )
    found = {one.code: one.text for one in told(obj) if one.code in {"IST0128", "IST0129"}}
    mode = tls["mode"]
    expected = {"IST0128": f"tls mode {mode} for web {text}", "IST0129": f"tls mode {mode} for web at port 80 {text}"}
    assert found == (expected if text else {})
