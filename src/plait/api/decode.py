"""JSON objects as the API serves them -> typed objects and Problems.

Never raises, whatever the JSON: what cannot be read is a Problem with its path. An object with a problem of level ERROR
is not returned; warnings come along with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from plait.api.destinationrule import DestinationRule
from plait.api.envoyfilter import EnvoyFilter
from plait.api.extensions import TrafficExtension, WasmPlugin
from plait.api.gateway import Gateway
from plait.api.inert import inert_values
from plait.api.ingress import Ingress, IngressClass
from plait.api.kubernetes import EndpointSlice, Namespace, Node, Pod, Secret, Service
from plait.api.mesh_settings import NAME as MESH_SETTINGS
from plait.api.mesh_settings import ConfigMap, validate_mesh_settings
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.api.proxyconfig import ProxyConfig
from plait.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from plait.api.serviceentry import ServiceEntry
from plait.api.sidecar import Sidecar
from plait.api.telemetry import Telemetry
from plait.api.validate.authentication import validate_peerauthentication, validate_requestauthentication
from plait.api.validate.authorization import validate_annotations, validate_authorizationpolicy
from plait.api.validate.destinationrule import validate_destinationrule
from plait.api.validate.entries import validate_serviceentry, validate_workloadentry, validate_workloadgroup
from plait.api.validate.envoyfilter import validate_envoyfilter
from plait.api.validate.extensions import validate_trafficextension, validate_wasmplugin
from plait.api.validate.findings import Findings
from plait.api.validate.gateway import validate_gateway
from plait.api.validate.kubernetes import validate_endpointslice, validate_service
from plait.api.validate.proxyconfig import validate_proxyconfig
from plait.api.validate.sidecar import validate_sidecar
from plait.api.validate.telemetry import validate_telemetry
from plait.api.validate.virtualservice import validate_virtualservice
from plait.api.virtualservice import VirtualService
from plait.api.workloadentry import WorkloadEntry, WorkloadGroup

MeshObject: TypeAlias = (
    Service
    | EndpointSlice
    | Pod
    | Namespace
    | Node
    | ConfigMap
    | Secret
    | Ingress
    | IngressClass
    | VirtualService
    | DestinationRule
    | EnvoyFilter
    | Gateway
    | ServiceEntry
    | WorkloadEntry
    | Sidecar
    | PeerAuthentication
    | AuthorizationPolicy
    | RequestAuthentication
)


#: Code of the problem of a value that does not have the type of its field.
WRONG_TYPE: Final = "WrongType"


class _Kind(NamedTuple):
    """`steers` says whether its objects change what the mesh does; of the others it is only known what is wrong."""

    group: str
    type: type[Any]
    validate: Callable[[Any, Findings], None] | None = None
    steers: bool = True


_KINDS: Final[dict[str, _Kind]] = {
    "Service": _Kind("", Service, validate_service),
    "EndpointSlice": _Kind("discovery.k8s.io", EndpointSlice, validate_endpointslice),
    "Pod": _Kind("", Pod),
    "Namespace": _Kind("", Namespace),
    "Node": _Kind("", Node),
    "ConfigMap": _Kind("", ConfigMap, validate_mesh_settings),
    "Secret": _Kind("", Secret),
    "Ingress": _Kind("networking.k8s.io", Ingress),
    "IngressClass": _Kind("networking.k8s.io", IngressClass),
    "VirtualService": _Kind("networking.istio.io", VirtualService, validate_virtualservice),
    "DestinationRule": _Kind("networking.istio.io", DestinationRule, validate_destinationrule),
    "Gateway": _Kind("networking.istio.io", Gateway, validate_gateway),
    "ServiceEntry": _Kind("networking.istio.io", ServiceEntry, validate_serviceentry),
    "WorkloadEntry": _Kind("networking.istio.io", WorkloadEntry, validate_workloadentry),
    "Sidecar": _Kind("networking.istio.io", Sidecar, validate_sidecar),
    "WorkloadGroup": _Kind("networking.istio.io", WorkloadGroup, validate_workloadgroup, steers=False),
    "EnvoyFilter": _Kind("networking.istio.io", EnvoyFilter, validate_envoyfilter),
    "ProxyConfig": _Kind("networking.istio.io", ProxyConfig, validate_proxyconfig, steers=False),
    "AuthorizationPolicy": _Kind("security.istio.io", AuthorizationPolicy, validate_authorizationpolicy),
    "PeerAuthentication": _Kind("security.istio.io", PeerAuthentication, validate_peerauthentication),
    "RequestAuthentication": _Kind("security.istio.io", RequestAuthentication, validate_requestauthentication),
    "Telemetry": _Kind("telemetry.istio.io", Telemetry, validate_telemetry, steers=False),
    "WasmPlugin": _Kind("extensions.istio.io", WasmPlugin, validate_wasmplugin, steers=False),
    "TrafficExtension": _Kind("extensions.istio.io", TrafficExtension, validate_trafficextension, steers=False),
}


class Decoded(NamedTuple):
    """`key` is None when not even the object's name could be read, or its kind has no meaning in the mesh."""

    key: ObjectKey | None
    value: MeshObject | None
    problems: tuple[Problem, ...]


def decoded_kinds() -> tuple[tuple[str, str], ...]:
    """(API group, kind) of everything `decode` understands."""
    return tuple((kind.group, name) for name, kind in _KINDS.items() if kind.steers)


