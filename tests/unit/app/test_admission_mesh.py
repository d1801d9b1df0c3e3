"""What the API server says at `kubectl apply` of Istio's objects, seen against everything that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plait.app.admission import Rules
from plait.machine.api.admission import AdmissionRequest, AdmissionResult, User
from plait.machine.api.store import Key, Store

PLURALS = {
    "Service": ("", "services"),
    "Pod": ("", "pods"),
    "Namespace": ("", "namespaces"),
    "Secret": ("", "secrets"),
    "Ingress": ("networking.k8s.io", "ingresses"),
    "IngressClass": ("networking.k8s.io", "ingressclasses"),
    "WorkloadEntry": ("networking.istio.io", "workloadentries"),
    "EndpointSlice": ("discovery.k8s.io", "endpointslices"),
    "ConfigMap": ("", "configmaps"),
    "VirtualService": ("networking.istio.io", "virtualservices"),
    "ServiceEntry": ("networking.istio.io", "serviceentries"),
    "DestinationRule": ("networking.istio.io", "destinationrules"),
    "Gateway": ("networking.istio.io", "gateways"),
    "EnvoyFilter": ("networking.istio.io", "envoyfilters"),
    "PeerAuthentication": ("security.istio.io", "peerauthentications"),
    "Policy": ("authentication.istio.io", "policies"),
}


class Cluster:
    """A store with plait's rules at its door."""

    def __init__(self, path: Path, *, log_length: int = 4096) -> None:
        self.store = Store(path / "store.db", log_length=log_length)
        self.rules = Rules()

    def admit(self, obj: dict[str, Any]) -> AdmissionResult:
        group, plural = PLURALS[obj["kind"]]
        meta = obj["metadata"]
        old = self.store.get((group, plural), Key(meta["namespace"], meta["name"]))
        return self.rules.admit(
            AdmissionRequest(
                operation="UPDATE" if old else "CREATE",
                group=group,
                version="v1",
                kind=obj["kind"],
                namespace=meta["namespace"],
                name=meta["name"],
                obj=obj,
                old=old.obj if old else None,
                namespace_object={"metadata": {"name": meta["namespace"], "labels": {"istio-injection": "enabled"}}},
                dry_run=False,
                user=User(name="admin"),
                objects=self.store,
            )
        )

    def apply(self, obj: dict[str, Any]) -> tuple[str, ...]:
        result = self.admit(obj)
        assert not result.errors
        self.store.put(PLURALS[obj["kind"]], obj)
        return result.warnings

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self.store.delete(PLURALS[kind], Key(namespace, name))


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    made = Cluster(tmp_path)
    yield made
    made.store.close()


def obj(kind: str, name: str, namespace: str = "shop", **body: Any) -> dict[str, Any]:
    group = PLURALS[kind][0]
    version = f"{group}/v1" if group else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **body}


def service(name: str, port: str = "http", number: int = 80, namespace: str = "shop") -> dict[str, Any]:
    ports = [{"name": port, "port": number}] if port else [{"port": number}]
    return obj("Service", name, namespace, spec={"clusterIP": "10.42.128.5", "ports": ports})


def routes(name: str, subset: str, namespace: str = "shop") -> dict[str, Any]:
    destination = {"destination": {"host": name, "subset": subset}}
    return obj("VirtualService", name, namespace, spec={"hosts": [name], "http": [{"route": [destination]}]})


def rule(name: str, *subsets: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    named = [{"name": subset, "labels": {"version": subset}} for subset in subsets]
    return obj("DestinationRule", name, namespace, spec={"host": name, "subsets": named, **spec})


def test_a_rule_that_drops_subsets_in_use_is_told_which_and_where(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    assert cluster.apply(rule("web", "v1", "v2")) == ()
    assert cluster.apply(routes("web", "v1")) == ()
    (said,) = cluster.apply(rule("web", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 2}}}))
    assert said == (
        "DestinationRule shop/web: spec.subsets: subset 'v1' is not defined, but in use by "
        "VirtualService/shop/web spec.http[0].route[0].destination: requests to it get 503; "
        "keep the subset: {name: v1, labels: …} [PLT0012]"
    )


