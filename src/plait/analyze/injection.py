"""Sidecar injection: namespaces, pods that have none, images that nobody fills in, proxies of yesterday."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import at, labels, mapping, mappings, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK, NAMESPACE, POD, PROXY_CONFIG
from plait.analyze.messages import (
    IMAGE_AUTO,
    IMAGE_AUTO_POD,
    IMAGE_MISMATCH,
    INJECTED_BY_DEFAULT,
    MULTIPLE_INJECTION_LABELS,
    NAMESPACE_NOT_INJECTED,
    POD_MISSING_PROXY,
)
from plait.analyze.pods import (
    AMBIENT,
    DATAPLANE_MODE,
    INJECT,
    INJECTION,
    PODS_BY_NAMESPACE,
    PROXY,
    REVISION,
    SYSTEM_NAMESPACES,
    containers,
    proxy_image,
)
from plait.analyze.selectors import label_selector_holds, selects
from plait.analyze.world import Index, Item, World
from plait.api.yaml import read_yaml

_ENABLED: Final = "enabled"
_INJECTOR: Final = "istio-sidecar-injector"
_CONFIG_MAPS: Final = Index((CONFIG_MAP,), lambda item, _: (item.name,))


def _check_namespace(world: World, item: Item) -> Iterator[Finding]:
    name = item.name
    if name == world.root_namespace or name in SYSTEM_NAMESPACES:
        return
    said = item.labels.get(INJECTION)
    mixed = [f"{INJECTION}={said}"] if said is not None else []
    if said is None or said == _ENABLED:
        mixed += [f"{label}={item.labels[label]}" for label in (REVISION, DATAPLANE_MODE) if label in item.labels]
    if len(mixed) > 1:
        fix = "one of them"
        yield found(MULTIPLE_INJECTION_LABELS, item, "metadata.labels", fix=fix, labels=", ".join(mixed))
    if item.labels.get(DATAPLANE_MODE) == AMBIENT or said or REVISION in item.labels:
        return
    if _by_default(world, ""):
        yield found(INJECTED_BY_DEFAULT, item, "metadata.labels")
        return
    fix = f"kubectl label namespace {name} {INJECTION}=enabled, or =disabled if that is what you want"
    yield found(NAMESPACE_NOT_INJECTED, item, "metadata.labels", fix=fix, namespace=name)


def _values(world: World, revision: str) -> dict[str, Any] | None:
    """The settings of the injector of a revision; None where there is no such injector."""
    name = _INJECTOR if revision in {"", "default"} else f"{_INJECTOR}-{revision}"
    for item in world.find(_CONFIG_MAPS, name):
        try:
            return mapping(msgspec.json.decode(text(item.obj, "data", "values") or "{}"))
        except msgspec.DecodeError:
            return {}
    return None


def _by_default(world: World, revision: str) -> bool:
    values = _values(world, revision)
    return at(values, "sidecarInjectorWebhook", "enableNamespacesByDefault") is True


def _check_pod(world: World, item: Item) -> Iterator[Finding]:
    namespace = world.get(NAMESPACE, "", item.namespace)
    if namespace is None or namespace.name == world.root_namespace:
        return
    said = namespace.labels.get(INJECTION)
    # A namespace that follows a revision is injected by that revision's control plane.
    if not (said == _ENABLED or (said is None and REVISION in namespace.labels)):
        return
    if namespace.labels.get(DATAPLANE_MODE) == AMBIENT or item.spec.get("hostNetwork") is True:
        return
    wanted = item.labels.get(INJECT, item.annotations.get(INJECT, ""))
    if wanted.lower() != "false" and not proxy_image(item.spec):
        yield found(POD_MISSING_PROXY, item, "spec.containers", fix="restart it", pod=item.full_name)


def _injectors(world: World) -> list[dict[str, Any]]:
    return [
        hook
        for item in world.all(MUTATING_WEBHOOK)
        for _, hook in mappings(item.obj, "webhooks")
        if text(hook, "name").endswith("istio.io")
    ]


def _check_image(world: World, item: Item) -> Iterator[Finding]:
    if item.kind == POD:
        if _wants_image(item.spec):
            yield found(IMAGE_AUTO_POD, item, "spec.containers", kind="Pod", name=item.name)
        return
    template = mapping(item.spec, "template")
    if not _wants_image(mapping(template, "spec")):
        return
    namespace = world.get(NAMESPACE, "", item.namespace or "default")
    around = namespace.labels if namespace is not None else {}
    carried = labels(template, "metadata", "labels")
    hooks = world.derived("injectors", (MUTATING_WEBHOOK,), lambda: _injectors(world))
    if not any(_takes(hook, around, carried) for hook in hooks):
        path = "spec.template.spec.containers"
        fix = f"the label {INJECT}: 'true' in spec.template.metadata.labels"
        yield found(IMAGE_AUTO, item, path, fix=fix, kind="Deployment", name=item.name)


def _takes(hook: dict[str, Any], namespace: dict[str, str], pod: dict[str, str]) -> bool:
    if not label_selector_holds(hook.get("namespaceSelector"), namespace):
        return False
    return label_selector_holds(hook.get("objectSelector"), pod)


def _wants_image(spec: dict[str, Any]) -> bool:
    return any(text(c, "name") == PROXY and text(c, "image") == "auto" for c in containers(spec, init=False))


def _check_images(world: World, item: Item) -> Iterator[Finding]:
    """Istio: the running proxies of a namespace against what its injector would give them today."""
    revision = item.labels.get(REVISION)
    if revision is None and item.labels.get(INJECTION) != _ENABLED:
        return
    values = _values(world, revision or "")
    if values is None:
        return
    image = _injected_image(values)
    old = sorted(pod.name for pod in world.find(PODS_BY_NAMESPACE, item.name) if _differs(world, pod, image))
    if old:
        yield found(IMAGE_MISMATCH, item, fix="restart them", pods=", ".join(old))


def _injected_image(values: dict[str, Any]) -> str:
    image = text(values, "global", "proxy", "image")
    if "/" in image:
        return image
    return f"{text(values, 'global', 'hub')}/{image}:{at(values, 'global', 'tag') or ''}"


def _differs(world: World, pod: Item, image: str) -> bool:
    if pod.annotations.get("sidecar.istio.io/proxyImage"):
        return False
    running = [text(c, "image") for c in containers(pod.spec) if text(c, "name") == PROXY]
    variant = _image_type(world, pod)
    return any(one not in {image, f"{image}-{variant}"} for one in running)


def _image_type(world: World, pod: Item) -> str:
    """The variant of the image a pod asks for: the pod's own word, its workload's, its namespace's, the mesh's."""
    own = read_yaml(pod.annotations.get("proxy.istio.io/config", "")).documents
    found_types = [text(own[0].value, "image", "imageType")] if own else []
    configs = sorted(world.all(PROXY_CONFIG), key=lambda item: item.key)
    workload, namespace, mesh = [], [], []
    for config in configs:
        kind = text(config.spec, "image", "imageType")
        if config.namespace == world.root_namespace:
            mesh.append(kind)
        elif config.namespace == pod.namespace and not config.spec.get("selector"):
            namespace.append(kind)
        elif config.namespace == pod.namespace and selects(labels(config.spec, "selector", "matchLabels"), pod.labels):
            workload.append(kind)
    default = text(world.mesh_config, "defaultConfig", "image", "imageType")
    chosen = next((kind for kind in (*found_types, *workload, *namespace, *mesh, default) if kind), "")
    return "" if chosen == "default" else chosen


ANALYZERS: Final = (
    Analyzer(
        name="injection.Analyzer",
        messages=(NAMESPACE_NOT_INJECTED, MULTIPLE_INJECTION_LABELS, INJECTED_BY_DEFAULT, POD_MISSING_PROXY),
        subjects=(NAMESPACE, POD),
        check=lambda world, item: (_check_pod if item.kind == POD else _check_namespace)(world, item),
    ),
    Analyzer(
        name="injection.ImageAutoAnalyzer",
        messages=(IMAGE_AUTO, IMAGE_AUTO_POD),
        subjects=(POD, DEPLOYMENT),
        check=_check_image,
    ),
    Analyzer(name="injection.ImageAnalyzer", messages=(IMAGE_MISMATCH,), subjects=(NAMESPACE,), check=_check_images),
)
