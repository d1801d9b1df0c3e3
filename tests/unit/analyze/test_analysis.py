"""How an analysis is made: suppressions, merging, defects, one object at the door, several clusters, certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from plait.analyze.analysis import analyze, judge
from plait.analyze.analyzer import Analyzer
from plait.analyze.finding import Finding
from plait.analyze.kinds import PEER_AUTHENTICATION, SERVICE, VIRTUAL_SERVICE
from plait.analyze.registry import ANALYZERS, BY_NAME
from plait.analyze.report import validation_message
from plait.analyze.suppress import Suppression, Suppressions
from plait.analyze.world import Item, Surroundings, World
from plait.api.problem import Level
from plait.mesh.peers import peer_policies


def obj(kind: str, name: str, spec: dict[str, Any], namespace: str = "shop", **metadata: Any) -> dict[str, Any]:
    version = "v1" if kind in {"Service", "Pod", "Secret"} else "networking.istio.io/v1"
    meta = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def service(name: str, namespace: str = "shop", port: int = 80) -> dict[str, Any]:
    return obj("Service", name, {"ports": [{"name": "http", "port": port}]}, namespace)


def routes(name: str, host: str, **metadata: Any) -> dict[str, Any]:
    return obj(
        "VirtualService", name, {"hosts": [name], "http": [{"route": [{"destination": {"host": host}}]}]}, **metadata
    )


def codes(*objects: dict[str, Any], **settings: Any) -> list[str]:
    return [found.code for found in analyze(World(map(Item, objects)), **settings)]


@pytest.mark.parametrize("value", ["IST0101", "IST0102, IST0101", "*"])
def test_an_annotation_of_the_object_suppresses(value: str) -> None:
    annotations = {"galley.istio.io/analyze-suppress": value}
    assert "IST0101" in codes(routes("web", "gone"))
    assert "IST0101" not in codes(routes("web", "gone", annotations=annotations))


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("IST0101=VirtualService shop/web", True),
        ("IST0101=VirtualService shop/*", True),
        ("*=VirtualService shop/web", True),
        ("IST0101=VirtualService web.shop", True),
        ("IST0101=VirtualService *.shop", True),
        ("IST0101=VirtualService web.bank", False),
        ("IST0101=VirtualService bank/web", False),
        ("IST0102=VirtualService shop/web", False),
        ("IST0101=DestinationRule shop/web", False),
    ],
)
def test_the_command_line_suppresses_by_code_and_object(text: str, hides: bool) -> None:
    given = Suppressions((Suppression.parse(text),))
    assert ("IST0101" not in codes(service("web"), routes("web", "gone"), suppressions=given)) is hides


@pytest.mark.parametrize("text", ["IST0101", "=Pod x", "IST0101= "])
def test_a_suppression_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        Suppression.parse(text)


def test_a_suppression_of_a_message_that_is_not_there_says_so() -> None:
    assert "there is no message 'IST9999'" in Suppression.parse("IST9999=Pod x").fault
    assert not Suppression.parse("IST0101=Pod x").fault
    assert not Suppression.parse("*=Pod x").fault


def gateway(version: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"gatewayClassName": "istio", "listeners": []}
    if version.startswith("networking"):
        server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["web.example.com"]}
        spec = {"selector": {"istio": "edge"}, "servers": [server]}
    metadata = {"name": "edge", "namespace": "shop", "annotations": annotations or {}}
    return {"apiVersion": version, "kind": "Gateway", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("first", [True, False])
def test_gateways_of_two_apis_may_have_one_name(first: bool) -> None:
    ours = gateway("networking.istio.io/v1")
    theirs = gateway("gateway.networking.k8s.io/v1", {"galley.istio.io/analyze-suppress": "*"})
    world = World(map(Item, [theirs, ours] if first else [ours, theirs]))
    (found,) = analyze(world)
    assert (found.code, found.group) == ("IST0101", "networking.istio.io")
    # The mesh reads Istio's, whichever came last, and keeps it when the other goes.
    key = found.object
    assert world.reader.object(key) is not None
    world.remove(("gateway.networking.k8s.io", "Gateway"), key)
    assert world.reader.object(key) is not None
    world.remove(("networking.istio.io", "Gateway"), key)
    assert world.reader.object(key) is None


def test_what_belongs_to_kubernetes_itself_is_passed_over() -> None:
    wrong = {"annotations": {"networking.istio.io/exprot": "x"}}
    assert "IST0108" in codes(obj("Service", "dns", {}, "shop", **wrong))
    assert "IST0108" not in codes(obj("Service", "dns", {}, "kube-system", **wrong))
    assert "IST0101" in codes(routes("web", "gone", namespace="kube-system"))


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        ("telemetry.istio.io/v1", "Telemetry", {"tracing": [{"randomSamplingPercentage": 300}]}),
        ("extensions.istio.io/v1alpha1", "WasmPlugin", {"url": "::bad"}),
        ("networking.istio.io/v1beta1", "ProxyConfig", {"concurrency": -3}),
    ],
)
def test_kinds_that_act_later_are_checked_too(version: str, kind: str, spec: dict[str, Any]) -> None:
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}
    assert codes(made) == ["IST0106"]


def test_settings_of_the_mesh_are_checked_where_the_mesh_has_them() -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
    made["data"] = {"mesh": "outboundTrafficPolicy: {mode: SOMETIMES}"}
    assert codes(made) == ["IST0106"]
    assert codes({**made, "metadata": {"name": "istio", "namespace": "shop"}}) == []


def test_the_worst_comes_first_and_equal_worlds_give_equal_findings() -> None:
    world = [service("web"), routes("web", "gone"), obj("Service", "amq", {"ports": [{"name": "amq", "port": 5672}]})]
    found = analyze(World(map(Item, world)))
    order = [Level.ERROR, Level.WARNING, Level.INFO]
    assert [one.level for one in found] == sorted((one.level for one in found), key=order.index)
    assert analyze(World(map(Item, reversed(world)))) == found


def test_a_broken_analyzer_is_a_finding_and_the_others_are_heard() -> None:
    def broken(_world: World, item: Item) -> Iterator[Finding]:
        raise KeyError(item.name)

    bad = Analyzer(name="test.Broken", messages=(), subjects=(SERVICE,), check=broken)
    found = analyze(World(map(Item, [service("web"), routes("web", "gone")])), [bad, *ANALYZERS])
    assert {"IST0001", "IST0101"} <= {one.code for one in found}
    assert "test.Broken: KeyError" in found[0].text


def test_one_fault_in_several_places_is_told_once_with_all_of_them() -> None:
    patches = [{"applyTo": "HTTP_FILTER", "patch": {"operation": "REMOVE"}} for _ in range(3)]
    (found,) = analyze(
        World([Item(obj("EnvoyFilter", "f", {"configPatches": patches}))]), [BY_NAME["envoyfilter.EnvoyPatchAnalyzer"]]
    )
    assert (found.path, found.also) == (
        "spec.configPatches[0].patch.operation",
        ("spec.configPatches[1].patch.operation", "spec.configPatches[2].patch.operation"),
    )
    assert "also at spec.configPatches[1].patch.operation" in str(found)


def test_judging_one_object_says_what_the_whole_analysis_says_of_it() -> None:
    objects = [Item(one) for one in (service("web"), service("two"), routes("web", "gone"), routes("two", "two"))]
    world = World(objects)
    whole = analyze(world)
    for item in objects:
        assert judge(world, item) == tuple(found for found in whole if found.object == item.key)


def test_an_object_that_is_only_tried_leaves_the_world_as_it_was() -> None:
    world = World(map(Item, [service("web"), routes("web", "web")]))
    before = analyze(world)
    with world.trying(Item(routes("web", "gone"))):
        assert analyze(world) != before
    with world.trying(Item(routes("other", "gone"))):
        assert analyze(world) != before
    assert analyze(world) == before
    assert [item.name for item in world.all(VIRTUAL_SERVICE)] == ["web"]


def test_services_that_differ_between_clusters_are_told_once() -> None:
    items = [
        Item(service("web"), cluster="east"),
        Item(service("web", port=81), cluster="west"),
        Item(service("same"), cluster="east"),
        Item(service("same"), cluster="west"),
    ]
    found = [one for one in analyze(World(items)) if one.code == "IST0170"]
    assert [one.text for one in found] == ["Service shop/web differs between clusters east, west: their ports"]


def test_a_finding_in_the_form_of_an_objects_status() -> None:
    (found,) = analyze(World(map(Item, [service("web"), routes("web", "gone")])))
    assert validation_message(found) == {
        "type": {"name": "ReferencedResourceNotFound", "code": "IST0101"},
        "level": "ERROR",
        "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
        "path": "spec.http[0].route[0].destination.host",
        "message": "there is no host gone.shop.svc.cluster.local: requests get 503; a Service of namespace shop, "
        "or its full name",
    }


NOW = datetime(2026, 6, 1, tzinfo=UTC)


def certificate(days: int) -> tuple[str, str]:
    """A certificate that holds until so many days from NOW, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return made.public_bytes(Encoding.PEM).decode(), text


