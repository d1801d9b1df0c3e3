"""Ingresses become a Gateway and VirtualServices that mean the same."""

from __future__ import annotations

from typing import Any

from plait.api.decode import decode
from plait.mesh.config import MeshConfig
from plait.mesh.gateway_servers import GatewayServer, gateway_listeners
from plait.mesh.gateways import gateway_hosts
from plait.mesh.routes import RouteContext, rule_routes
from plait.mesh.rules import Source
from plait.snapshot.reader import Reader, recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

LABELS = (("istio", "ingressgateway"),)
CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "edge"},
    "spec": {"controller": "istio.io/ingress-controller"},
}


def ingress(
    name: str, *rules: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "annotations": annotations or {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta,
        "spec": {"rules": list(rules), **spec},
    }


def rule(host: str, **paths: str) -> dict[str, Any]:
    """`paths`: service=Type:path."""
    made = []
    for service, text in paths.items():
        kind, _, path = text.partition(":")
        made.append({"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"number": 80}}}})
    return {"host": host, "http": {"paths": made}}


def world(*objects: dict[str, Any]) -> Reader:
    changes = []
    for obj in objects:
        decoded = decode(obj)
        assert decoded.key is not None
        changes.append(ObjectChange(decoded.key, decoded.value))
    return recording(advance(Snapshot(), changes)[0])[0]


def routes(reader: Reader, port: int = 80) -> dict[str, list[tuple[str, str]]]:
    """host -> (what is matched, Service) in order."""
    servers = [s for listener in gateway_listeners(reader, "istio-system", LABELS) for s in listener.servers]

    def of(entry: Any, server: GatewayServer) -> Any:
        context = RouteContext(
            source=Source(""), gateways=frozenset({server.gateway_name}), port=server.number, mesh=MeshConfig()
        )
        found = reader.virtual_service(entry.key)
        return rule_routes(reader, entry.key, found, context) if found is not None else ()

    hosts = gateway_hosts(
        (s for s in servers if s.number == port),
        rules=lambda name: reader.virtual_services(name, "istio-system"),
        routes=of,
    )
    result: dict[str, list[tuple[str, str]]] = {}
    for host in hosts:
        for route in host.routes:
            uri = route.match.uri if route.match is not None else None
            text = "" if uri is None else (f"={uri.exact}" if uri.exact is not None else f"{uri.prefix}*")
            result.setdefault(host.host, []).append((text, route.action.destinations[0].cluster.host.split(".")[0]))  # type: ignore[union-attr]
    return result


def test_paths_hold_by_type_and_the_longest_first_even_of_several_ingresses() -> None:
    reader = world(
        CLASS,
        ingress(
            "one", rule("a.example", root="Prefix:/", foo="Prefix:/foo/", exact="Exact:/foo"), ingressClassName="edge"
        ),
        ingress(
            "two",
            rule("a.example", longer="Prefix:/foo/bar", star="ImplementationSpecific:/s.*"),
            ingressClassName="edge",
        ),
    )
    assert routes(reader)["a.example"] == [
        ("=/foo/bar", "longer"),
        ("=/foo", "exact"),
        ("=/foo", "foo"),
        ("/foo/bar/*", "longer"),
        ("/foo/*", "foo"),
        ("/s*", "star"),
        ("/*", "root"),
    ]


def test_the_default_backend_takes_what_no_path_takes_on_any_host() -> None:
    backend = {"service": {"name": "rest", "port": {"name": "http"}}}
    reader = world(
        ingress(
            "one",
            rule("a.example", foo="Exact:/foo"),
            annotations={"kubernetes.io/ingress.class": "istio"},
            defaultBackend=backend,
        )
    )
    assert routes(reader) == {"*": [("", "rest")], "a.example": [("=/foo", "foo"), ("", "rest")]}


def test_hosts_with_a_certificate_are_served_with_tls_too() -> None:
    reader = world(
        CLASS,
        ingress(
            "one",
            rule("a.example", foo="Prefix:/"),
            ingressClassName="edge",
            tls=[{"hosts": ["a.example"], "secretName": "a"}],
        ),
    )
    plain, secure = gateway_listeners(reader, "istio-system", LABELS)
    assert (plain.port, secure.port) == (80, 443)
    assert secure.servers[0].tls is not None
    assert (secure.servers[0].hosts, secure.servers[0].tls.credential_name) == (("a.example",), "a")
    assert routes(reader, 443) == {"a.example": [("/*", "foo")]}


def test_only_istios_classes_are_served() -> None:
    other = {**CLASS, "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}
    entries = [
        ingress("none", rule("none.example", a="Prefix:/")),
        ingress("unknown", rule("unknown.example", a="Prefix:/"), ingressClassName="unknown"),
        ingress("other", rule("other.example", a="Prefix:/"), ingressClassName="nginx"),
        ingress("old", rule("old.example", a="Prefix:/"), annotations={"kubernetes.io/ingress.class": "nginx"}),
    ]
    assert gateway_listeners(world(other, *entries), "istio-system", LABELS) == ()


def test_ingresses_that_share_a_host_with_tls_share_its_paths() -> None:
    tls = [{"hosts": ["a.example"], "secretName": "a"}]
    reader = world(
        CLASS,
        ingress("one", rule("a.example", foo="Prefix:/foo"), ingressClassName="edge", tls=tls),
        ingress("two", rule("a.example", bar="Prefix:/foo/bar"), ingressClassName="edge", tls=tls),
    )
    secure = gateway_listeners(reader, "istio-system", LABELS)[1]
    assert [server.gateway.name for server in secure.servers] == ["one-istio-autogenerated-k8s-ingress"]
    wanted = [("=/foo/bar", "bar"), ("=/foo", "foo"), ("/foo/bar/*", "bar"), ("/foo/*", "foo")]
    assert routes(reader, 443) == routes(reader) == {"a.example": wanted}
