"""The containers that injection adds: `istio-init`, and `istio-proxy` as sidecar or as gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from plait.inject import annotations as names
from plait.inject.config import INIT_CONTAINER, PROXY_CONTAINER, PROXY_UID, InjectConfig
from plait.inject.owner import workload_of
from plait.inject.proxy_settings import PROXY_CONFIG, ProxySettings
from plait.inject.user_volumes import user_mounts

VOLUMES: tuple[dict[str, Any], ...] = (
    {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
    {"name": "istio-data", "emptyDir": {}},
)
_MOUNTS = (
    {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
    {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
)


def init_container(pod: Mapping[str, Any], *, config: InjectConfig) -> dict[str, Any]:
    """`istio-init`: loads the capture rules; its arguments are those of istio-iptables and say what is captured."""
    annotations = names.of(pod)
    excluded_inbound = ",".join(filter(None, ("15090,15021,15020", annotations.get(names.EXCLUDE_INBOUND_PORTS))))
    args = [
        "istio-iptables",
        "-p", "15001", "-z", "15006", "-u", str(PROXY_UID),
        "-m", annotations.get(names.INTERCEPTION_MODE, "REDIRECT"),
        "-i", annotations.get(names.INCLUDE_OUTBOUND_RANGES, "*"),
        "-x", annotations.get(names.EXCLUDE_OUTBOUND_RANGES, ""),
        "-b", annotations.get(names.INCLUDE_INBOUND_PORTS, "*"),
        "-d", excluded_inbound,
    ]  # fmt: skip
    for flag, name in (
        ("-q", names.INCLUDE_OUTBOUND_PORTS),
        ("-o", names.EXCLUDE_OUTBOUND_PORTS),
        ("-c", names.EXCLUDE_INTERFACES),
    ):
        if annotations.get(name):
            args += [flag, annotations[name]]
    return {
        "name": INIT_CONTAINER,
        "image": config.image,
        "args": args,
        "resources": _resources(annotations, config),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": False,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "runAsUser": 0,
        },
    }


def proxy_container(
    pod: Mapping[str, Any],
    *,
    namespace: str,
    role: Literal["sidecar", "router"],
    config: InjectConfig,
    settings: ProxySettings,
) -> dict[str, Any]:
    """`istio-proxy`: Envoy as uid 1337. Its startup probe holds the application back until it is ready."""
    annotations = names.of(pod)
    ready = {"httpGet": {"path": "/healthz/ready", "port": 15021}, "timeoutSeconds": 3}
    ports = [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}]
    return {
        "name": PROXY_CONTAINER,
        "image": config.image,
        "args": [
            "proxy",
            role,
            "--domain",
            f"$(POD_NAMESPACE).svc.{config.domain}",
            f"--proxyLogLevel={annotations.get('sidecar.istio.io/logLevel', 'warning')}",
            f"--proxyComponentLogLevel={annotations.get('sidecar.istio.io/componentLogLevel', 'misc:error')}",
            f"--log_output_level={annotations.get('sidecar.istio.io/agentLogLevel', 'default:info')}",
            *([] if settings.concurrency is None else [f"--concurrency={settings.concurrency}"]),
        ],
        "env": _with(_environment(pod, namespace=namespace, config=config), _settings(settings)),
        "ports": ports,
        "readinessProbe": {**ready, "failureThreshold": 4, "periodSeconds": 15},
        "startupProbe": {**ready, "failureThreshold": 600, "periodSeconds": 1},
        "resources": _resources(annotations, config),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": True,
            "runAsUser": PROXY_UID,
        },
        "volumeMounts": [dict(mount) for mount in (*_MOUNTS, *user_mounts(pod))],
    }


def _environment(pod: Mapping[str, Any], *, namespace: str, config: InjectConfig) -> list[dict[str, Any]]:
    containers = [c for c in (pod.get("spec") or {}).get("containers") or () if c.get("name") != PROXY_CONTAINER]
    ports = [
        {key: port[key] for key in ("name", "containerPort", "protocol") if key in port}
        for container in containers
        for port in container.get("ports") or ()
    ]
    workload = workload_of(pod)
    values = {
        "ISTIO_META_CLUSTER_ID": config.cluster_id,
        "ISTIO_META_INTERCEPTION_MODE": names.of(pod).get(names.INTERCEPTION_MODE, "REDIRECT"),
        "ISTIO_META_POD_PORTS": json.dumps(ports, separators=(",", ":")),
        "ISTIO_META_APP_CONTAINERS": ",".join(c.get("name", "") for c in containers),
        "ISTIO_META_WORKLOAD_NAME": workload.name,
        "ISTIO_META_OWNER": workload.owner_uri(namespace),
        "ISTIO_META_MESH_ID": config.mesh_id,
        "TRUST_DOMAIN": config.trust_domain,
    }
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "HOST_IP": "status.hostIP",
        "ISTIO_META_NODE_NAME": "spec.nodeName",
    }
    referred = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    return referred + [{"name": name, "value": value} for name, value in values.items()]


def _settings(settings: ProxySettings) -> Mapping[str, str]:
    if not settings.discovery_address:
        return settings.environment
    return {PROXY_CONFIG: json.dumps({"discoveryAddress": settings.discovery_address}), **settings.environment}


def _with(variables: list[dict[str, Any]], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The variables with those of a ProxyConfig, which replace ones of the same name."""
    kept = [variable for variable in variables if variable["name"] not in environment]
    return kept + [{"name": name, "value": value} for name, value in environment.items()]


def _resources(annotations: Mapping[str, str], config: InjectConfig) -> dict[str, Any]:
    """Requests and limits; as with Istio, naming one of the four by annotation replaces the defaults altogether."""
    asked = {
        (kind, resource): annotations[f"sidecar.istio.io/{name}"]
        for kind, resource, name in (
            ("requests", "cpu", "proxyCPU"),
            ("requests", "memory", "proxyMemory"),
            ("limits", "cpu", "proxyCPULimit"),
            ("limits", "memory", "proxyMemoryLimit"),
        )
        if f"sidecar.istio.io/{name}" in annotations
    }
    if not asked:
        return {"requests": dict(config.requests), "limits": dict(config.limits)}
    resources: dict[str, Any] = {}
    for (kind, resource), value in asked.items():
        resources.setdefault(kind, {})[resource] = value
    return resources
