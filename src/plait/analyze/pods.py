"""Which pods there are: by namespace, and whether they are in the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from plait.analyze.fields import labels, mapping, mappings, text
from plait.analyze.kinds import NAMESPACE, NODE, POD, WORKLOAD_ENTRY
from plait.analyze.selectors import selects
from plait.analyze.world import Index, Item, World

PROXY: Final = "istio-proxy"
INJECT: Final = "sidecar.istio.io/inject"
INJECTION: Final = "istio-injection"
REVISION: Final = "istio.io/rev"
DATAPLANE_MODE: Final = "istio.io/dataplane-mode"
AMBIENT: Final = "ambient"
_ENABLED: Final = "enabled"

#: Kubernetes' own namespaces, which no injector touches.
SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})

PODS_BY_NAMESPACE: Final = Index((POD,), lambda item, _: (item.namespace,))
ENTRIES_BY_NAMESPACE: Final = Index((WORKLOAD_ENTRY,), lambda item, _: (item.namespace,))
_PODS_BY_LABEL: Final = Index((POD,), lambda item, _: tuple(item.labels.items()))


def pods_selected(world: World, selector: Mapping[str, str], namespace: str | None = None) -> Iterable[Item]:
    """The pods that carry every label of `selector`, of one namespace or of all."""
    if selector:
        # The first label narrows it down; the others are compared.
        pods: Iterable[Item] = world.each(_PODS_BY_LABEL, min(selector.items()))
    elif namespace is not None:
        pods = world.each(PODS_BY_NAMESPACE, namespace)
    else:
        pods = world.all(POD)
    return (pod for pod in pods if (namespace is None or pod.namespace == namespace) and selects(selector, pod.labels))


def containers(spec: Mapping[str, Any], *, init: bool = True) -> Iterable[dict[str, Any]]:
    """The containers of a pod's spec; a native sidecar is among its init containers."""
    for name in ("containers", "initContainers") if init else ("containers",):
        for _, container in mappings(spec, name):
            yield container


def proxy_image(spec: Mapping[str, Any]) -> str:
    """The image of the first sidecar, empty if there is none."""
    return next((text(c, "image") for c in containers(spec, init=True) if text(c, "name") == PROXY), "")


def pod_in_mesh(world: World, pod: Item) -> bool:
    """Whether a pod has, or will get, a sidecar."""
    return _in_mesh(world, pod.spec, pod.labels, pod.annotations, pod.namespace)


def deployment_in_mesh(world: World, deployment: Item) -> bool:
    """The same for the pods that a Deployment will make."""
    template = mapping(deployment.spec, "template")
    return _in_mesh(
        world,
        mapping(template, "spec"),
        labels(template, "metadata", "labels"),
        labels(template, "metadata", "annotations"),
        deployment.namespace,
    )


def _in_mesh(
    world: World, spec: Mapping[str, Any], carried: Mapping[str, str], annotations: Mapping[str, str], namespace: str
) -> bool:
    if proxy_image(spec):
        return True
    for said in (carried, annotations):
        if INJECT in said:
            return said[INJECT] == "true"
    found = world.get(NAMESPACE, "", namespace)
    return found is not None and found.labels.get(INJECTION) == _ENABLED


def pod_in_ambient(pod: Item) -> bool:
    """Whether a pod's traffic goes through the node's proxy instead of a sidecar."""
    return pod.annotations.get("ambient.istio.io/redirection") == _ENABLED


def namespace_in_ambient(namespace: Item | None) -> bool:
    """The same of a whole namespace; labels that ask for sidecars win."""
    if namespace is None or namespace.labels.get(INJECTION) == _ENABLED or namespace.labels.get(REVISION):
        return False
    return namespace.labels.get(DATAPLANE_MODE) == AMBIENT


_TOPOLOGY: Final = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def endpoint_labels(world: World, pod: Item) -> dict[str, str]:
    """The labels that subsets see on a pod's endpoints: its own, and where its node is."""
    result = dict(pod.labels)
    name = text(pod.spec, "nodeName")
    node = world.get(NODE, "", name) if name else None
    for label in _TOPOLOGY if node is not None else ():
        # Istio: an empty place is no place.
        if node is not None and (place := node.labels.get(label)):
            result[label] = place
    if name:
        result["kubernetes.io/hostname"] = name
    return result


def is_control_plane(item: Item) -> bool:
    """Whether an object belongs to the mesh itself."""
    return "istio" in item.labels or item.labels.get("release") == "istio"
