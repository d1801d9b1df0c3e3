"""Objects that the tests' meshes are given."""

from __future__ import annotations

import json
from typing import Any

#: Of a server that listens on port 8000. By itself a probe waits a second, and a few slow answers on a busy machine
#: would take the pod out of its Service.
READY: dict[str, Any] = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1, "timeoutSeconds": 60}
HTTP: dict[str, Any] = {"name": "http", "port": 80, "targetPort": 8000}


def listed(*objects: dict[str, Any]) -> str:
    """A file with several objects, which kubectl takes in this order."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def namespace(name: str, *, injected: bool = True) -> dict[str, Any]:
    """One whose pods get sidecars, or do not."""
    labels = {"istio-injection": "enabled"} if injected else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def account(name: str, namespace: str) -> dict[str, Any]:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def service(name: str, namespace: str, *ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The Service of the pods labelled `app: NAME`; `ports` are HTTP's if none are named."""
    made = {"selector": {"app": name}, "ports": list(ports) or [HTTP], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": made}


def python(program: str, *, name: str = "c", **more: Any) -> dict[str, Any]:
    """A container that runs a Python program."""
    return {"name": name, "image": "python:3", "command": ["python3", "-c", program], **more}


def pod(
    name: str,
    namespace: str,
    *command: str,
    annotations: dict[str, str] | None = None,
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A pod labelled `app: NAME` with a container `c` that runs a command; `container` says more of that."""
    made = {"name": "c", "image": "python:3", "command": list(command), **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": annotations or {}},
        "spec": {"containers": [made], "terminationGracePeriodSeconds": 1, **spec},
    }


def deployment(
    name: str,
    namespace: str,
    container: dict[str, Any],
    *,
    replicas: int = 1,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Deployment of pods with one container; they are labelled `app: NAME` if nothing else is said."""
    labels = labels or {"app": name}
    template = {
        "metadata": {"labels": labels, "annotations": annotations or {}},
        "spec": {"containers": [container], **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
