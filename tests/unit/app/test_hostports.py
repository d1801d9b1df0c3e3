from __future__ import annotations

from typing import Any

from plait.kube.reflect import Ref
from plait.machine.node.hostports import targets


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
    assert targets(slices) == {
        "http": ["10.0.0.1:80", "10.0.0.2:80"],
        "https": ["10.0.0.1:443", "10.0.0.2:443"],
        "console": [],
    }


def test_without_slices_ports_lead_nowhere() -> None:
    assert targets({}) == {"http": [], "https": [], "console": []}
