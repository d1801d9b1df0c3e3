"""EnvoyFilters that change what a proxy starts with (`applyTo: BOOTSTRAP`).

A proxy reads its bootstrap once, so they are found when its pod is made and travel in a variable of its container;
whoever starts the proxy lays them over the bootstrap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from plait.api.envoyfilter import EnvoyFilter
from plait.inject.config import PROXY_CONTAINER
from plait.mesh.envoy_filters import holds_for

VARIABLE: Final = "PLAIT_BOOTSTRAP_PATCHES"
_BOOTSTRAP: Final = "BOOTSTRAP"
_SIDECAR: Final = frozenset({"ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"})
_ROUTER: Final = frozenset({"ANY", "GATEWAY"})


class BootstrapPatch(NamedTuple):
    """What an EnvoyFilter (`origin`, NAMESPACE/NAME) merges, as JSON with the names of Envoy's own fields."""

    origin: str
    value: dict[str, Any]


def bootstrap_patches(
    filters: Iterable[EnvoyFilter], pod: Mapping[str, Any], *, namespace: str, root_namespace: str
) -> tuple[BootstrapPatch, ...]:
    """The patches for the proxy of a pod of `namespace`, in Istio's order; their values as users wrote them."""
    labels = {str(k): str(v) for k, v in ((pod.get("metadata") or {}).get("labels") or {}).items()}
    contexts = _ROUTER if _is_router(pod) else _SIDECAR
    found = sorted(filters, key=lambda each: _precedence(each, root_namespace))
    return tuple(
        BootstrapPatch(f"{each.metadata.namespace}/{each.metadata.name}", given.patch.value)
        for each in found
        for given in each.spec.config_patches
        if given.apply_to == _BOOTSTRAP
        and given.patch is not None
        and given.patch.operation == "MERGE"
        and given.patch.value
        and (given.match is None or given.match.context in contexts)
        and holds_for(each, given, namespace=namespace, labels=labels, root_namespace=root_namespace)
    )


def with_patches(pod: dict[str, Any], patches: Iterable[BootstrapPatch]) -> dict[str, Any]:
    """The pod with the patches in its proxy's environment."""
    variable = {"name": VARIABLE, "value": json.dumps([list(patch) for patch in patches], separators=(",", ":"))}
    containers = [
        {**container, "env": [*(container.get("env") or ()), variable]}
        if container.get("name") == PROXY_CONTAINER
        else container
        for container in pod["spec"]["containers"]
    ]
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def patched(bootstrap: dict[str, Any], env: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The bootstrap with the patches that a proxy's environment brings, and the EnvoyFilters they come from."""
    patches = [BootstrapPatch(*item) for item in json.loads(env.get(VARIABLE) or "[]")]
    for patch in patches:
        bootstrap = _merged(bootstrap, patch.value)
    return bootstrap, tuple(dict.fromkeys(patch.origin for patch in patches))


def _is_router(pod: Mapping[str, Any]) -> bool:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return any("router" in (c.get("args") or ())[:2] for c in containers if c.get("name") == PROXY_CONTAINER)


def _precedence(found: EnvoyFilter, root_namespace: str) -> tuple[int, bool, str, str]:
    meta = found.metadata
    place = (meta.namespace != root_namespace, meta.creation_timestamp, f"{meta.name}.{meta.namespace}")
    return (found.spec.priority, *place)


def _merged(target: Any, value: Any) -> Any:
    """Protobuf's merge on JSON: messages field by field, lists appended; a packed message of another type replaces."""
    if isinstance(target, list) and isinstance(value, list):
        return target + value
    if not isinstance(target, dict) or not isinstance(value, dict) or target.get("@type") != value.get("@type"):
        return value
    return {**target, **{key: _merged(target[key], item) if key in target else item for key, item in value.items()}}