def checked_kinds() -> tuple[tuple[str, str], ...]:
    """(API group, kind) of everything of which `problems_of` can say what is wrong."""
    return tuple((kind.group, name) for name, kind in _KINDS.items())


def knows(group: str, kind: str) -> bool:
    """Whether objects of this kind can have a meaning in the mesh."""
    known = _KINDS.get(kind)
    return known is not None and known.group == group and known.steers


def decode(obj: object) -> Decoded:
    """Read one object of any version of its kind."""
    read = _read(obj)
    if read.key is None or not _KINDS[read.key.kind].steers:
        return Decoded(None, None, ())
    return read


def problems_of(obj: object) -> tuple[Problem, ...]:
    """What is wrong with an object of any kind that Istio has, whether or not it steers anything here."""
    return _read(obj).problems


def typed(obj: dict[str, Any]) -> tuple[ObjectKey, Any] | None:
    """An object with the types of its kind, whatever its meaning; None where they are wrong, or it has no name."""
    key = _read(obj).key
    if key is None:
        return None
    try:
        return key, _convert(obj, _KINDS[key.kind].type)
    except msgspec.ValidationError:
        return None


def _read(obj: object) -> Decoded:
    if not isinstance(obj, dict):
        return Decoded(None, None, ())
    kind, version, metadata = obj.get("kind"), obj.get("apiVersion"), obj.get("metadata")
    if not isinstance(kind, str) or not isinstance(version, str) or not isinstance(metadata, dict):
        return Decoded(None, None, ())
    group = version.rpartition("/")[0]
    name, namespace = metadata.get("name"), metadata.get("namespace") or ""
    known = _KINDS.get(kind)
    if known is None or known.group != group or not isinstance(name, str) or not name or not isinstance(namespace, str):
        return Decoded(None, None, ())
    if kind == "ConfigMap" and name != MESH_SETTINGS:
        # The rest are the applications' own.
        return Decoded(None, None, ())
    key = ObjectKey(kind, namespace, name)
    try:
        value = _convert(obj, known.type)
        # Text that is not Unicode (half a surrogate pair) could not be sent on to any proxy.
        msgspec.json.encode(value)
    except msgspec.ValidationError as error:
        message, path = _split(str(error))
        path = _named(obj, known.type, path)
        problem = Problem(object=key, path=path, message=message, value=_at(obj, path), code=WRONG_TYPE)
        return Decoded(key, None, (problem,))
    except UnicodeEncodeError:
        return Decoded(key, None, (Problem(object=key, path="", message="a text in it is not Unicode"),))
    findings = Findings(key)
    if known.validate is not None:
        known.validate(value, findings)
    for row, path, given in inert_values(group, kind, obj):
        findings.warn(path, row.says, value=given if isinstance(given, (str, int, float)) else None)
    annotations = metadata.get("annotations")
    if group.endswith("istio.io") and isinstance(annotations, dict):
        validate_annotations(kind, annotations, findings)
    problems = tuple(findings.problems)
    refused = any(problem.level is Level.ERROR for problem in problems)
    return Decoded(key, None if refused else value, problems)


def _convert(obj: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(obj, kind)
    except msgspec.ValidationError:
        # Protobuf JSON takes null for "not set", numbers as text and 1.0 for 1; rare enough to cost a second attempt.
        return msgspec.convert(_as_go_reads(obj), kind, strict=False)


def _as_go_reads(value: Any, depth: int = 0) -> Any:
    if depth > 100:
        return value
    if isinstance(value, dict):
        return {key: _as_go_reads(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_as_go_reads(item, depth + 1) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_IN_MAP: Final = "[...]"
"""How msgspec names an entry of a map, which may be any of them."""
_STEP: Final = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


def _split(text: str) -> tuple[str, str]:
    """Take msgspec's `message - at `$.path`` apart; a path may have [...] for an entry of a map."""
    message, _, path = text.partition(" - at `")
    return message[:1].lower() + message[1:], path.rstrip("`").removeprefix("$").lstrip(".")


def _named(obj: dict[str, Any], kind: type[Any], path: str) -> str:
    """`path` with the key of the entry that is wrong; as it is where that cannot be found."""
    outer, in_map, _ = path.partition(_IN_MAP)
    entries = _inside(obj, outer) if in_map else None
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        try:
            _convert(_with(obj, _steps(outer), {name: entry}), kind)
        except msgspec.ValidationError as error:
            if _split(str(error))[1] == path:
                alone = _with(obj, _steps(outer), {name: entry})
                return _named(alone, kind, path.replace(_IN_MAP, f"[{name}]", 1))
    return path


def _steps(path: str) -> list[str]:
    return [inner or plain for inner, plain in _STEP.findall(path)]


def _inside(value: Any, path: str) -> Any:
    """What stands at `path`; None where nothing does."""
    for step in _steps(path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _with(value: Any, steps: Sequence[str], new: Any) -> Any:
    """A copy with `new` in a place that is there."""
    if not steps:
        return new
    step, *rest = steps
    if isinstance(value, dict):
        return {**value, step: _with(value[step], rest, new)}
    return [_with(each, rest, new) if index == int(step) else each for index, each in enumerate(value)]


def _at(obj: Any, path: str) -> Any:
    """What stands at `path`, as far as it can be followed; only for showing it."""
    found = _inside(obj, path) if path else None
    return found if isinstance(found, (str, int, float, bool)) else None
