"""The objects of plait's own control plane on one machine: what a chart installs on Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait import __version__

NAMESPACE = "istio-system"
INGRESS, EGRESS = "istio-ingressgateway", "istio-egressgateway"
#: Images by role; the machine's image table says what they run.
PILOT, PROXY = f"plait/pilot:{__version__}", f"plait/proxyv2:{__version__}"

_NO_RIGHTS = {
    "runAsUser": 1337,
    "runAsGroup": 1337,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def manifests(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Namespace, accounts, istiod and the ingress gateway, in the order in which they can be created.

    `ports` are the host ports: the gateway's Service shows those through which it is reached.
    """
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _object("v1", "ServiceAccount", "istiod", {"app": "istiod"}),
        _gateway_account(INGRESS),
        _istiod(),
        _istiod_service(),
        _gateway(INGRESS, http=80, https=443),
        _gateway_service(ports),
        _ingress_class(),
    ]


def egress_manifests() -> list[dict[str, Any]]:
    """The egress gateway, as Istio's demo profile has it."""
    labels = _gateway_labels(EGRESS)
    ports = [{"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]
    service = _object("v1", "Service", EGRESS, labels) | {"spec": {"selector": labels, "ports": ports}}
    return [_gateway_account(EGRESS), _gateway(EGRESS, http=8080, https=8443), service]


def mesh_settings(*, access_log_file: str) -> dict[str, Any]:
    """Istio's MeshConfig of the mesh, where users look for it: one line for each request into a file."""
    text = f"accessLogFile: {access_log_file}\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": NAMESPACE},
        "data": {"mesh": text},
    }


def _istiod() -> dict[str, Any]:
    container = {
        "name": "discovery",
        "image": PILOT,
        "ports": [
            {"name": "grpc-xds", "containerPort": 15010},
            {"name": "https-dns", "containerPort": 15012},
            {"name": "http-monitoring", "containerPort": 15014},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 15014}, "periodSeconds": 1, "timeoutSeconds": 2},
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_NAMESPACE", "metadata.namespace"),
            _field("POD_IP", "status.podIP"),
        ],
        "securityContext": _NO_RIGHTS,
    }
    labels = {"app": "istiod", "istio": "pilot"}
    return _deployment("istiod", labels, {"serviceAccountName": "istiod", "containers": [container]})


def _istiod_service() -> dict[str, Any]:
    # Headless: Envoy's own connections are not captured, so on one machine they go to pod addresses, not to a VIP.
    spec = {
        "clusterIP": "None",
        "selector": {"app": "istiod"},
        "ports": [
            {"name": "grpc-xds", "port": 15010, "targetPort": 15010},
            {"name": "https-dns", "port": 15012, "targetPort": 15012},
            {"name": "http-monitoring", "port": 15014, "targetPort": 15014},
        ],
    }
    return _object("v1", "Service", "istiod", {"app": "istiod", "istio": "pilot"}) | {"spec": spec}


def _ingress_class() -> dict[str, Any]:
    made = _object("networking.k8s.io/v1", "IngressClass", "istio", {"app": INGRESS})
    del made["metadata"]["namespace"]
    return made | {"spec": {"controller": "istio.io/ingress-controller"}}


def _gateway_labels(name: str) -> dict[str, str]:
    return {"app": name, "istio": name.removeprefix("istio-")}


def _gateway_account(name: str) -> dict[str, Any]:
    return _object("v1", "ServiceAccount", f"{name}-service-account", {"app": name})


def _gateway(name: str, *, http: int, https: int) -> dict[str, Any]:
    container = {
        "name": "istio-proxy",
        "image": PROXY,
        "args": ["proxy", "router", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "ports": [
            {"name": "http2", "containerPort": http},
            {"name": "https", "containerPort": https},
            {"name": "status-port", "containerPort": 15021},
            {"name": "http-envoy-prom", "containerPort": 15090},
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1},
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_NAMESPACE", "metadata.namespace"),
            _field("INSTANCE_IP", "status.podIP"),
            _field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ],
        "securityContext": _NO_RIGHTS,
    }
    pod = {"serviceAccountName": f"{name}-service-account", "containers": [container]}
    made = _deployment(name, _gateway_labels(name), pod)
    # Several ports of its Service lead to one of the pod's on purpose: the host's, and the usual ones.
    made["metadata"]["annotations"] = {"galley.istio.io/analyze-suppress": "IST0137"}
    return made


def _gateway_service(ports: Mapping[str, int]) -> dict[str, Any]:
    found = [
        {"name": "http2", "port": ports["http"], "targetPort": 80},
        {"name": "https", "port": ports["https"], "targetPort": 443},
        {"name": "status-port", "port": 15021, "targetPort": 15021},
        {"name": "tcp", "port": 31400, "targetPort": 31400},
    ]
    # Gateways name the usual ports whichever the host had free: for these, too, they must find the pod's 80 and 443.
    taken = {port["port"] for port in found}
    usual = {"http2-8080": (8080, 80), "https-8443": (8443, 443)}
    found += [
        {"name": name, "port": port, "targetPort": target}
        for name, (port, target) in usual.items()
        if port not in taken
    ]
    spec = {"type": "LoadBalancer", "selector": _gateway_labels(INGRESS), "ports": found}
    return _object("v1", "Service", INGRESS, _gateway_labels(INGRESS)) | {"spec": spec}


def _deployment(name: str, labels: Mapping[str, str], pod: Mapping[str, Any]) -> dict[str, Any]:
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": dict(labels)},
        "template": {
            "metadata": {
                "labels": {**labels, "sidecar.istio.io/inject": "false"},
            },
            "spec": dict(pod),
        },
    }
    return _object("apps/v1", "Deployment", name, labels) | {"spec": spec}


def _object(api_version: str, kind: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {**labels, "app.kubernetes.io/managed-by": "plait"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
