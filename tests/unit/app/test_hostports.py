from __future__ import annotations

from typing import Any

from plait.kube.reflect import Ref
from plait.machine.services.hostports import NODE_PORTS_OPEN, balanced_ports, conditions, targets


def piece(service: str, ports: dict[str, int], *endpoints: tuple[str, bool | None]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "istio-system", "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": name, "port": number} for name, number in ports.items()],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in endpoints],
    }


def test_ports_lead_to_ready_endpoints_of_the_gateway() -> None:
    gateway = {"http2": 80, "https": 443}
    slices = {
        Ref("istio-system", "a"): piece("istio-ingressgateway", gateway, ("10.0.0.2", True), ("10.0.0.3", False)),
        Ref("istio-system", "b"): piece("istio-ingressgateway", gateway, ("10.0.0.1", None)),
        Ref("istio-system", "c"): piece("istiod", {"http2": 1}, ("10.0.0.9", True)),
    }
    assert targets(slices, {}) == {
        "http": ["10.0.0.1:80", "10.0.0.2:80"],
        "https": ["10.0.0.1:443", "10.0.0.2:443"],
        "console": [],
    }


def test_without_slices_ports_lead_nowhere() -> None:
    assert targets({}, {}) == {"http": [], "https": [], "console": []}


def test_node_ports_lead_to_the_pods_of_their_service() -> None:
    ports = [
        {"name": "web", "port": 80, "nodePort": 30001},
        {"name": "dns", "port": 53, "nodePort": 30053, "protocol": "UDP"},
        {"name": "more", "port": 81, "nodePort": 30002},
    ]
    services = {Ref("shop", "front-end"): {"metadata": {}, "spec": {"ports": ports}}}
    mine = piece("front-end", {"web": 8079}, ("10.0.0.5", True))
    other = piece("front-end", {"web": 8079}, ("10.0.0.6", True))
    found = targets({Ref("shop", "a"): mine, Ref("else", "a"): other}, services)
    assert found["30001"] == ["10.0.0.5:8079"]
    assert found["30002"] == [], "open, and leading nowhere yet"
    assert "30053" not in found


def test_a_load_balancer_has_an_address_of_its_own_which_lasts_as_long_as_its_vip() -> None:
    spec = {"type": "LoadBalancer", "clusterIP": "10.42.130.7", "ports": [{"name": "web", "port": 80}]}
    ref = Ref("shop", "front-end")
    service = {"metadata": {"namespace": "shop", "name": "front-end"}, "spec": spec}
    mine = piece("front-end", {"web": 8079}, ("10.0.0.5", True))
    mine["metadata"]["namespace"] = "shop"
    assert targets({Ref("shop", "a"): mine}, {ref: service})["127.42.130.7:80"] == ["10.0.0.5:8079"]
    assert balanced_ports({**service, "spec": {**spec, "type": "NodePort"}}) == {}
    assert balanced_ports({**service, "spec": {**spec, "loadBalancerClass": "example.com/other"}}) == {}
    gateway = {"namespace": "istio-system", "name": "istio-ingressgateway"}
    assert balanced_ports({"metadata": gateway, "spec": spec}) == {}, "it has host ports"


def test_node_ports_that_are_not_open_are_told_while_it_is_so() -> None:
    ports = [{"name": name, "port": number, "nodePort": number + 30000} for name, number in (("a", 1), ("b", 2))]
    service: dict[str, Any] = {"metadata": {}, "spec": {"ports": ports}}
    assert conditions(service, {}, "now") == []
    taken = dict.fromkeys(("30001", "30002", "30003"), "Address already in use")
    (told,) = conditions(service, taken, "now")
    assert told == {
        "type": NODE_PORTS_OPEN,
        "status": "False",
        "reason": "NotOpened",
        "message": "node ports not open on 127.0.0.1: 30001, 30002: Address already in use",
        "lastTransitionTime": "now",
    }
    other = {"type": "example.com/Mine", "status": "True"}
    service["status"] = {"conditions": [told, other]}
    assert conditions(service, taken, "later") == [other, told]
    (_, less) = conditions(service, {"30002": "Permission denied"}, "later")
    assert less["message"] == "node ports not open on 127.0.0.1: 30002: Permission denied"
    assert less["lastTransitionTime"] == "now"
    assert conditions(service, {}, "later") == [other]
