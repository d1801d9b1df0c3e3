"""A pod as written -> the pod that runs: with a sidecar where it should have one, and never with two.

Meant for the creation of a pod; the fields it adds cannot be changed on a living one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plait.inject import annotations as names
from plait.inject.config import PROXY_CONTAINER, InjectConfig
from plait.inject.decision import decide
from plait.inject.foreign import AUTO_IMAGE, find_foreign, strip
from plait.inject.overlay import overlay
from plait.inject.owner import canonical, workload_of
from plait.inject.proxy_settings import ProxySettings
from plait.inject.sidecar import VOLUMES, init_container, proxy_container
from plait.inject.user_volumes import user_volumes

_DEFAULT_CONTAINER = ("kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container")

#: Istio's label of pods whose sidecar speaks mutual TLS; a pod may say another word (`disabled`) itself.
TLS_MODE, MUTUAL = "security.istio.io/tlsMode", "istio"

_DEFAULTS = ProxySettings()


@dataclass(frozen=True, slots=True)
class Injection:
    """`pod` is a new object where anything changed. `injected` says that this call added the proxy."""

    pod: dict[str, Any]
    injected: bool
    warnings: tuple[str, ...] = ()


def inject_pod(
    pod: dict[str, Any],
    *,
    namespace: Mapping[str, Any],
    config: InjectConfig,
    settings: ProxySettings = _DEFAULTS,
) -> Injection:
    """Add `istio-init` and `istio-proxy` where the pod should have them; a pod that has them stays as it is.

    `namespace` is the pod's Namespace object. A sidecar of another make is taken out with a warning, and counts as
    asking for one. `settings` are what the proxy is started with. Raises AnnotationError where an annotation
    cannot be followed.
    """
    title = _title(pod)
    foreign = find_foreign(pod, image=config.image)
    if foreign is None and _has_proxy(pod, config):
        return Injection(pod, injected=False)
    decision = decide(pod, namespace=namespace, carries_sidecar=foreign is not None, config=config)
    warnings = [f"{title}: {decision.warning}"] if decision.warning else []
    if foreign is not None:
        pod = strip(pod, foreign)
        instead = "plait's own sidecar takes its place" if decision.inject else "it gets none"
        warnings.append(
            f"{title}: took out the sidecar that the manifest carries ({foreign}); {instead}. "
            "Remove these parts from the manifest and label the namespace istio-injection=enabled"
        )
    if not decision.inject:
        return Injection(pod, injected=False, warnings=tuple(warnings))
    names.read_capture(names.of(pod))
    home = (pod.get("metadata") or {}).get("namespace") or (namespace.get("metadata") or {}).get("name") or "default"
    return Injection(
        _add(pod, namespace=home, config=config, settings=settings), injected=True, warnings=tuple(warnings)
    )


def _has_proxy(pod: Mapping[str, Any], config: InjectConfig) -> bool:
    return any(
        c.get("name") == PROXY_CONTAINER and c.get("image") == config.image
        for c in (pod.get("spec") or {}).get("containers") or ()
    )


def _add(pod: dict[str, Any], *, namespace: str, config: InjectConfig, settings: ProxySettings) -> dict[str, Any]:
    gateway = "gateway" in {name.strip() for name in names.of(pod).get(names.TEMPLATES, "").split(",")}
    role: Literal["sidecar", "router"] = "router" if gateway else "sidecar"
    spec = dict(pod.get("spec") or {})
    proxy = proxy_container(pod, namespace=namespace, role=role, config=config, settings=settings)
    inits = [] if gateway else [init_container(pod, config=config)]
    spec["containers"] = _merged(spec.get("containers"), proxy)
    for init in inits:
        # First, as Istio's: init containers that follow see the network as the application will.
        spec["initContainers"] = _merged(spec.get("initContainers"), init, first=True)
    have = {volume.get("name") for volume in spec.get("volumes") or ()}
    added = [dict(volume) for volume in (*VOLUMES, *user_volumes(pod)) if volume["name"] not in have]
    spec["volumes"] = [*(spec.get("volumes") or ()), *added]
    status = {
        "initContainers": [init["name"] for init in inits],
        "containers": [PROXY_CONTAINER],
        "volumes": [volume["name"] for volume in added],
        "imagePullSecrets": None,
        "revision": config.revision,
    }
    metadata = _metadata(pod, status=status, config=config)
    if config.certificates and not gateway:
        # Callers in the mesh go by it. A gateway's ports are for those who are not of the mesh.
        metadata["labels"].setdefault(TLS_MODE, MUTUAL)
    return {**pod, "metadata": metadata, "spec": spec}


def _merged(
    containers: list[dict[str, Any]] | None, ours: dict[str, Any], *, first: bool = False
) -> list[dict[str, Any]]:
    """The list with our container; one of the same name with image `auto` is the user's changes to it."""
    rest = list(containers or ())
    for index, container in enumerate(rest):
        if container.get("name") == ours["name"]:
            merged = overlay(ours, container)
            if container.get("image") in {None, AUTO_IMAGE}:
                merged["image"] = ours["image"]
            return [*rest[:index], merged, *rest[index + 1 :]]
    return [ours, *rest] if first else [*rest, ours]


def _metadata(pod: Mapping[str, Any], *, status: Mapping[str, Any], config: InjectConfig) -> dict[str, Any]:
    metadata = dict(pod.get("metadata") or {})
    labels = dict(metadata.get("labels") or {})
    name, revision = canonical(labels, workload_of(pod))
    if name:
        labels.setdefault("service.istio.io/canonical-name", name)
    labels.setdefault("service.istio.io/canonical-revision", revision)
    annotations = dict(metadata.get("annotations") or {})
    applications = [
        c.get("name", "") for c in (pod.get("spec") or {}).get("containers") or () if c.get("name") != PROXY_CONTAINER
    ]
    for key in _DEFAULT_CONTAINER if applications else ():
        annotations.setdefault(key, applications[0])
    annotations[names.REVISION] = config.revision
    annotations[names.STATUS] = json.dumps(status, separators=(",", ":"))
    return {**metadata, "labels": labels, "annotations": annotations}


def _title(pod: Mapping[str, Any]) -> str:
    metadata = pod.get("metadata") or {}
    name = metadata.get("name") or (metadata.get("generateName") or "").rstrip("-")
    return f'pod "{name}"' if name else "pod"