def credential(crt: str, key: str) -> list[str]:
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["*"],
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
    }
    pod = obj("Pod", "edge", {"containers": []}, "istio-system", labels={"istio": "edge"})
    secret = {**obj("Secret", "cert", {}, "istio-system"), "stringData": {"tls.crt": crt, "tls.key": key}}
    gateway = obj("Gateway", "g", {"selector": {"istio": "edge"}, "servers": [server]})
    world = World(map(Item, [pod, secret, gateway]), replace(Surroundings(), now=NOW))
    return [found.code for found in analyze(world, [BY_NAME["gateway.SecretAnalyzer"]])]


def test_a_credential_is_judged_by_its_certificate_its_time_and_its_key() -> None:
    crt, key = certificate(days=1)
    assert credential(crt, key) == []
    assert credential(*certificate(days=-1)) == ["IST0161"]
    assert credential("no certificate", key) == ["IST0161"]
    assert credential(crt, "") == ["IST0161"]
    assert credential(crt, certificate(days=1)[1]) == ["PLT0013"]


def test_every_secret_that_a_server_names_is_looked_for() -> None:
    server = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["*"]}
    server["tls"] = {"mode": "MUTUAL", "credentialNames": ["a", "b"], "caCertCredentialName": "c"}
    pod = obj("Pod", "edge", {"containers": []}, "istio-system", labels={"istio": "edge"})
    gateway = obj("Gateway", "g", {"selector": {"istio": "edge"}, "servers": [server]})
    world = World(map(Item, [pod, gateway]))
    found = analyze(world, [BY_NAME["gateway.SecretAnalyzer"]])
    assert {(one.code, one.path) for one in found} == {
        ("IST0101", "spec.servers[0].tls.credentialNames[0]"),
        ("IST0101", "spec.servers[0].tls.credentialNames[1]"),
        ("IST0101", "spec.servers[0].tls.caCertCredentialName"),
    }


