"""The hosts that Services and ServiceEntries bring into being, and who sees them.

Istio: a host is looked up among those exported to everybody, then among those exported to the caller's namespace (or to
the namespaces that the asking rule itself is exported to), then among wildcards.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from plait.analyze.fields import labels, mappings, number, texts
from plait.analyze.kinds import SERVICE, SERVICE_ENTRY
from plait.analyze.world import Index, Item, World
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard, narrower
from plait.snapshot.visibility import EVERYBODY, EXPORT_ANNOTATION, scopes


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host as callers may name it; `selector` restricts its pods (ServiceEntries only)."""

    item: Item
    ports: tuple[int, ...]
    selector: dict[str, str]


def find_host(world: World, host: str, namespace: str, export_to: Iterable[str] = ()) -> KnownHost | None:
    """What `host` means in a rule of `namespace` that is exported to `export_to`."""
    full = complete_host(host, namespace, world.domain)
    places = [EVERYBODY, *(namespace if place == "." else place for place in export_to or (namespace,))]
    for place in places:
        items = world.find(_HOSTS, (place, full))
        if items:
            return _known(items[-1])
    bare = host.removeprefix("*").lower()
    for item in world.find(_WILDCARDS, ""):
        if not {EVERYBODY, namespace} & scopes(texts(item.spec, "exportTo"), item.namespace):
            continue
        if any(bare.endswith(name[1:].lower()) for name in texts(item.spec, "hosts") if name.startswith("*")):
            return _known(item)
    return None


def known_hosts_under(world: World, pattern: str, namespace: str) -> Iterator[Item]:
    """What brings hosts into being that `pattern` (which may be a wildcard) covers, seen from `namespace`."""
    if not is_wildcard(pattern):
        for scope in (EVERYBODY, namespace):
            yield from world.find(_HOSTS, (scope, pattern))
    for value in world.values(_HOSTS) if is_wildcard(pattern) else ():
        match value:
            case (str(scope), str(host)) if scope in {EVERYBODY, namespace} and narrower(pattern, host) is not None:
                yield from world.find(_HOSTS, value)
    if not is_wildcard(pattern):
        for item in world.find(_WILDCARDS, ""):
            if any(host_matches(name.lower(), pattern) for name in texts(item.spec, "hosts")):
                yield item


def ports_of(item: Item) -> tuple[int, ...]:
    """The ports at which a Service or ServiceEntry is called."""
    name = "port" if item.kind == SERVICE else "number"
    return tuple(number(port, name) for _, port in mappings(item.spec, "ports"))


def _known(item: Item) -> KnownHost:
    selector = {} if item.kind == SERVICE else labels(item.spec, "workloadSelector", "labels")
    return KnownHost(item, ports_of(item), selector)


def _host_keys(item: Item, domain: str) -> Iterator[Hashable]:
    if item.kind == SERVICE:
        listed = item.annotations.get(EXPORT_ANNOTATION, "")
        export_to = tuple(part.strip() for part in listed.split(",") if part.strip())
        names: tuple[str, ...] = (item.name,)
    else:
        export_to, names = texts(item.spec, "exportTo"), texts(item.spec, "hosts")
    for scope in scopes(export_to, item.namespace):
        for name in names:
            yield scope, complete_host(name, item.namespace, domain)


_HOSTS: Final = Index((SERVICE_ENTRY, SERVICE), _host_keys)
_WILDCARDS: Final = Index(
    (SERVICE_ENTRY,),
    lambda item, _: [""] if any(name.startswith("*") for name in texts(item.spec, "hosts")) else [],
)
