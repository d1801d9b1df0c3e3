"""Tables: what `kubectl get` prints. Cells of built-in kinds are computed, those of others come from their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.objects import metadata
from plait.machine.api.tables import configuration, jobs, networking, stored, workloads
from plait.machine.api.tables.jsonpath import find_all
from plait.machine.api.times import age

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.registry import Collection
    from plait.machine.api.schema import Column, ServedKind

Json = dict[str, Any]
Cells = list[Any]

_BUILTIN: dict[Collection, Callable[[Json, float], Cells]] = {
    ("", "pods"): workloads.pod,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "replicasets"): workloads.replica_set,
    ("", "nodes"): workloads.node,
    ("batch", "cronjobs"): jobs.cron_job,
    ("batch", "jobs"): jobs.job,
    ("", "services"): networking.service,
    ("discovery.k8s.io", "endpointslices"): networking.endpoint_slice,
    ("", "endpoints"): networking.endpoints,
    ("networking.k8s.io", "ingresses"): networking.ingress,
    ("networking.k8s.io", "ingressclasses"): networking.ingress_class,
    ("autoscaling", "horizontalpodautoscalers"): stored.autoscaler,
    ("rbac.authorization.k8s.io", "rolebindings"): stored.binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): stored.binding,
    ("policy", "poddisruptionbudgets"): stored.disruption_budget,
    ("", "persistentvolumeclaims"): stored.claim,
    ("", "resourcequotas"): stored.quota,
    ("networking.k8s.io", "networkpolicies"): stored.network_policy,
    ("", "namespaces"): configuration.namespace,
    ("", "configmaps"): configuration.config_map,
    ("", "secrets"): configuration.secret,
    ("", "serviceaccounts"): configuration.service_account,
    ("", "events"): configuration.event,
    ("coordination.k8s.io", "leases"): configuration.lease,
}
_NAME: Json = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name of the object, unique in its namespace",
    "priority": 0,
}
_AGE: Json = {
    "name": "Age",
    "type": "date",
    "format": "",
    "description": "Time since the object was created",
    "priority": 0,
}


def column_definitions(kind: ServedKind, version: str) -> list[Json]:
    """`columnDefinitions` of a Table of that kind in that version."""
    return [_definition(column) for column in kind.columns_of(version)] or [_NAME, _AGE]


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def cells(kind: ServedKind, version: str, obj: Json, now: float) -> Cells:
    """One row's cells, one for each column."""
    builtin = _BUILTIN.get((kind.group, kind.plural))
    if builtin is not None:
        return builtin(obj, now)
    columns = kind.columns_of(version)
    if not columns:
        return [metadata(obj)["name"], age(metadata(obj).get("creationTimestamp"), now)]
    return [_cell(column, obj, now) for column in columns]


def _cell(column: Column, obj: Json, now: float) -> Any:
    if not column.path:
        return metadata(obj)["name"] if column.format == "name" else ""
    found = find_all(obj, column.path)
    if not found:
        return None if column.type != "string" else ""
    if column.type == "date":
        return age(str(found[0]), now)
    if column.type in {"integer", "number", "boolean"}:
        return found[0]
    return _text(found[0]) if len(found) == 1 else ",".join(_text(item) for item in found)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list():
            # upstream prints lists as JSON: ["a","b"]
            return "[" + ",".join(f'"{item}"' if isinstance(item, str) else _text(item) for item in value) + "]"
        case dict():
            return "{" + ",".join(f'"{key}":{_text(item)}' for key, item in value.items()) + "}"
        case None:
            return ""
        case _:
            return str(value)
