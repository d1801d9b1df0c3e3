"""Ingresses: classes, Services, ports and certificates that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.credentials import credential_fault, key_fault
from plait.analyze.fields import mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import INGRESS, INGRESS_CLASS, SECRET, SERVICE
from plait.analyze.known_hosts import ports_of
from plait.analyze.messages import INVALID_CREDENTIAL, NAMES_NOTHING, WRONG_KEY
from plait.analyze.pods import pods_selected
from plait.analyze.world import Item, World
from plait.api.ingress import CLASS_ANNOTATION, CONTROLLER, IngressSettings


def _nothing(item: Item, path: str, detail: str, *, fix: str = "", value: object = None) -> Finding:
    return found(NAMES_NOTHING, item, path, fix=fix, value=value, detail=detail)


def _settings(world: World) -> IngressSettings:
    """What the mesh says of Ingresses."""
    usual, said = IngressSettings(), world.mesh_config
    return IngressSettings(
        text(said, "ingressControllerMode") or usual.mode,
        text(said, "ingressClass") or usual.name,
        text(said, "ingressService") or usual.service,
        text(said, "ingressSelector") or usual.selector,
    )


def _check(world: World, item: Item) -> Iterator[Finding]:
    """Of Ingresses that the mesh serves; those of another controller are not its business."""
    settings = _settings(world)
    name = settings.class_of(item.annotations, text(item.spec, "ingressClassName"))
    if name is None:
        yield from _check_class(world, item, settings)
        return
    if name:
        known = world.get(INGRESS_CLASS, "", name)
        if known is None and world.has(INGRESS_CLASS):
            names = ", ".join(sorted(each.name for each in world.all(INGRESS_CLASS)))
            yield _nothing(
                item, "spec.ingressClassName", f"there is no IngressClass {name!r}: nobody serves it",
                fix=f"one of {names}", value=name,
            )  # fmt: skip
        if known is None or text(known.spec, "controller") != CONTROLLER:
            return
    for path, backend in _backends(item):
        yield from _check_backend(world, item, path, backend)
    yield from _check_certificates(world, item, settings)


def _check_class(world: World, item: Item, settings: IngressSettings) -> Iterator[Finding]:
    """Whether an Ingress says no class where all that there are are the mesh's: then nobody serves it."""
    if text(item.spec, "ingressClassName") or CLASS_ANNOTATION in item.annotations or settings.mode == "OFF":
        return
    classes = list(world.all(INGRESS_CLASS))
    if classes and all(text(each.spec, "controller") == CONTROLLER for each in classes):
        name = min(each.name for each in classes)
        yield _nothing(item, "spec", "it has no class: nobody serves it", fix=f"ingressClassName: {name}")


def _backends(item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, Service) of everything requests are sent to."""
    yield "spec.defaultBackend.service", mapping(item.spec, "defaultBackend", "service")
    for number_, rule in mappings(item.spec, "rules"):
        for index, path in mappings(rule, "http", "paths"):
            yield f"spec.rules[{number_}].http.paths[{index}].backend.service", mapping(path, "backend", "service")


def _check_backend(world: World, item: Item, path: str, backend: dict[str, Any]) -> Iterator[Finding]:
    name = text(backend, "name")
    if not name:
        return
    service = world.get(SERVICE, item.namespace, name)
    if service is None:
        others = sorted(each.namespace for each in world.all(SERVICE) if each.name == name)
        fix = "the name of a Service of its own namespace"
        if others:
            fix = f"the Ingress in namespace {others[0]}, where Service {name} is"
        detail = f"there is no Service {name!r} in namespace {item.namespace}: requests get 503"
        yield _nothing(item, f"{path}.name", detail, fix=fix, value=name)
        return
    port, named = number(backend, "port", "number"), text(backend, "port", "name")
    names = {text(each, "name") for _, each in mappings(service.spec, "ports")} - {""}
    if port and port not in ports_of(service):
        fix = f"one of {', '.join(map(str, ports_of(service)))}"
        detail = f"Service {name!r} has no port {port}: requests get 503"
        yield _nothing(item, f"{path}.port.number", detail, fix=fix, value=port)
    elif not port and named and named not in names:
        fix = f"one of {', '.join(sorted(names)) or ', '.join(f'number: {each}' for each in ports_of(service))}"
        detail = f"Service {name!r} has no port named {named!r}: requests get 503"
        yield _nothing(item, f"{path}.port.name", detail, fix=fix, value=named)


def _check_certificates(world: World, item: Item, settings: IngressSettings) -> Iterator[Finding]:
    """Istio: the Secret is of the namespace of the gateway's pods, not of the Ingress."""
    pod = next(iter(pods_selected(world, {"istio": settings.selector})), None)
    namespace = pod.namespace if pod is not None else world.root_namespace
    for index, tls in mappings(item.spec, "tls"):
        path, name = f"spec.tls[{index}].secretName", text(tls, "secretName")
        if not name:
            continue
        secret = world.get(SECRET, namespace, name)
        if secret is None:
            elsewhere = f", not of {item.namespace}" if world.get(SECRET, item.namespace, name) is not None else ""
            detail = f"there is no Secret {name!r} in namespace {namespace}: no TLS connection is taken"
            fix = f"a Secret of namespace {namespace}, where the gateway's pods are{elsewhere}"
            yield _nothing(item, path, detail, fix=fix, value=name)
        elif fault := credential_fault(secret.obj, world.surroundings.now):
            yield found(INVALID_CREDENTIAL, item, path, value=name, secret=secret.full_name, detail=fault)
        elif key_fault(secret.obj):
            yield found(WRONG_KEY, item, path, value=name, secret=secret.full_name)


ANALYZERS: Final = (
    Analyzer(
        name="plait.Ingresses",
        messages=(NAMES_NOTHING, INVALID_CREDENTIAL, WRONG_KEY),
        subjects=(INGRESS,),
        check=_check,
    ),
)
