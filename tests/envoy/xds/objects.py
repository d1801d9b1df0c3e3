"""Objects of the namespace `shop`, of which the tests' proxies are made. Everything listens on 127.0.0.1."""

from __future__ import annotations

from typing import Any

ISTIO = "networking.istio.io/v1"


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", **more}


def istio(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": ISTIO, "kind": kind, "metadata": meta(name), "spec": spec}


def destination_rule(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    """For a host, with one traffic policy."""
    return istio("DestinationRule", name, {"host": name, "trafficPolicy": policy})


def service(name: str = "web", port: int = 80, *, port_name: str = "http", **spec: Any) -> dict[str, Any]:
    """A Service with one port; its address is 10.42.128.1 if no other is given."""
    spec = {
        "clusterIP": "10.42.128.1",
        "selector": {"app": name},
        "ports": [{"name": port_name, "port": port}],
        **spec,
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name), "spec": spec}


def endpoint(name: str, port: int, *, of: str = "web", port_name: str = "http", pod: str = "") -> dict[str, Any]:
    """An EndpointSlice `name` of the Service `of` with one endpoint: `port`, and the pod it is if that is said."""
    target = {"targetRef": {"kind": "Pod", "name": pod}} if pod else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(name, labels={"kubernetes.io/service-name": of}),
        "endpoints": [{"addresses": ["127.0.0.1"], **target}],
        "ports": [{"name": port_name, "port": port}],
    }


def pod(name: str, status: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    """A pod; underlines of its labels' names stand for dashes."""
    named = {key.replace("_", "-"): value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, labels=named), "status": status or {}}
