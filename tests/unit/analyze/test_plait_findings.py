"""What plait says beyond Istio's own analyzers, of the machine it runs on: Ingresses, exports, address families."""

from __future__ import annotations

from typing import Any

import pytest

from plait.analyze.analysis import analyze
from plait.analyze.finding import Finding
from plait.analyze.world import PLAIT, Item, Surroundings, World

CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "istio"},
    "spec": {"controller": "istio.io/ingress-controller"},
}
OTHER_CLASS = CLASS | {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}


def obj(version: str, kind: str, name: str, namespace: str = "shop", **body: Any) -> dict[str, Any]:
    annotations = body.pop("annotations", {})
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def service(name: str = "web", namespace: str = "shop", **body: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    return obj("v1", "Service", name, namespace, spec={"ports": ports}, **body)


def namespaces(*names: str) -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]


def ingress(*, cls: str = "istio", annotations: Any = None, tls: str = "", **backend: Any) -> dict[str, Any]:
    paths = [{"path": "/", "pathType": "Prefix", "backend": {"service": backend}}]
    spec: dict[str, Any] = {"rules": [{"host": "shop.example", "http": {"paths": paths}}]}
    if cls:
        spec["ingressClassName"] = cls
    if tls:
        spec["tls"] = [{"hosts": ["shop.example"], "secretName": tls}]
    return obj("networking.k8s.io/v1", "Ingress", "edge", annotations=annotations or {}, spec=spec)


def told(*objects: dict[str, Any], surroundings: Surroundings = PLAIT) -> list[Finding]:
    """What only plait says."""
    items = map(Item, objects)
    return [one for one in analyze(World(items, surroundings)) if one.code.startswith("PLT")]


BACKEND = "spec.rules[0].http.paths[0].backend.service"


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ({"name": "web", "port": {"number": 80}}, []),
        ({"name": "web", "port": {"name": "admin"}}, []),
        (
            {"name": "wbe", "port": {"number": 80}},
            [(f"{BACKEND}.name", "there is no Service 'wbe' in namespace shop: requests get 503")],
        ),
        (
            {"name": "web", "port": {"number": 8080}},
            [(f"{BACKEND}.port.number", "Service 'web' has no port 8080: requests get 503")],
        ),
        (
            {"name": "web", "port": {"name": "https"}},
            [(f"{BACKEND}.port.name", "Service 'web' has no port named 'https': requests get 503")],
        ),
    ],
)
def test_a_backend_that_an_ingress_names_and_nobody_is_is_told(backend: Any, expected: Any) -> None:
    assert [(one.path, one.text) for one in told(CLASS, service(), ingress(**backend))] == expected


def test_a_finding_about_an_ingress_says_what_to_write() -> None:
    wrong = ingress(name="web", port={"number": 8080}, tls="cert")
    port, secret = told(CLASS, service(), wrong)
    assert port.fix == "one of 80, 81"
    assert secret.path == "spec.tls[0].secretName"
    assert secret.text == "there is no Secret 'cert' in namespace istio-system: no TLS connection is taken"
    mine = obj("v1", "Secret", "cert", data={})
    (_, secret) = told(CLASS, service(), wrong, mine)
    assert secret.fix == "a Secret of namespace istio-system, where the gateway's pods are, not of shop"
    (elsewhere,) = told(CLASS, service(namespace="bank"), ingress(name="web", port={"number": 80}))
    assert elsewhere.fix == "the Ingress in namespace bank, where Service web is"


def test_an_ingress_of_no_class_is_told_that_nobody_serves_it() -> None:
    plain = ingress(cls="", name="web", port={"number": 80})
    (found,) = told(CLASS, service(), plain)
    assert (found.path, found.text, found.fix) == (
        "spec", "it has no class: nobody serves it", "ingressClassName: istio",
    )  # fmt: skip
    # Where there are others, one of them may; so it may where nobody knows of any class.
    assert told(CLASS, OTHER_CLASS, service(), plain) == told(service(), plain) == []
    annotated = ingress(cls="", annotations={"kubernetes.io/ingress.class": "nginx"}, name="web", port={"number": 80})
    assert told(CLASS, service(), annotated) == []


def test_the_default_backend_of_an_ingress_counts_too() -> None:
    spec = {"ingressClassName": "istio", "defaultBackend": {"service": {"name": "gone", "port": {"number": 1}}}}
    (found,) = told(CLASS, obj("networking.k8s.io/v1", "Ingress", "edge", spec=spec))
    assert found.path == "spec.defaultBackend.service.name"


