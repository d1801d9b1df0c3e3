"""Workloads without the sidecar of another make that they carry, asking for plait's instead."""

from __future__ import annotations

from typing import Any, Final

from plait.inject.config import InjectConfig
from plait.inject.foreign import find_foreign, strip

_ASKS: Final = "sidecar.istio.io/inject"


def without_foreign(obj: dict[str, Any], config: InjectConfig) -> tuple[dict[str, Any], str]:
    """A Pod or an object with a pod template, and what was taken out; empty, and the very object, if nothing was."""
    if obj.get("kind") == "Pod":
        return _bare(obj, config)
    spec = _mapping(obj.get("spec"))
    if obj.get("kind") == "CronJob":
        job = _mapping(spec.get("jobTemplate"))
        made, said = without_foreign({"spec": _mapping(job.get("spec"))}, config)
        return ({**obj, "spec": {**spec, "jobTemplate": {**job, **made}}}, said) if said else (obj, "")
    template = _mapping(spec.get("template"))
    made, said = _bare(template, config)
    return ({**obj, "spec": {**spec, "template": made}}, said) if said else (obj, "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bare(pod: dict[str, Any], config: InjectConfig) -> tuple[dict[str, Any], str]:
    foreign = find_foreign(pod, image=config.image)
    if foreign is None:
        return pod, ""
    made = strip(pod, foreign)
    # Carrying a sidecar was how it asked for one; without it, it has to say so.
    labels = {**(made["metadata"].get("labels") or {}), _ASKS: "true"}
    return {**made, "metadata": {**made["metadata"], "labels": labels}}, str(foreign)
