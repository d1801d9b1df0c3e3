"""Workloads as they were written before Kubernetes 1.16 -> apps/v1, saying what to write today.

Only syntax is converted. The defaults that follow are those of apps/v1: a rolling update of 25 %, ten kept revisions.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from plait.inject.aged import aged_images
from plait.inject.config import InjectConfig
from plait.inject.foreign import find_foreign

_LEGACY_VERSIONS: Final = frozenset({"extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"})
_WORKLOADS: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"})
_GONE_FIELDS: Final = ("rollbackTo", "templateGeneration")
_NODE_LABELS: Final = {
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}


def convert_workload(
    obj: dict[str, Any], *, stored: dict[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A workload in today's form, with a warning for each change that its author should make too.

    `stored` is the workload that it replaces. A selector that is not given stays as it is there: nobody may change it.

    Takes any object with a pod template and any other object, which it gives back as it is. A template that carries a
    sidecar of another make is warned about and kept: its pods get plait's instead when they are created, and the
    sidecar in the template is what says that they want one.
    """
    obj = copy.deepcopy(obj)
    warnings: list[str] = []
    metadata = _mapping(obj.get("metadata"))
    title = f'{obj.get("kind", "object")} "{metadata.get("name", "")}"'
    if obj.get("kind") in _WORKLOADS and obj.get("apiVersion") in _LEGACY_VERSIONS:
        warnings += _to_apps_v1(obj, title, stored)
    for template, path in _templates(obj):
        if _mapping(template.get("metadata")).get("creationTimestamp", "") is None:
            del template["metadata"]["creationTimestamp"]
        warnings += _node_selector(_mapping(template.get("spec")), f"{title}: {path}.spec.nodeSelector")
    return obj, (*warnings, *foreign_sidecars(obj))


def foreign_sidecars(obj: dict[str, Any], config: InjectConfig | None = None) -> tuple[str, ...]:
    """A warning for each pod template of a workload, of any version, that carries a sidecar of another make."""
    title = f'{obj.get("kind", "object")} "{_mapping(obj.get("metadata")).get("name", "")}"'
    image = (config or InjectConfig()).image
    return tuple(
        f"{title}: {path} carries a sidecar ({foreign}); its pods get plait's own instead. "
        "Remove these parts and the annotation sidecar.istio.io/status, "
        "and label the namespace istio-injection=enabled"
        for template, path in _templates(obj)
        if (foreign := find_foreign(template, image=image)) is not None
    )


def old_images(obj: dict[str, Any]) -> tuple[str, ...]:
    """A warning for each image of a workload that means something else today than when such manifests were written."""
    title = f'{obj.get("kind", "object")} "{_mapping(obj.get("metadata")).get("name", "")}"'
    return tuple(line for template, path in _templates(obj) for line in aged_images(title, template, path))


def _to_apps_v1(obj: dict[str, Any], title: str, stored: dict[str, Any] | None) -> list[str]:
    warnings = [
        f"{title}: {obj['apiVersion']} is gone since Kubernetes 1.16, stored as apps/v1; write apiVersion: apps/v1"
    ]
    obj["apiVersion"] = "apps/v1"
    if _mapping(obj.get("metadata")).get("creationTimestamp", "") is None:
        del obj["metadata"]["creationTimestamp"]
    if obj.get("status") == {}:
        del obj["status"]
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return warnings
    warnings += [
        f"{title}: spec.{field} has no meaning in apps/v1 and was left out; remove it"
        for field in _GONE_FIELDS
        if spec.pop(field, None) is not None
    ]
    labels = _mapping(_mapping(_mapping(spec.get("template")).get("metadata")).get("labels"))
    kept = _mapping(_mapping(stored).get("spec")).get("selector")
    if not spec.get("selector") and kept:
        spec["selector"] = copy.deepcopy(kept)
        warnings.append(f"{title}: spec.selector is missing, the stored one is kept; write {_flow(kept)}")
    elif not spec.get("selector") and labels:
        spec["selector"] = {"matchLabels": dict(labels)}
        written = ", ".join(f"{key}: {value}" for key, value in labels.items())
        warnings.append(
            f"{title}: spec.selector is missing, taken from the template's labels; write matchLabels: {{{written}}}"
        )
    return warnings


def _templates(obj: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The pod template of a workload with its path; a CronJob has it one object deeper."""
    if obj.get("kind") == "Pod":
        return []
    spec = _mapping(obj.get("spec"))
    found = [
        (spec.get("template"), "spec.template"),
        (
            _mapping(_mapping(spec.get("jobTemplate")).get("spec")).get("template"),
            "spec.jobTemplate.spec.template",
        ),
    ]
    return [(t, path) for t, path in found if isinstance(t, dict) and isinstance(t.get("spec"), dict)]


def _node_selector(spec: dict[str, Any], path: str) -> list[str]:
    selector = _mapping(spec.get("nodeSelector"))
    warnings = []
    for old, new in _NODE_LABELS.items():
        if old in selector:
            selector.setdefault(new, selector[old])
            del selector[old]
            warnings.append(f"{path}: {old} is an old name, stored as {new}; write {new}: {selector[new]}")
    return warnings


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
