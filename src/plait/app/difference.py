"""What a change of objects would change: the objects' fields, the proxies, and Envoy's resources inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict

from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS, Resource

_TYPES: Any = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    RDS: RouteConfiguration,
    ECDS: TypedExtensionConfig,
}
#: By what items of a list are told apart, the first that all have.
_IDENTITIES = ("name", "key")

Verb = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One place in an object or a resource; None where nothing was, or nothing is left."""

    path: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """An object that would be made, changed or removed."""

    object: str
    verb: Verb
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange:
    """One of Envoy's resources, with all proxies that would get the same change; `new` is the resource itself."""

    kind: str
    name: str
    verb: Verb
    proxies: tuple[str, ...]
    fields: tuple[FieldChange, ...] = ()
    new: Resource | None = field(default=None, repr=False)


def resource_changes(
    kept: Iterable[tuple[str, Mapping[tuple[str, str], Resource], Mapping[tuple[str, str], Resource]]],
) -> tuple[ResourceChange, ...]:
    """Changes of resources, from (proxy, before, after) of each; resources are by type and name.

    Proxies of one kind are changed alike: equal changes are one.
    """
    found: dict[tuple[str, str, str, str], tuple[Resource | None, Resource | None, list[str]]] = {}
    for proxy, before, after in kept:
        for place in dict.fromkeys((*before, *after)):
            old, new = before.get(place), after.get(place)
            if old is not None and new is not None and old.version == new.version:
                continue
            key = (*place, old.version if old else "", new.version if new else "")
            found.setdefault(key, (old, new, []))[2].append(proxy)
    result = [
        ResourceChange(
            kind=type_url.rpartition(".")[2],
            name=name,
            verb="added" if old is None else "removed" if new is None else "changed",
            proxies=tuple(proxies),
            fields=tuple(_resource_fields(old, new)) if old is not None and new is not None else (),
            new=new,
        )
        for (type_url, name, *_), (old, new, proxies) in found.items()
    ]
    return tuple(sorted(result, key=lambda each: (each.kind, each.name, each.verb)))


def _resource_fields(old: Resource, new: Resource) -> Iterator[FieldChange]:
    if old.type_url == SDS:
        yield FieldChange(path="(a credential)", old="another", new="new")
        return
    yield from field_changes(_decoded(old), _decoded(new))


def _decoded(resource: Resource) -> Any:
    kind = _TYPES.get(resource.type_url)
    if kind is None:
        return {"version": resource.version}
    element = DeltaDiscoveryResponse.FromString(resource.encoded).resources[0]
    return MessageToDict(kind.FromString(element.resource.value), preserving_proto_field_name=True)


def field_changes(old: Any, new: Any, path: str = "") -> Iterator[FieldChange]:
    """The places where two JSON values differ, as deep as they are alike. Items of lists are told apart by name."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from field_changes(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield from _list_changes(old, new, path)
    else:
        yield FieldChange(path=path, old=old, new=new)


def _list_changes(old: Sequence[Any], new: Sequence[Any], path: str) -> Iterator[FieldChange]:
    before, after = _named(old), _named(new)
    if before is None or after is None:
        # Without names it is the place that counts.
        for place in range(max(len(old), len(new))):
            one = old[place] if place < len(old) else None
            other = new[place] if place < len(new) else None
            yield from field_changes(one, other, f"{path}[{place}]")
        return
    for name in dict.fromkeys((*before, *after)):
        yield from field_changes(before.get(name), after.get(name), f"{path}[{name}]")
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield FieldChange(path=f"{path} (order)", old=[*before], new=[*after])


def _named(items: Sequence[Any]) -> dict[str, Any] | None:
    """Items by what names them; None if they are not named, or not all differently."""
    for identity in _IDENTITIES:
        named = {
            each[identity]: each for each in items if isinstance(each, Mapping) and isinstance(each.get(identity), str)
        }
        if len(named) == len(items):
            return named
    return None
