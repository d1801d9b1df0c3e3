"""Which resources an API server serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from plait.kube.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


class Requests(Protocol):
    """The part of a client that discovery needs."""

    async def request(self, method: str, path: str, *, accept: str | None = None) -> bytes:
        """See `Client.request`."""
        ...


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind in its group's preferred version, and what may be done with it."""

    kind: Kind
    verbs: frozenset[str]
    #: What people may call it besides its plural: `virtualservice`, `vs`.
    names: tuple[str, ...] = ()


async def discover(client: Requests) -> tuple[Resource, ...]:
    """Every resource once, in the version its group lists first; raises ApiError."""
    found: list[Resource] = []
    for root in ("/api", "/apis"):
        answer = msgspec.json.decode(await client.request("GET", root, accept=_AGGREGATED), type=dict[str, Any])
        if answer.get("kind") == "APIGroupDiscoveryList":
            for group in answer.get("items") or ():
                found += _aggregated(group)
        elif root == "/api":
            found += await _legacy(client, "", "v1")
        else:
            for group in answer.get("groups") or ():
                preferred = group.get("preferredVersion") or group["versions"][0]
                found += await _legacy(client, group["name"], preferred["version"])
    return tuple(found)


def _aggregated(group: Mapping[str, Any]) -> Iterator[Resource]:
    name, seen = (group.get("metadata") or {}).get("name") or "", set()
    for version in group.get("versions") or ():
        for resource in version.get("resources") or ():
            if resource["resource"] in seen:
                continue
            seen.add(resource["resource"])
            kind = Kind(
                name,
                version["version"],
                resource["responseKind"]["kind"],
                resource["resource"],
                resource["scope"] == "Namespaced",
            )
            names = (resource.get("singularResource") or "", *(resource.get("shortNames") or ()))
            yield Resource(kind, frozenset(resource.get("verbs") or ()), tuple(filter(None, names)))


async def _legacy(client: Requests, group: str, version: str) -> list[Resource]:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    answer = msgspec.json.decode(await client.request("GET", path), type=dict[str, Any])
    return [
        Resource(
            Kind(group, version, item["kind"], item["name"], bool(item["namespaced"])),
            frozenset(item.get("verbs") or ()),
            tuple(filter(None, (item.get("singularName") or "", *(item.get("shortNames") or ())))),
        )
        for item in answer.get("resources") or ()
        if "/" not in item["name"]
    ]
