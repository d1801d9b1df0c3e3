"""Discovery: what is served, aggregated as kubectl asks for it and in the older lists other clients use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.machine.api.registry import Registry, Resource
    from plait.machine.api.schema import GroupVersion

Json = dict[str, Any]


def aggregated(registry: Registry, *, core: bool, version: str) -> Json:
    """APIGroupDiscoveryList of `/api` (core) or `/apis`; `version` is v2 or v2beta1."""
    groups: dict[str, list[Json]] = {}
    for at in _versions(registry, core=core):
        resources = [_aggregated_resource(resource) for resource in registry.resources(at)]
        groups.setdefault(at.group, []).append({"version": at.version, "resources": resources, "freshness": "Current"})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {"metadata": {"name": group} if group else {}, "versions": versions} for group, versions in groups.items()
        ],
    }


def _aggregated_resource(resource: Resource) -> Json:
    kind = resource.kind
    made: Json = {
        "resource": kind.plural,
        "responseKind": _gvk(resource.group, resource.version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    made.update(_handles(resource))
    subresources = [
        {
            "subresource": sub.name,
            "responseKind": _gvk(*_own_version(resource, sub.group, sub.version), sub.kind),
            "verbs": list(sub.verbs),
        }
        for sub in kind.subresources
    ]
    if subresources:
        made["subresources"] = subresources
    return made


def _handles(resource: Resource) -> Json:
    """Short names and categories; an old group has none, or `get all` would show its objects twice."""
    kind = resource.kind
    made: Json = {}
    if resource.group != kind.group:
        return made
    if kind.short_names:
        made["shortNames"] = list(kind.short_names)
    if kind.categories:
        made["categories"] = list(kind.categories)
    return made


def _own_version(resource: Resource, group: str, version: str) -> tuple[str, str]:
    """A subresource that speaks the kind itself speaks it in the version of the path."""
    if (group, version) == (resource.kind.group, resource.kind.version):
        return resource.group, resource.version
    return group, version


def _gvk(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _versions(registry: Registry, *, core: bool) -> list[GroupVersion]:
    return [at for at in registry.group_versions() if (at.group == "") is core]


def api_versions(address: str) -> Json:
    """`/api` in the old form; `address` is the server's, as host:port."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(registry: Registry) -> Json:
    """`/apis` in the old form."""
    names = dict.fromkeys(at.group for at in _versions(registry, core=False))
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(registry, name) for name in names]}


def _group(registry: Registry, name: str) -> Json:
    versions = [
        {"groupVersion": str(at), "version": at.version} for at in registry.group_versions() if at.group == name
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def group(registry: Registry, name: str) -> Json | None:
    """`/apis/GROUP`; None if it is not served."""
    if not any(at.group == name for at in registry.group_versions()):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, name)}


def resource_list(registry: Registry, at: GroupVersion) -> Json | None:
    """`/api/v1` or `/apis/GROUP/VERSION`; None if it is not served."""
    resources = registry.resources(at)
    if not resources:
        return None
    items: list[Json] = []
    for resource in resources:
        kind = resource.kind
        item: Json = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        item.update(_handles(resource))
        items.append(item)
        for sub in kind.subresources:
            more: Json = {}
            if (sub.group, sub.version) != (kind.group, kind.version):
                more = {"group": sub.group, "version": sub.version}
            items.append(
                {
                    "name": f"{kind.plural}/{sub.name}",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    **more,
                    "kind": sub.kind,
                    "verbs": list(sub.verbs),
                }
            )
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": str(at), "resources": items}
