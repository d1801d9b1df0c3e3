"""Which workload a pod belongs to, by its owner reference: the names Istio's telemetry and node metadata use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLURALS = {
    "Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets", "Job": "jobs", "CronJob": "cronjobs", "Pod": "pods",
}  # fmt: skip
#: A Job of a CronJob is named for the minute it was due at.
_CRON_JOB = re.compile(r"(.+)-\d{8,10}")
_NOT_LABEL = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The object a user wrote: a Deployment stands for its ReplicaSets, a CronJob for its Jobs."""

    api_version: str
    kind: str
    name: str

    def owner_uri(self, namespace: str) -> str:
        """Istio's form of the owner in node metadata."""
        plural = _PLURALS.get(self.kind, self.kind.lower() + "s")
        return f"kubernetes://apis/{self.api_version}/namespaces/{namespace}/{plural}/{self.name}"


def workload_of(pod: Mapping[str, Any]) -> Workload:
    """The workload of a pod; a pod nobody controls is its own."""
    metadata = pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    controller = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if controller is None:
        name = metadata.get("name") or (metadata.get("generateName") or "").rstrip("-")
        return Workload(api_version="v1", kind="Pod", name=name)
    version, kind, name = controller.get("apiVersion", ""), controller.get("kind", ""), controller.get("name", "")
    template_hash = labels.get("pod-template-hash")
    if kind == "ReplicaSet" and template_hash and name.endswith(f"-{template_hash}"):
        return Workload(api_version=version, kind="Deployment", name=name.removesuffix(f"-{template_hash}"))
    if kind == "Job" and (cron := _CRON_JOB.fullmatch(name)):
        return Workload(api_version=version, kind="CronJob", name=cron[1])
    return Workload(api_version=version, kind=kind, name=name)


def canonical(labels: Mapping[str, str], workload: Workload) -> tuple[str, str]:
    """Istio's canonical service name and revision of a pod, as label values."""
    name = labels.get("service.istio.io/canonical-name") or labels.get("app.kubernetes.io/name")
    name = name or labels.get("app") or workload.name
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("app.kubernetes.io/version")
    revision = revision or labels.get("version") or "latest"
    return _label(name), _label(revision)


def _label(value: str) -> str:
    return _NOT_LABEL.sub("-", value)[:63].strip("-_.")
