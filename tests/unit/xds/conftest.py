"""Small builders of API objects, and a mesh in miniature to apply them to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.mesh.node import ProxyNode
from plait.xds.engine import Engine, Upsert
from plait.xds.resource import ViewUpdate

ISTIO = "networking.istio.io/v1"


def meta(name: str, namespace: str, created: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "creationTimestamp": created, **more}


def service(name: str, namespace: str = "shop", *, ip: str = "", ports: Any = None, **more: Any) -> dict[str, Any]:
    ports = ports or [{"name": "http", "port": 80, "targetPort": 8080}]
    annotations = more.pop("annotations", {})
    spec = {"clusterIP": ip or "10.42.128.9", "selector": {"app": name}, "ports": ports, **more}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, namespace, annotations=annotations),
        "spec": spec,
    }


def pod(name: str, namespace: str = "shop", *, ip: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, namespace, labels=labels),
        "spec": {"containers": [{"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def endpoints(service: str, namespace: str = "shop", *, pods: dict[str, str], ports: Any = None) -> dict[str, Any]:
    """A slice of `service`: pod name -> address."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(f"{service}-1", namespace, labels={"kubernetes.io/service-name": service}),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": name},
            }
            for name, address in pods.items()
        ],
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def virtual_service(
    name: str,
    namespace: str = "shop",
    *,
    hosts: list[str],
    http: Any,
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": meta(name, namespace, created),
        "spec": {"hosts": hosts, "http": http, **spec},
    }


def destination_rule(
    name: str,
    namespace: str = "shop",
    *,
    host: str,
    subsets: Any = (),
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    """`subsets`: names, each the value of the label `version`."""
    chosen = [{"name": subset, "labels": {"version": subset}} for subset in subsets]
    return {
        "apiVersion": ISTIO,
        "kind": "DestinationRule",
        "metadata": meta(name, namespace, created),
        "spec": {"host": host, "subsets": chosen, **spec},
    }


def service_entry(name: str, namespace: str = "shop", *, protocol: str = "HTTP", **spec: Any) -> dict[str, Any]:
    ports = [{"number": 443 if protocol == "TLS" else 80, "name": protocol.lower(), "protocol": protocol}]
    return {
        "apiVersion": ISTIO,
        "kind": "ServiceEntry",
        "metadata": meta(name, namespace),
        "spec": {"ports": ports, **spec},
    }


def workload_entry(name: str, namespace: str = "shop", *, address: str, **labels: str) -> dict[str, Any]:
    spec = {"address": address, "labels": labels}
    return {"apiVersion": ISTIO, "kind": "WorkloadEntry", "metadata": meta(name, namespace), "spec": spec}


def sidecar_object(name: str, namespace: str = "shop", *, hosts: list[str], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": ISTIO,
        "kind": "Sidecar",
        "metadata": meta(name, namespace),
        "spec": {"egress": [{"hosts": hosts}], **spec},
    }


def peer_authentication(name: str, namespace: str, mode: str, **labels: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"mtls": {"mode": mode}}
    if labels:
        spec |= {"selector": {"matchLabels": labels}, "portLevelMtls": {"9000": {"mode": "STRICT"}}}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": meta(name, namespace),
        "spec": spec,
    }


def gateway(name: str = "edge", namespace: str = "shop", *, hosts: Any = ("*",), **server: Any) -> dict[str, Any]:
    entry = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts), **server}
    return {
        "apiVersion": ISTIO,
        "kind": "Gateway",
        "metadata": meta(name, namespace),
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [entry]},
    }


def to(host: str, subset: str = "", port: int = 0, weight: int = 0) -> dict[str, Any]:
    """One entry of `route`."""
    destination: dict[str, Any] = {"host": host}
    if subset:
        destination["subset"] = subset
    if port:
        destination["port"] = {"number": port}
    return {"destination": destination, **({"weight": weight} if weight else {})}


def sidecar(namespace: str = "shop", pod: str = "caller", **labels: str) -> ProxyNode:
    return ProxyNode(
        kind="sidecar",
        ip="10.42.0.2",
        pod=pod,
        namespace=namespace,
        labels=tuple(sorted(labels.items())),
        certificates=True,
    )


def router(**labels: str) -> ProxyNode:
    labels = labels or {"istio": "ingressgateway"}
    return ProxyNode(
        kind="router", ip="10.42.0.3", pod="gw", namespace="istio-system", labels=tuple(sorted(labels.items()))
    )


class Ledger:
    """What a receiver of view updates holds: view -> type -> name -> version."""

    def __init__(self) -> None:
        self.views: dict[str, dict[str, dict[str, str]]] = {}

    def receive(self, updates: tuple[ViewUpdate, ...]) -> None:
        for update in updates:
            held = self.views.setdefault(update.view, {}).setdefault(update.type_url, {})
            for resource in update.upserts:
                assert held.get(resource.name) != resource.version, f"{resource.name} was sent without a change"
                held[resource.name] = resource.version
            for name in update.removed:
                del held[name]


def read(updates: tuple[ViewUpdate, ...], module: Any, message: str) -> dict[str, Any]:
    """The messages of one type in `updates`, by resource name."""
    result = {}
    for update in updates:
        response = DeltaDiscoveryResponse.FromString(b"".join(item.encoded for item in update.upserts))
        for resource in response.resources:
            if resource.resource.type_url.endswith("." + message):
                result[resource.name] = getattr(module, message).FromString(resource.resource.value)
    return result


def view_of(objects: Any, node: ProxyNode) -> tuple[ViewUpdate, ...]:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in objects)
    engine.attach(node)
    return engine.take()


@pytest.fixture(scope="session")
def k8s() -> SimpleNamespace:
    return SimpleNamespace(
        service=service,
        pod=pod,
        endpoints=endpoints,
        virtual_service=virtual_service,
        destination_rule=destination_rule,
        service_entry=service_entry,
        workload_entry=workload_entry,
        sidecar_object=sidecar_object,
        peer_authentication=peer_authentication,
        gateway=gateway,
        to=to,
        sidecar=sidecar,
        router=router,
        ledger=Ledger,
        read=read,
        view_of=view_of,
    )