@pytest.mark.parametrize(
    ("cls", "annotations", "mode", "expected"),
    [
        ("istio", {}, "", [f"{BACKEND}.name"]),
        ("nginx", {}, "", []),
        ("itsio", {}, "", ["spec.ingressClassName"]),
        ("", {}, "", []),
        ("", {}, "DEFAULT", [f"{BACKEND}.name"]),
        ("", {"kubernetes.io/ingress.class": "istio"}, "", [f"{BACKEND}.name"]),
        ("", {"kubernetes.io/ingress.class": "nginx"}, "DEFAULT", []),
        ("istio", {}, "OFF", []),
    ],
)
def test_only_ingresses_that_the_mesh_serves_are_judged(
    cls: str, annotations: dict[str, str], mode: str, expected: list[str]
) -> None:
    config = {"ingressControllerMode": mode} if mode else {}
    given = ingress(cls=cls, annotations=annotations, name="gone", port={"number": 80})
    surroundings = Surroundings(mesh_config=config)
    assert [one.path for one in told(CLASS, OTHER_CLASS, given, surroundings=surroundings)] == expected


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("*", []),
        (".", []),
        ("~", []),
        ("bank", []),
        ("., bank", []),
        ("bnak", ["bnak"]),
        (".,bnak , gone", ["bnak", "gone"]),
    ],
)
def test_a_service_exported_to_a_namespace_that_is_not_there_is_told(listed: str, expected: list[str]) -> None:
    exported = service(annotations={"networking.istio.io/exportTo": listed})
    found = told(*namespaces("shop", "bank"), exported)
    assert [one.value for one in found] == expected
    assert {one.path for one in found} <= {"metadata.annotations.networking.istio.io/exportTo"}
    assert [one.fix for one in found if one.value == "bnak"] == ["bank, . or *"] * expected.count("bnak")


@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "ServiceEntry"])
def test_a_rule_exported_to_a_namespace_that_is_not_there_is_told(kind: str) -> None:
    rule = obj("networking.istio.io/v1", kind, "r", spec={"exportTo": [".", "gone"]})
    assert "spec.exportTo[1]" in [one.path for one in told(*namespaces("shop"), rule)]
    # Files alone do not say which namespaces there are.
    assert "spec.exportTo[1]" not in [one.path for one in told(rule)]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [("PreferClose", False), ("PreferSameZone", False), ("prefersamenode", False), ("Foo", True), ("", True)],
)
def test_a_traffic_distribution_that_nobody_knows_is_told(value: str, wrong: bool) -> None:
    given = service(annotations={"networking.istio.io/traffic-distribution": value})
    found = [one for one in analyze(World([Item(given)])) if one.code == "IST0125"]
    assert [one.text.partition(": ")[2] for one in found] == (
        [f"{value!r} has no effect: it is none of PreferClose, PreferSameZone, PreferSameNode"] if wrong else []
    )


@pytest.mark.parametrize(
    ("address", "ipv6"),
    [
        ("10.0.0.1", False),
        ("db.example", False),
        ("unix:///tmp/socket", False),
        ("2001:db8::1", True),
        ("::ffff:10.0.0.1", True),
        ("::1", False),
    ],
)
def test_endpoints_of_ipv6_are_told_where_pods_have_none(address: str, ipv6: bool) -> None:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    entry = obj("networking.istio.io/v1", "WorkloadEntry", "w", spec={"address": address})
    spec = {"hosts": ["a.example"], "ports": ports, "resolution": "STATIC", "endpoints": [{"address": address}]}
    outside = obj("networking.istio.io/v1", "ServiceEntry", "s", spec=spec)
    expected = [("PLT0017", "spec.address"), ("PLT0017", "spec.endpoints[0].address")] if ipv6 else []
    assert sorted((one.code, one.path) for one in told(entry, outside)) == expected
    assert not told(entry, outside, surroundings=Surroundings())


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [(["2001:db8::/32"], ["spec.addresses"]), (["2001:db8::1", "240.0.0.1"], []), ([], [])],
)
def test_a_host_with_addresses_of_ipv6_alone_is_told(addresses: list[str], expected: list[str]) -> None:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    spec = {"hosts": ["a.example"], "ports": ports, "resolution": "NONE", "addresses": addresses}
    assert [one.path for one in told(obj("networking.istio.io/v1", "ServiceEntry", "s", spec=spec))] == expected


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ("holdApplicationUntilProxyStarts: true", ""),
        ("holdApplicationUntilProxyStarts: 'yes'", "holdApplicationUntilProxyStarts: 'yes' is neither true nor false"),
        ("concurrency: '2'", ""),
        ("concurrency: -1", "concurrency: -1 is no whole number"),
        ("proxyMetadata: {A: '1'}", ""),
        ("proxyMetadata: {A: 1}", "proxyMetadata: {'A': 1} is no map of texts; put the values in quotes"),
        ("drainDuration: 45s", ""),
        ("drainDuration: 45", "drainDuration: 45 is no duration such as 5s"),
        ("discoveryAddress: istiod.istio-system.svc", "discoveryAddress: 'istiod.istio-system.svc' is not HOST:PORT"),
        ("image: distroless", "image: 'distroless' is no map"),
        ("interceptionMode: tproxy", "interceptionMode: 'tproxy' is none of REDIRECT, TPROXY, NONE"),
        ("caCertificatesPem: x", "caCertificatesPem: 'x' is no list of texts"),
        ("statusPort: 70000", "statusPort: 70000 is no port"),
        ("anotherField: 1", ""),
        ("concurrency: null", ""),
        ("[1]", "must be a map, such as {holdApplicationUntilProxyStarts: true}"),
    ],
)
def test_settings_of_a_proxy_in_an_annotation_have_their_types(config: str, wrong: str) -> None:
    spec = {"containers": [{"name": "istio-proxy", "image": "proxy"}]}
    pod = obj("v1", "Pod", "web", annotations={"proxy.istio.io/config": config}, spec=spec)
    found = [one.text for one in analyze(World([Item(pod)])) if one.code == "IST0125"]
    assert found == ([f"annotation proxy.istio.io/config: {wrong}"] if wrong else [])


