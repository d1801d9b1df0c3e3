"""Which servers of Gateways share a port, and on which port of the pods they are."""

from __future__ import annotations

from typing import Any

from plait.api.decode import decode
from plait.mesh.gateway_servers import gateway_listeners
from plait.snapshot.reader import Reader, recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

LABELS = (("istio", "ingressgateway"),)


def gateway(name: str, *servers: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": dict(LABELS), "servers": list(servers)},
    }


def server(number: int, protocol: str, *hosts: str) -> dict[str, Any]:
    return {"port": {"number": number, "name": protocol.lower(), "protocol": protocol}, "hosts": list(hosts)}


def service(name: str, port: int, target: int, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "istio-system", "labels": labels},
        "spec": {"selector": dict(LABELS), "ports": [{"name": "http", "port": port, "targetPort": target}]},
    }


def listeners(*objects: dict[str, Any]) -> dict[int, list[str]]:
    """port -> the Gateways served there."""
    changes = []
    for obj in objects:
        decoded = decode(obj)
        assert decoded.key is not None
        changes.append(ObjectChange(decoded.key, decoded.value))
    reader: Reader = recording(advance(Snapshot(), changes)[0])[0]
    found = gateway_listeners(reader, "istio-system", LABELS)
    return {each.port: [f"{one.gateway.namespace}/{one.gateway.name}" for one in each.servers] for each in found}


def test_plain_http_shares_a_port() -> None:
    first, second = gateway("a", server(80, "HTTP", "a.example")), gateway("b", server(80, "HTTP2", "b.example"))
    assert listeners(first, second) == {80: ["shop/a", "shop/b"]}


def test_of_tcp_only_the_first_has_the_port() -> None:
    tcp = server(9000, "TCP", "*")
    assert listeners(gateway("g", tcp), gateway("g", tcp, namespace="alpha")) == {9000: ["alpha/g"]}
    assert listeners(gateway("a", tcp), gateway("b", server(9000, "HTTP", "*"))) == {9000: ["shop/a"]}
    assert listeners(gateway("a", server(9000, "HTTP", "*")), gateway("b", tcp)) == {9000: ["shop/a"]}


def test_ports_of_the_gateways_service_are_translated_unless_it_says_otherwise() -> None:
    web = gateway("a", server(80, "HTTP", "*"))
    inside = {"experimental.istio.io/disable-gateway-port-translation": "true"}
    assert listeners(web, service("edge", 80, 8080)) == {8080: ["shop/a"]}
    assert listeners(web, service("local", 80, 8081, **inside)) == {80: ["shop/a"]}
    assert listeners(web, service("edge", 80, 8080), service("local", 80, 8081, **inside)) == {8080: ["shop/a"]}
