"""Objects of former versions in today's terms: fields that have moved or gone since, with what to write instead.

Read as plain JSON, before types are looked at: what today's types do not know must not be lost, nor refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

Json = dict[str, Any]

#: Istio 1.0's ways to change headers: part of `headers`, and what is done there.
_HEADERS: Final = {
    "appendHeaders": ("request", "add"),
    "appendRequestHeaders": ("request", "add"),
    "removeRequestHeaders": ("request", "remove"),
    "appendResponseHeaders": ("response", "add"),
    "removeResponseHeaders": ("response", "remove"),
}
_WEBSOCKET: Final = "websocketUpgrade"
_OLD_INGRESS: Final = frozenset({"extensions/v1beta1", "networking.k8s.io/v1beta1"})
_INGRESS: Final = "networking.k8s.io/v1"


class Note(NamedTuple):
    """What was changed: the path in the object as it was written, and what its author should write."""

    path: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.fix}"


def present(obj: Json) -> tuple[Json, tuple[Note, ...]]:
    """The object in today's terms, and what that changed; the very object if it needs no change."""
    version, kind, spec = obj.get("apiVersion"), obj.get("kind"), obj.get("spec")
    if kind == "VirtualService" and str(version).startswith("networking.istio.io/") and isinstance(spec, dict):
        made, notes = _virtual_service(spec)
        return ({**obj, "spec": made}, tuple(notes)) if notes else (obj, ())
    if kind == "Ingress" and version in _OLD_INGRESS:
        note = Note("apiVersion", f"{version} is gone since Kubernetes 1.22, stored as {_INGRESS}", f"write {_INGRESS}")
        changed = _ingress(spec) if isinstance(spec, dict) else spec
        return {**obj, "apiVersion": _INGRESS, **({"spec": changed} if changed is not None else {})}, (note,)
    return obj, ()


def _virtual_service(spec: Json) -> tuple[Json, list[Note]]:
    notes: list[Note] = []
    rules = []
    for path, rule in _items(spec.get("http"), "spec.http"):
        if not isinstance(rule, dict):
            rules.append(rule)
            continue
        made = _with_headers(rule, path, notes)
        if _WEBSOCKET in rule:
            why = "connections are upgraded whenever both ends want it, since Istio 1.1"
            notes.append(Note(f"{path}.{_WEBSOCKET}", why, "leave it out"))
            del made[_WEBSOCKET]
        if isinstance(rule.get("route"), list):
            made["route"] = [_with_headers(item, at, notes) for at, item in _items(rule["route"], f"{path}.route")]
        rules.append(made)
    return ({**spec, "http": rules} if notes else spec), notes


def _with_headers(part: Any, path: str, notes: list[Note]) -> Any:
    """A copy in which the former header fields are where they belong today."""
    if not isinstance(part, dict):
        return part
    made = dict(part)
    for name, (side, action) in _HEADERS.items():
        given = made.get(name)
        if action == "remove" and isinstance(given, dict) and all(isinstance(each, str) for each in given.values()):
            # Istio 1.0 has names in a map whose values say nothing.
            given = list(given)
        headers = made.get("headers") or {}
        sides = headers.get(side) or {} if isinstance(headers, dict) else None
        if not isinstance(given, dict if action == "add" else list) or not isinstance(sides, dict):
            continue
        before = sides.get(action) or ()
        joined = {**given, **dict(before)} if isinstance(given, dict) else [*before, *given]
        made["headers"] = {**headers, side: {**sides, action: joined}}
        del made[name]
        notes.append(Note(f"{path}.{name}", "was renamed in Istio 1.1", f"write headers.{side}.{action}"))
    return made


def _ingress(spec: Json) -> Json:
    made = dict(spec)
    if "backend" in made:
        made["defaultBackend"] = _backend(made.pop("backend"))
    if isinstance(spec.get("rules"), list):
        made["rules"] = [_ingress_rule(rule) for rule in spec["rules"]]
    return made


def _ingress_rule(rule: Any) -> Any:
    http = rule.get("http") if isinstance(rule, dict) else None
    if not isinstance(http, dict) or not isinstance(http.get("paths"), list):
        return rule
    paths = [
        {"pathType": "ImplementationSpecific", **path, "backend": _backend(path.get("backend"))}
        if isinstance(path, dict)
        else path
        for path in http["paths"]
    ]
    return {**rule, "http": {**http, "paths": paths}}


def _backend(backend: Any) -> Any:
    """`{serviceName: a, servicePort: 80}` as `{service: {name: a, port: {number: 80}}}`."""
    if not isinstance(backend, dict) or "serviceName" not in backend:
        return backend
    rest = {name: value for name, value in backend.items() if name not in {"serviceName", "servicePort"}}
    port = backend.get("servicePort")
    service: Json = {"name": backend["serviceName"]}
    if port is not None:
        service["port"] = {"name" if isinstance(port, str) else "number": port}
    return {**rest, "service": service}


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield f"{path}[{index}]", item
