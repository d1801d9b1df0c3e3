"""JSON objects as the API serves them -> typed objects and Problems.

Never raises, whatever the JSON: what cannot be read is a Problem with its path. An object with a problem of level ERROR
is not returned; warnings come along with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from plait.api.destinationrule import DestinationRule
from plait.api.gateway import Gateway
from plait.api.kubernetes import EndpointSlice, Namespace, Pod, Service
from plait.api.mesh_settings import NAME as MESH_SETTINGS
from plait.api.mesh_settings import ConfigMap, validate_mesh_settings
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.api.validate_destinationrule import validate_destinationrule
from plait.api.validate_gateway import validate_gateway
from plait.api.validate_kubernetes import validate_endpointslice, validate_service
from plait.api.validate_virtualservice import validate_virtualservice
from plait.api.validation import Findings
from plait.api.virtualservice import VirtualService

MeshObject: TypeAlias = (
    Service | EndpointSlice | Pod | Namespace | ConfigMap | VirtualService | DestinationRule | Gateway
)


class _Kind(NamedTuple):
    group: str
    type: type[MeshObject]
    validate: Callable[[Any, Findings], None] | None = None


_KINDS: Final[dict[str, _Kind]] = {
    "Service": _Kind("", Service, validate_service),
    "EndpointSlice": _Kind("discovery.k8s.io", EndpointSlice, validate_endpointslice),
    "Pod": _Kind("", Pod),
    "Namespace": _Kind("", Namespace),
    "ConfigMap": _Kind("", ConfigMap, validate_mesh_settings),
    "VirtualService": _Kind("networking.istio.io", VirtualService, validate_virtualservice),
    "DestinationRule": _Kind("networking.istio.io", DestinationRule, validate_destinationrule),
    "Gateway": _Kind("networking.istio.io", Gateway, validate_gateway),
}


class Decoded(NamedTuple):
    """`key` is None when not even the object's name could be read, or its kind has no meaning in the mesh."""

    key: ObjectKey | None
    value: MeshObject | None
    problems: tuple[Problem, ...]


def decoded_kinds() -> tuple[tuple[str, str], ...]:
    """(API group, kind) of everything `decode` understands."""
    return tuple((kind.group, name) for name, kind in _KINDS.items())


def knows(group: str, kind: str) -> bool:
    """Whether objects of this kind can have a meaning in the mesh."""
    known = _KINDS.get(kind)
    return known is not None and known.group == group


def decode(obj: object) -> Decoded:
    """Read one object of any version of its kind."""
    if not isinstance(obj, dict):
        return Decoded(None, None, ())
    kind, version, metadata = obj.get("kind"), obj.get("apiVersion"), obj.get("metadata")
    if not isinstance(kind, str) or not isinstance(version, str) or not isinstance(metadata, dict):
        return Decoded(None, None, ())
    group = version.rpartition("/")[0]
    name, namespace = metadata.get("name"), metadata.get("namespace") or ""
    if not knows(group, kind) or not isinstance(name, str) or not name or not isinstance(namespace, str):
        return Decoded(None, None, ())
    if kind == "ConfigMap" and name != MESH_SETTINGS:
        # The rest are the applications' own.
        return Decoded(None, None, ())
    key = ObjectKey(kind, namespace, name)
    known = _KINDS[kind]
    try:
        value = _convert(obj, known.type)
        # Text that is not Unicode (half a surrogate pair) could not be sent on to any proxy.
        msgspec.json.encode(value)
    except msgspec.ValidationError as error:
        message, path = _split(str(error))
        return Decoded(key, None, (Problem(object=key, path=path, message=message, value=_at(obj, path)),))
    except UnicodeEncodeError:
        return Decoded(key, None, (Problem(object=key, path="", message="a text in it is not Unicode"),))
    findings = Findings(key)
    if known.validate is not None:
        known.validate(value, findings)
    problems = tuple(findings.problems)
    refused = any(problem.level is Level.ERROR for problem in problems)
    return Decoded(key, None if refused else value, problems)


def _convert(obj: dict[str, Any], kind: type[MeshObject]) -> MeshObject:
    try:
        return msgspec.convert(obj, kind)
    except msgspec.ValidationError:
        # Protobuf JSON takes null for "not set" and numbers as text; rare enough to cost a second attempt.
        return msgspec.convert(_without_nulls(obj), kind, strict=False)


def _without_nulls(value: Any, depth: int = 0) -> Any:
    if depth > 100:
        return value
    if isinstance(value, dict):
        return {key: _without_nulls(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in value]
    return value


def _split(text: str) -> tuple[str, str]:
    """Take msgspec's `message - at `$.path`` apart; a path ending in [...] is inside a map."""
    message, _, path = text.partition(" - at `")
    return message[:1].lower() + message[1:], path.rstrip("`").removeprefix("$").lstrip(".")


def _at(obj: Any, path: str) -> Any:
    """What stands at `path`, as far as it can be followed; only for showing it."""
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            index = part[1:-1]
            if not index.isdigit() or not isinstance(obj, list) or int(index) >= len(obj):
                return None
            obj = obj[int(index)]
        elif part:
            if not isinstance(obj, dict) or part not in obj:
                return None
            obj = obj[part]
    return obj if isinstance(obj, (str, int, float, bool)) else None