def test_a_warning_goes_when_what_was_missing_is_there(cluster: Cluster) -> None:
    assert "there is no host web.shop" in cluster.apply(routes("web", "v1"))[0]
    cluster.apply(service("web"))
    assert "has no subset 'v1'" in cluster.apply(routes("web", "v1"))[0]
    cluster.apply(rule("web", "v1"))
    assert cluster.apply(routes("web", "v1")) == ()
    cluster.delete("Service", "shop", "web")
    assert "there is no host web.shop" in cluster.apply(routes("web", "v1"))[0]


def test_what_is_refused_later_or_only_tried_leaves_nothing_behind(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    cluster.admit(rule("web", "v1"))
    assert "has no subset 'v1'" in cluster.apply(routes("web", "v1"))[0]


def test_it_follows_a_store_whose_log_was_cut(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, log_length=2)
    cluster.apply(service("web"))
    cluster.apply(rule("web", "v1"))
    for _ in range(9):
        cluster.store.put(PLURALS["Service"], service("other"))
    cluster.delete("DestinationRule", "shop", "web")
    for _ in range(9):
        cluster.store.put(PLURALS["DestinationRule"], rule("other", "v1"))
    assert "has no subset 'v1'" in cluster.apply(routes("web", "v1"))[0]
    cluster.store.close()


def test_a_sibling_that_landed_in_another_namespace_is_recognized(cluster: Cluster) -> None:
    cluster.apply(service("web", namespace="shop"))
    (said,) = cluster.apply(rule("web", "v1", namespace="default"))
    assert said == (
        "DestinationRule default/web: spec.host: there is no host web.default.svc.cluster.local, so the rule has no "
        "effect (a Service 'web' is in namespace shop); apply it with -n shop, or write web.shop.svc.cluster.local "
        "[IST0174]"
    )


def test_two_rules_for_one_host_are_told_which_holds(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    first, second = routes("web", ""), routes("web", "")
    second["metadata"]["name"] = "web-too"
    first["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    second["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert cluster.apply(first) == ()
    (said,) = cluster.apply(second)
    assert said == (
        "VirtualService shop/web-too: spec.hosts[0]: VirtualServices shop/web, shop/web-too are all for web in "
        "sidecars, which use only one: shop/web is the oldest and holds; one VirtualService for each host [IST0109]"
    )
    (said,) = cluster.apply(first)
    assert "this one is the oldest and holds" in said


def test_of_hosts_that_cover_each_other_the_narrower_holds_whichever_is_older(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    one, all_of_them = routes("web", ""), routes("*.shop.svc.cluster.local", "")
    all_of_them["metadata"].update(name="all", creationTimestamp="2026-01-01T00:00:00Z")
    all_of_them["spec"]["exportTo"] = ["."]
    one["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    cluster.apply(all_of_them)
    (said,) = (each for each in cluster.apply(one) if "IST0109" in each)
    assert "this one has the narrower host and holds there" in said
    (said,) = (each for each in cluster.apply(all_of_them) if "IST0109" in each)
    assert "shop/web has the narrower host and holds there" in said


def test_of_two_destination_rules_for_one_host_the_parts_that_do_not_hold_are_named(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    policy = {"loadBalancer": {"simple": "RANDOM"}}
    first, second = rule("web", "v1", trafficPolicy=policy), rule("web", "v1", "v2", trafficPolicy=policy)
    second["metadata"] |= {"name": "web-too", "creationTimestamp": "2026-01-02T00:00:00Z"}
    cluster.apply(first)
    said = cluster.apply(second)
    assert [text.split(": ")[1] for text in said] == ["spec.subsets[0]", "spec.trafficPolicy"]


def test_ports_that_do_not_say_what_they_speak_are_told_where_sidecars_are(cluster: Cluster) -> None:
    (said,) = cluster.apply(service("rabbitmq", "amq", 5672))
    assert said == (
        "Service shop/rabbitmq: spec.ports[0].name: 'amq' does not say what port 5672 speaks, so the first bytes "
        "decide; http-amq or tcp-amq, or set appProtocol [IST0118]"
    )
    assert cluster.apply(service("rabbitmq", "amq", 5672)) == ()
    assert cluster.apply(service("carts-db", "", 27017)) == ()


def test_settings_of_the_mesh_are_checked_and_other_config_maps_are_not(cluster: Cluster) -> None:
    bad = obj("ConfigMap", "istio", "istio-system", data={"mesh": "accessLogFormat: '%X%'"})
    (error,) = cluster.admit(bad).errors
    assert error.path == "data.mesh.accessLogFormat"
    assert not cluster.admit(obj("ConfigMap", "istio", "shop", data={"mesh": "accessLogFormat: '%X%'"})).errors
    inert = obj("ConfigMap", "istio", "istio-system", data={"mesh": "ca: {address: a}"})
    assert cluster.admit(inert).warnings == (
        (
            "ConfigMap istio-system/istio: data.mesh.ca: has no effect: istiod is the authority, with a root of yours "
            "in the Secret cacerts"
        ),
    )


def test_two_gateways_that_want_a_port_for_different_protocols_are_told(cluster: Cluster) -> None:
    def gateway(name: str, protocol: str, created: str) -> dict[str, Any]:
        server = {"port": {"number": 80, "name": "a", "protocol": protocol}, "hosts": ["*"]}
        made = obj("Gateway", name, spec={"selector": {"istio": "ingressgateway"}, "servers": [server]})
        made["metadata"]["creationTimestamp"] = created
        return made

    labels = {"istio": "ingressgateway"}
    pod = obj("Pod", "edge", spec={"containers": [{"name": "istio-proxy", "image": "proxy"}]})
    pod["metadata"]["labels"] = labels
    cluster.store.put(PLURALS["Pod"], pod)
    edge = service("edge")
    edge["spec"]["selector"] = labels
    cluster.apply(edge)
    assert cluster.apply(gateway("one", "HTTP", "2026-01-01T00:00:00Z")) == ()
    same, other = cluster.apply(gateway("two", "TCP", "2026-01-02T00:00:00Z"))
    assert same.endswith("[IST0145]")
    assert "port 80 is not served as TCP: Gateway/shop/one is older and serves HTTP there" in other
    (said,) = cluster.apply(gateway("three", "HTTP", "2026-01-03T00:00:00Z"))
    assert "Gateways shop/one, shop/two serve the same hosts (*) on port 80" in said


def test_a_patch_of_bootstraps_is_told_of_and_travels_in_pods_made_from_then_on(cluster: Cluster) -> None:
    patch = {"operation": "MERGE", "value": {"statsFlushInterval": "1s"}}
    rule = obj("EnvoyFilter", "flush", spec={"configPatches": [{"applyTo": "BOOTSTRAP", "patch": patch}]})
    pod = obj("Pod", "web", spec={"containers": [{"name": "app", "image": "debian"}]})

    def variables() -> dict[str, str]:
        containers = cluster.admit(pod).obj["spec"]["containers"]
        return {item["name"]: item.get("value", "") for item in containers[-1]["env"]}

    assert "PLAIT_BOOTSTRAP_PATCHES" not in variables()
    (told,) = cluster.apply(rule)
    assert "spec.configPatches[0].applyTo: holds for pods made from now on" in told
    assert variables()["PLAIT_BOOTSTRAP_PATCHES"] == '[["shop/flush",{"stats_flush_interval":"1s"}]]'


def test_a_policy_of_istio_1_0_is_told_in_todays_words(cluster: Cluster) -> None:
    (said,) = cluster.apply(obj("Policy", "default", spec={"peers": [{"mtls": {}}]}))
    assert said == (
        "Policy shop/default: is of Istio 1.0, and PeerAuthentication shop/default is made of it; write "
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, "
        "spec: {mtls: {mode: STRICT}}}"
    )
    refused = cluster.admit(obj("Policy", "web", spec={"targets": [{"name": "web"}], "peers": [{"mtls": {}}]}))
    assert [error.path for error in refused.errors] == ["spec.targets[0]"]


def test_a_policy_does_not_take_the_place_of_a_peer_authentication(cluster: Cluster) -> None:
    cluster.apply(obj("PeerAuthentication", "default", spec={"mtls": {"mode": "DISABLE"}}))
    (error,) = cluster.admit(obj("Policy", "default", spec={"peers": [{"mtls": {}}]})).errors
    assert "PeerAuthentication shop/default says what holds there already; change that one" in error.message
    assert not cluster.admit(obj("Policy", "default", "other", spec={})).errors


def test_an_ingress_is_told_what_it_names_and_is_not_there(cluster: Cluster) -> None:
    cluster.apply(obj("IngressClass", "istio", "", spec={"controller": "istio.io/ingress-controller"}))
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    spec = {"ingressClassName": "istio", "rules": [{"http": {"paths": [path]}}], "tls": [{"secretName": "cert"}]}
    edge = obj("Ingress", "edge", spec=spec)
    backend, certificate = cluster.apply(edge)
    assert backend == (
        "Ingress shop/edge: spec.rules[0].http.paths[0].backend.service.name: there is no Service 'web' in namespace "
        "shop: requests get 503; the name of a Service of its own namespace [PLT0010]"
    )
    assert "there is no Secret 'cert' in namespace istio-system" in certificate
    cluster.apply(service("web"))
    assert cluster.apply(edge) == (certificate,)


def test_annotations_of_a_service_are_judged_when_they_are_written(cluster: Cluster) -> None:
    cluster.apply(obj("Namespace", "shop", ""))
    wrong = service("web")
    wrong["metadata"]["annotations"] = {
        "networking.istio.io/exportTo": "shpo",
        "networking.istio.io/traffic-distribution": "Foo",
    }
    words = cluster.apply(wrong)
    assert sorted(word.rpartition(" ")[2] for word in words) == ["[IST0125]", "[PLT0010]"]
    assert any(
        word.endswith("exported to namespace 'shpo', which is not there; shop, . or * [PLT0010]") for word in words
    )
    # A change of something else is not about them.
    assert cluster.apply(wrong | {"spec": service("web", number=81)["spec"]}) == ()


def test_an_address_of_ipv6_is_told(cluster: Cluster) -> None:
    (said,) = cluster.apply(obj("WorkloadEntry", "vm", spec={"address": "2001:db8::1"}))
    assert said == (
        "WorkloadEntry shop/vm: spec.address: '2001:db8::1' is an IPv6 address, and pods have IPv4 addresses only: "
        "calls of it fail; an IPv4 address [PLT0017]"
    )


def test_a_service_and_an_entry_of_one_name_are_told_to_whoever_comes_second(cluster: Cluster) -> None:
    host = "web.shop.svc.cluster.local"
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    endpoints = [{"address": "10.0.0.9"}]
    spec = {"hosts": [host], "ports": ports, "resolution": "STATIC", "endpoints": endpoints}
    entry = obj("ServiceEntry", "x", "away", spec=spec)
    takes = (
        "takes the calls of namespace away from Service shop/web, whose name it is: for others that see the Service it "
        "comes first"
    )
    assert cluster.apply(entry) == ()
    named = f"Service shop/web: metadata.name: ServiceEntry away/x has the name of this Service and {takes} [PLT0021]"
    assert cluster.apply(service("web")) == (named,)
    fix = "a host of its own, to which a VirtualService may send calls of the Service"
    assert cluster.apply(entry) == (f"ServiceEntry away/x: spec.hosts[0]: {takes}; {fix} [PLT0021]",)
    # A change of the Service is not about its name.
    assert cluster.apply(service("web", number=81)) == ()
