"""What is wrong with the patches of an EnvoyFilter, by Envoy's own schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.api.decode import typed
from plait.api.envoyfilter import ConfigMatch, ConfigPatch, EnvoyFilter
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.mesh.envoy_filters import ISTIO_LEVEL, version_matches
from plait.xds.patch.lists import INSERTS, MERGES
from plait.xds.patch.values import faults_of_value

_LISTED: Final = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"})
#: What each kind knows; anything else is ignored (Istio's rule).
_OPERATIONS: Final = {
    "LISTENER": MERGES | {"ADD", "REMOVE"},
    "FILTER_CHAIN": MERGES | {"ADD", "REMOVE"},
    "NETWORK_FILTER": MERGES | INSERTS | {"REMOVE", "REPLACE"},
    "HTTP_FILTER": MERGES | INSERTS | {"REMOVE", "REPLACE"},
    "LISTENER_FILTER": MERGES | INSERTS | {"REMOVE", "REPLACE"},
    "ROUTE_CONFIGURATION": MERGES,
    "VIRTUAL_HOST": MERGES | {"ADD", "REMOVE", "REPLACE"},
    "HTTP_ROUTE": MERGES | INSERTS | {"REMOVE"},
    "CLUSTER": MERGES | {"ADD", "REMOVE"},
    "EXTENSION_CONFIG": frozenset({"ADD"}),
    "BOOTSTRAP": frozenset({"MERGE"}),
}
_KNOWN: Final = frozenset({"NAMESPACE", "CLUSTER_ID", "ISTIO_VERSION"})


def patch_problems(key: ObjectKey, rule: EnvoyFilter) -> tuple[Problem, ...]:
    """Errors where Envoy could not read a value, warnings where a patch can have no effect."""
    return tuple(
        problem
        for place, given in enumerate(rule.spec.config_patches)
        for problem in _of_patch(key, f"spec.configPatches[{place}]", given)
    )


def problems_of_patches(obj: object) -> tuple[Problem, ...]:
    """The same of a JSON object of any kind; nothing of one that is no EnvoyFilter, or that cannot be read."""
    if not isinstance(obj, dict) or obj.get("kind") != "EnvoyFilter":
        return ()
    # Whatever else is wrong with it: one patch says nothing about the others.
    read = typed(obj)
    return patch_problems(*read) if read is not None and isinstance(read[1], EnvoyFilter) else ()


def _of_patch(key: ObjectKey, path: str, given: ConfigPatch) -> Iterator[Problem]:
    def warning(where: str, message: str, fix: str, value: object) -> Problem:
        return Problem(object=key, path=where, message=message, level=Level.WARNING, fix=fix, value=value)

    match = given.match or ConfigMatch()
    if given.apply_to == "BOOTSTRAP":
        message = "holds for pods made from now on: a proxy reads its bootstrap when it starts"
        yield warning(f"{path}.applyTo", message, "kubectl rollout restart for those that run", given.apply_to)
    if match.context == "WAYPOINT" or match.waypoint is not None:
        yield warning(f"{path}.match", "has no effect: there are no waypoints", "another context", match.context)
    if match.listener is not None and match.listener.port_name:
        message = "has no effect: listeners are told apart by their port's number, in Istio too"
        yield warning(f"{path}.match.listener.portName", message, "portNumber", match.listener.port_name)
    proxy = match.proxy
    if proxy is not None and proxy.proxy_version and not version_matches(proxy.proxy_version):
        message = f"no proxy is of this version: configuration here is that of Istio {ISTIO_LEVEL}"
        fix = "remove it, or a pattern such as ^1\\.3.*"
        yield warning(f"{path}.match.proxy.proxyVersion", message, fix, proxy.proxy_version)
    if proxy is not None and (unknown := sorted(proxy.metadata.keys() - _KNOWN)):
        message = f"{', '.join(unknown)}: no proxy says so, so the patch has no effect"
        fix = f"workloadSelector, or one of {', '.join(sorted(_KNOWN))}"
        yield warning(f"{path}.match.proxy.metadata", message, fix, unknown)
    if given.patch is None or given.apply_to not in _OPERATIONS:
        return
    operation = given.patch.operation
    if operation not in _OPERATIONS[given.apply_to] and operation != "INVALID":
        known = ", ".join(sorted(_OPERATIONS[given.apply_to]))
        message = f"{operation} has no effect on {given.apply_to}"
        yield warning(f"{path}.patch.operation", message, f"one of {known}", operation)
    for error in faults_of_value(given.apply_to, given.patch.value):
        where = f"{path}.patch.value" + (f".{error.path}" if error.path else "")
        yield Problem(object=key, path=where, message=str(error), fix="Envoy's v3 API")
    adds = operation in INSERTS | {"REPLACE"}
    if (
        adds
        and given.apply_to in _LISTED | {"LISTENER", "CLUSTER", "EXTENSION_CONFIG"}
        and not (given.patch.value or {}).get("name")
    ):
        yield Problem(object=key, path=f"{path}.patch.value.name", message="a name is missing", fix="a name of its own")
