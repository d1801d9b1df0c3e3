"""Istio's kinds, from the package data made of Istio's own CRDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.kinds import Column, GroupVersion, ServedKind, Subresource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Kinds that steer something today; the others are accepted and stored.
ACTING = frozenset(
    {
        "AuthorizationPolicy",
        "DestinationRule",
        "EnvoyFilter",
        "Gateway",
        "PeerAuthentication",
        "ProxyConfig",
        "RequestAuthentication",
        "ServiceEntry",
        "Sidecar",
        "VirtualService",
        "WorkloadEntry",
        "WorkloadGroup",
    }
)

#: Stored versions. Istio's own CRDs store Telemetry as v1alpha1; here the newest is stored everywhere.
_ORDER = {"v1": 0, "v1beta1": 1, "v1alpha3": 2, "v1alpha1": 3}


def custom_kinds(data: Mapping[str, Any]) -> tuple[tuple[ServedKind, ...], dict[str, Mapping[str, Any]]]:
    """The kinds, and their schemas by the names in `ServedKind.definitions`."""
    kinds: list[ServedKind] = []
    schemas: dict[str, Mapping[str, Any]] = {}
    for entry in data["kinds"]:
        versions = sorted(entry["versions"], key=lambda version: _ORDER[version["name"]])
        definitions = {}
        for version in versions:
            name = _definition_name(entry["group"], version["name"], entry["kind"])
            definitions[f"{entry['group']}/{version['name']}"] = name
            schemas[name] = data["schemas"][version["schema"]]
        kinds.append(_kind(entry, versions, definitions))
    return tuple(kinds), schemas


def _definition_name(group: str, version: str, kind: str) -> str:
    """Group labels reversed, as API servers name the types of CRDs: `io.istio.networking.v1.Gateway`."""
    return ".".join([*reversed(group.split(".")), version, kind])


def _kind(entry: Mapping[str, Any], versions: list[Mapping[str, Any]], definitions: dict[str, str]) -> ServedKind:
    newest = versions[0]
    stored = GroupVersion(group=entry["group"], version=newest["name"])
    status = Subresource(
        name="status",
        group=stored.group,
        version=stored.version,
        kind=entry["kind"],
        verbs=("get", "patch", "update"),
    )
    return ServedKind(
        group=stored.group,
        version=stored.version,
        served_versions=tuple(version["name"] for version in versions),
        kind=entry["kind"],
        plural=entry["plural"],
        singular=entry["singular"],
        namespaced=entry["namespaced"],
        short_names=tuple(entry["shortNames"]),
        categories=tuple(entry["categories"]),
        subresources=(status,) if newest["status"] else (),
        columns=columns_of(newest["columns"]),
        acts=entry["kind"] in ACTING,
        custom=True,
        definitions=definitions,
    )


def columns_of(columns: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Name first, then the columns of a CRD; a CRD without any shows its age."""
    name = Column(name="Name", format="name", description="Name of the object, unique in its namespace")
    age = Column(name="Age", type="date", path=".metadata.creationTimestamp", description="Time since creation")
    declared = tuple(
        Column(
            name=column["name"],
            type=column["type"],
            path=column["jsonPath"],
            priority=column.get("priority", 0),
            format=column.get("format", ""),
            description=column.get("description") or f"The value of {column['jsonPath']}",
        )
        for column in columns
    )
    return (name, *(declared or (age,)))
