"""Manual injection: the pod template of a workload as the pods made from it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plait.inject.config import InjectConfig
from plait.inject.pod import Injection, inject_pod

#: Whose pods are made from `spec.template`, or one object deeper from that of `spec.jobTemplate`.
_TEMPLATED: Final = frozenset(
    {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "DeploymentConfig"}
)
_OLD: Final = frozenset({"extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"})


def inject_workload(obj: dict[str, Any], *, namespace: str, config: InjectConfig) -> Injection:
    """A Pod, or an object with a pod template, with the sidecar; any other object as it is.

    Asking by hand counts as the namespace's label `istio-injection: enabled` does; a pod that says
    `sidecar.istio.io/inject: "false"` is left alone. What has plait's sidecar stays as it is. Raises AnnotationError.
    """
    kind = obj.get("kind")
    home = str(_mapping(obj.get("metadata")).get("namespace") or namespace)
    space = {"metadata": {"name": home, "labels": {"istio-injection": "enabled"}}}
    if kind == "Pod":
        return inject_pod(obj, namespace=space, config=config)
    spec = _mapping(obj.get("spec"))
    if kind == "CronJob":
        outer = _mapping(spec.get("jobTemplate"))
        inner = _mapping(outer.get("spec"))
        made = _template(obj, inner.get("template"), space, config)
        if made is None:
            return Injection(obj, injected=False)
        job = {**outer, "spec": {**inner, "template": made.pod}}
        return Injection({**obj, "spec": {**spec, "jobTemplate": job}}, made.injected, made.warnings)
    made = _template(obj, spec.get("template"), space, config) if kind in _TEMPLATED else None
    if made is None:
        return Injection(obj, injected=False)
    return Injection({**obj, "spec": {**spec, "template": made.pod}}, made.injected, made.warnings)


def _template(
    obj: Mapping[str, Any], template: Any, space: Mapping[str, Any], config: InjectConfig
) -> Injection | None:
    """The template as if it were a pod of the workload: from its owner the sidecar knows the workload's name."""
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        return None
    title = f'{obj.get("kind")} "{_mapping(obj.get("metadata")).get("name", "")}"'
    owner = {
        # Old groups' objects are stored as apps/v1: that is what their pods' owner will be called.
        "apiVersion": "apps/v1" if obj.get("apiVersion") in _OLD else obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "name": _mapping(obj.get("metadata")).get("name", ""),
        "controller": True,
    }
    metadata = {**_mapping(template.get("metadata")), "ownerReferences": [owner]}
    made = inject_pod({**template, "metadata": metadata}, namespace=space, config=config)
    kept = {key: value for key, value in made.pod["metadata"].items() if key != "ownerReferences"}
    if "metadata" not in template and not kept:
        pod = {key: value for key, value in made.pod.items() if key != "metadata"}
    else:
        pod = {**made.pod, "metadata": kept}
    return Injection(pod, made.injected, tuple(f"{title}: {text}" for text in made.warnings))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
