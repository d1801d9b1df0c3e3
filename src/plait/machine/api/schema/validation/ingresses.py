"""Rules for Ingresses and IngressClasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import FieldError, forbidden, invalid, not_supported, required
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.metadata import immutable
from plait.machine.api.schema.validation.values import port_number

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CLASS = "kubernetes.io/ingress.class"
#: What no path may hold, as it would say something other than it seems.
_ODD = ("//", "/./", "/../", "%2f", "%2F")


def validate_ingress(ingress: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """An Ingress: somewhere to go, hosts that are names, paths that are absolute."""
    spec = ingress.get("spec") or {}
    rules = spec.get("rules") or []
    if not rules and not spec.get("defaultBackend"):
        yield invalid("spec", rules, "either `defaultBackend` or `rules` must be specified")
    name = spec.get("ingressClassName")
    if name is not None:
        if problem := names.dns_subdomain(name):
            yield invalid("spec.ingressClassName", name, problem)
        if old is None and _CLASS in (ingress["metadata"].get("annotations") or {}):
            yield invalid(
                f"metadata.annotations.{_CLASS}",
                ingress["metadata"]["annotations"][_CLASS],
                "can not be set when the class field is also set",
            )
    if spec.get("defaultBackend"):
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(rules):
        path = f"spec.rules[{index}]"
        yield from _host(rule.get("host") or "", f"{path}.host")
        if rule.get("http") is not None:
            paths = rule["http"].get("paths") or []
            if not paths:
                yield required(f"{path}.http.paths")
            for place, item in enumerate(paths):
                yield from _path(item, f"{path}.http.paths[{place}]")
    for index, tls in enumerate(spec.get("tls") or []):
        for place, host in enumerate(tls.get("hosts") or []):
            yield from _host(host, f"spec.tls[{index}].hosts[{place}]")


def _host(host: str, path: str) -> Iterator[FieldError]:
    if not host:
        return
    if names.ip(host) == "":
        yield invalid(path, host, "must be a DNS name, not an IP address")
        return
    problem = names.dns_subdomain(host.removeprefix("*."))
    if problem:
        yield invalid(path, host, problem)


def _path(item: dict[str, Any], path: str) -> Iterator[FieldError]:
    kind = item.get("pathType")
    text = item.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    elif kind not in _PATH_TYPES:
        yield not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif kind != "ImplementationSpecific" or text:
        if not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
        if kind != "ImplementationSpecific":
            for odd in _ODD:
                if odd in text:
                    yield invalid(f"{path}.path", text, f"must not contain '{odd}'")
    yield from _backend(item.get("backend") or {}, f"{path}.backend")


def _backend(backend: dict[str, Any], path: str) -> Iterator[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        yield required(path, "cannot be empty: a service or a resource")
        return
    if service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
        return
    if service is None:
        return
    name = service.get("name") or ""
    if not name:
        yield required(f"{path}.service.name")
    elif problem := names.dns_1035_label(name):
        yield invalid(f"{path}.service.name", name, problem)
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        yield invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        if problem := names.port_name(port["name"]):
            yield invalid(f"{path}.service.port.name", port["name"], problem)
    elif port.get("number") is None:
        yield required(path, "port name or number is required")
    else:
        yield from port_number(port["number"], f"{path}.service.port.number")


def validate_ingress_class(found: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """An IngressClass; who serves it never changes."""
    spec = found.get("spec") or {}
    controller = spec.get("controller") or ""
    if old is not None:
        yield from immutable(controller, (old.get("spec") or {}).get("controller") or "", "spec.controller")
    elif not controller:
        yield required("spec.controller")
    elif "/" not in controller:
        yield invalid("spec.controller", controller, "must be a domain-prefixed path (such as 'acme.io/foo')")
    parameters = spec.get("parameters")
    if parameters is not None:
        scope = parameters.get("scope") or "Cluster"
        if scope == "Namespace" and not parameters.get("namespace"):
            yield required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'")
        elif scope == "Cluster" and parameters.get("namespace"):
            yield forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'")