@pytest.mark.parametrize(
    ("listed", "wrong"), [("10.0.0.0/8,::1/128", False), ("10.0.0.1", True), ("10.0.0.0/255.0.0.0", True), ("*", True)]
)
def test_ranges_of_addresses_have_lengths(listed: str, wrong: bool) -> None:
    annotations = {"traffic.sidecar.istio.io/excludeOutboundIPRanges": listed}
    pod = obj("v1", "Pod", "web", annotations=annotations, spec={"containers": []})
    assert ("IST0125" in {one.code for one in analyze(World([Item(pod)]))}) is wrong


@pytest.mark.parametrize(
    ("host", "detail"),
    [
        ("./*", ""),
        ("bank/*", ""),
        ("bnak/*", "there is no namespace 'bnak'"),
        ("*/gone.example", "no Service or ServiceEntry is '*/gone.example': it lets nothing in"),
        ("~/*", ""),
        ("~bank/*", ""),
        ("~bnak/*", "there is no namespace 'bnak'"),
        ("~./web.shop.svc.cluster.local", ""),
        ("~/web.shop.svc.cluster.local", ""),
        ("~bank/web.shop.svc.cluster.local",
         "no Service or ServiceEntry is 'bank/web.shop.svc.cluster.local': it takes nothing out"),
    ],
)  # fmt: skip
def test_a_sidecars_host_that_is_nobody_is_told(host: str, detail: str) -> None:
    sidecar = obj("networking.istio.io/v1", "Sidecar", "s", spec={"egress": [{"hosts": ["*/*", host]}]})
    found = told(*namespaces("shop", "bank"), service(), service("other", "bank"), sidecar)
    assert [one.text for one in found] == ([detail] if detail else [])


def service_entry(namespace: str, **spec: Any) -> dict[str, Any]:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    made = {"hosts": ["web.shop.svc.cluster.local"], "ports": ports, "resolution": "STATIC", **spec}
    endpoints = {"endpoints": [{"address": "10.0.0.9"}]}
    return obj("networking.istio.io/v1", "ServiceEntry", "x", namespace, spec={**made, **endpoints})


TAKES = "takes the calls of namespace away from Service shop/web, whose name it is"
FIRST = "is not used: Service shop/web has this name and comes first"


@pytest.mark.parametrize(
    ("namespace", "export_to", "of_service", "expected"),
    [
        ("away", [], "", TAKES),
        ("away", ["."], "*", TAKES),
        ("away", ["shop"], "", FIRST),
        ("away", ["~"], "", ""),
        ("shop", [], "", FIRST),
        ("shop", ["."], ".", FIRST),
        ("shop", [], ".", "is not used by those who see Service shop/web, which has this name and comes first"),
        # Nobody in the entry's namespace could mean the Service.
        ("away", [], ".", ""),
        ("away", [], "~", ""),
    ],
)
def test_an_entry_with_the_name_of_a_service_is_told_what_becomes_of_it(
    namespace: str, export_to: list[str], of_service: str, expected: str
) -> None:
    annotations = {"networking.istio.io/exportTo": of_service} if of_service else {}
    world = (
        *namespaces("shop", "away"),
        service(annotations=annotations),
        service_entry(namespace, exportTo=export_to),
    )
    found = [one for one in told(*world) if one.code == "PLT0021"]
    assert [one.path for one in found] == (["spec.hosts[0]"] if expected else [])
    assert all(one.text.startswith(expected) for one in found)