@pytest.mark.parametrize(
    ("spec", "metadata", "wanted"),
    [
        ({}, {}, []),
        ({"resolution": "NONE"}, {}, ["IST0134"]),
        ({"hosts": ["*.example.com"]}, {}, ["IST0134"]),
        ({}, {"labels": {"networking.istio.io/enable-autoallocate-ip": "false"}}, ["IST0134"]),
    ],
)
def test_entries_want_addresses_where_the_control_plane_allocates_none(
    spec: dict[str, Any], metadata: dict[str, Any], wanted: list[str]
) -> None:
    ports = [{"number": 9000, "name": "tcp", "protocol": "TCP"}]
    entry = {"hosts": ["db.example.com"], "ports": ports, "resolution": "DNS", **spec}
    world = World([Item(obj("ServiceEntry", "db", entry, **metadata))], Surroundings(allocates=True))
    assert [found.code for found in analyze(world, [BY_NAME["serviceentry.Analyzer"]])] == wanted


def peers(spec: dict[str, Any]) -> Item:
    metadata = {"name": "web", "namespace": "shop"}
    return Item(
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}
    )


def asked_of_web(world: World) -> str:
    policies = peer_policies(world.reader, "shop", world.root_namespace)
    return policies.of((("app", "web"),)).whole.mode


def test_of_a_policy_that_cannot_be_used_what_is_in_effect_is_judged() -> None:
    unusable = peers({"mtls": {"mode": "STRCT"}})
    world = World([unusable])
    assert asked_of_web(world) == "STRICT"
    # What is tried does not become the version before.
    with world.trying(peers({"mtls": {"mode": "DISABLE"}})):
        assert asked_of_web(world) == "DISABLE"
    assert asked_of_web(world) == "STRICT"
    world.put(peers({"mtls": {"mode": "DISABLE"}}))
    world.put(unusable)
    assert asked_of_web(world) == "DISABLE"
    world.remove(PEER_AUTHENTICATION, unusable.key)
    assert asked_of_web(world) == "PERMISSIVE"


def test_a_rule_against_a_policy_that_cannot_be_read_is_told() -> None:
    """Whom the mesh asks for mutual TLS by what it salvaged, plain calls do not reach."""
    pod = obj(
        "Pod",
        "web-1",
        {"containers": [{"name": "web"}, {"name": "istio-proxy", "image": "proxy"}]},
        labels={"app": "web"},
    )
    called = obj("Service", "web", {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]})
    plain = obj("DestinationRule", "plain", {"host": "web", "trafficPolicy": {"tls": {"mode": "DISABLE"}}})
    objects = [Item(each) for each in (pod, called, plain)]
    assert [one.code for one in analyze(World(objects))] == []
    found = analyze(World([*objects, peers({"mtls": {"mode": "STRCT"}})]))
    assert [(one.code, one.object.name) for one in found] == [("IST0106", "web"), ("PLT0009", "plain")]
