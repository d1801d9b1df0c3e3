"""Sidecars that a manifest carries already: found, named, and taken out.

`istioctl kube-inject` wrote them into manifests; the annotation `sidecar.istio.io/status` lists what it added. Such a
pod must never run two proxies on one port, so the foreign parts go and plait's take their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from plait.inject import annotations as names
from plait.inject.config import INIT_CONTAINER, PROXY_CONTAINER

#: The image a user writes for "the sidecar's own image, with my changes to the rest of the container".
AUTO_IMAGE: Final = "auto"
#: Volumes that Istio's injectors of all ages add; one that an application container mounts stays.
_VOLUMES: Final = frozenset({
    "istio-envoy", "istio-certs", "istio-data", "istio-podinfo", "istio-token", "istiod-ca-cert",
    "istio-ca-root-cert", "workload-socket", "credential-socket", "workload-certs",
})  # fmt: skip
_INIT_CONTAINERS: Final = frozenset({INIT_CONTAINER, "istio-validation", "enable-core-dump"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignSidecar:
    """Names of what another injector put into a pod."""

    containers: tuple[str, ...]
    init_containers: tuple[str, ...]
    volumes: tuple[str, ...]
    pull_secrets: tuple[str, ...] = ()
    image: str = ""

    def __str__(self) -> str:
        parts = [f"container {name}" for name in self.containers]
        parts += [f"init container {name}" for name in self.init_containers]
        parts += [f"volume {name}" for name in self.volumes]
        image = f", image {self.image}" if self.image else ""
        return ", ".join(parts) + image


def find_foreign(pod: Mapping[str, Any], *, image: str) -> ForeignSidecar | None:
    """What in the pod is a sidecar, but not the one that runs `image`; None where there is none.

    `pod` is a Pod or a pod template. A sidecar of another version of `image` counts as foreign: it is replaced too.
    """
    spec = _mapping(pod.get("spec"))
    containers, inits = _objects(spec.get("containers")), _objects(spec.get("initContainers"))
    every = [*containers, *inits]
    suspects = [c for c in every if c.get("name") in {PROXY_CONTAINER, INIT_CONTAINER}]
    odd = [c for c in suspects if c.get("image") not in {image, AUTO_IMAGE}]
    if not odd:
        return None
    status = _status(_mapping(_mapping(pod.get("metadata")).get("annotations")))
    present = [c for c in containers if c.get("name") in {PROXY_CONTAINER, *status("containers")}]
    if len(present) == len(containers):
        # A status that claims every container cannot be right: the pod would be left without an application.
        present = [c for c in present if c.get("name") == PROXY_CONTAINER]
    gone_inits = {PROXY_CONTAINER, *_INIT_CONTAINERS, *status("initContainers")}
    present_inits = [c for c in inits if c.get("name") in gone_inits]
    gone = {id(c) for c in (*present, *present_inits)}
    still_mounted = {m.get("name") for c in every if id(c) not in gone for m in _objects(c.get("volumeMounts"))}
    volumes = (_VOLUMES | set(status("volumes"))) - still_mounted
    return ForeignSidecar(
        containers=tuple(c["name"] for c in present),
        init_containers=tuple(c["name"] for c in present_inits),
        volumes=tuple(v["name"] for v in _objects(spec.get("volumes")) if v.get("name") in volumes),
        pull_secrets=status("imagePullSecrets"),
        image=str(min(odd, key=lambda c: c.get("name") != PROXY_CONTAINER).get("image", "")),
    )


def strip(pod: dict[str, Any], foreign: ForeignSidecar) -> dict[str, Any]:
    """The pod without the foreign sidecar and without the annotation that described it."""
    spec = dict(pod.get("spec") or {})
    for field, gone in (
        ("containers", foreign.containers),
        ("initContainers", foreign.init_containers),
        ("volumes", foreign.volumes),
        ("imagePullSecrets", foreign.pull_secrets),
    ):
        if field in spec:
            spec[field] = [item for item in spec[field] or () if item.get("name") not in gone]
            if not spec[field] and field != "containers":
                del spec[field]
    metadata = dict(pod.get("metadata") or {})
    metadata["annotations"] = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != names.STATUS}
    if not metadata["annotations"]:
        del metadata["annotations"]
    return {**pod, "metadata": metadata, "spec": spec}


def _mapping(value: Any) -> Mapping[str, Any]:
    """What should be a mapping: manifests come here before they are checked."""
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> tuple[dict[str, Any], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _status(annotations: Mapping[str, Any]) -> Callable[[str], tuple[str, ...]]:
    """A reader of the lists of names in `sidecar.istio.io/status`; anything unreadable is an empty list."""
    try:
        status = json.loads(annotations.get(names.STATUS, "{}"))
    except (TypeError, ValueError):
        status = {}

    def listed(field: str) -> tuple[str, ...]:
        value = status.get(field) if isinstance(status, dict) else None
        return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()

    return listed
