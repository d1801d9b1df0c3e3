"""What the egress listeners of a Sidecar let through: hosts with their ports, and VirtualServices.

Istio's rules. A host is imported as `NAMESPACE/HOST`: `.` is the Sidecar's own namespace, `*` any; HOST may be a
wildcard. `~` before it takes out what the listener's other entries let in, of every namespace if it stands alone. A
listener with a port takes only that port of each host. Destinations of imported VirtualServices can be reached through
these alone, as far as they were not named: they have clusters, but no listeners and virtual hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from plait.api.sidecar import EgressListener, Sidecar
from plait.mesh.scope import Scope
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard
from plait.snapshot.indexes import MESH
from plait.snapshot.keys import Alias, HostPort, RuleEntry
from plait.snapshot.owners import undisputed
from plait.snapshot.reader import Reader
from plait.snapshot.visibility import EVERYBODY

_OUT: Final = "~"
#: Istio: as old as Sidecars, and takes out nothing of what stands beside it.
_NOTHING: Final = "~/*"
_ALL: Final = EgressListener(hosts=("*/*",))

Ports: TypeAlias = tuple[HostPort, ...]

#: The first element: of a HostPort its host, as of what rules send to.
_HOST: Final[Callable[[Any], str]] = itemgetter(0)


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One entry of `hosts`. `namespace` may be `*`."""

    namespace: str
    host: str

    def covers(self, namespace: str, host: str) -> bool:
        """Whether it speaks of a host of a namespace."""
        return self.namespace in {EVERYBODY, namespace} and host_matches(self.host, host)


def egress_listeners(reader: Reader, scope: Scope) -> tuple[EgressListener, ...]:
    """The egress listeners of a scope; a Sidecar that names none imports everything."""
    sidecar: Sidecar | None = reader.sidecar(scope.sidecar) if scope.sidecar is not None else None
    return sidecar.spec.egress if sidecar is not None and sidecar.spec.egress else (_ALL,)


def own_listeners(reader: Reader, scope: Scope) -> Iterator[tuple[Scope, EgressListener]]:
    """The listeners with a port of their own."""
    if scope.sidecar is None:
        return
    for index, item in enumerate(egress_listeners(reader, scope)):
        if item.port is not None:
            yield scope._replace(listener=index), item


def _chosen(reader: Reader, scope: Scope) -> tuple[EgressListener, ...]:
    """The listeners that `scope` speaks of."""
    found = egress_listeners(reader, scope)
    if scope.listener is not None:
        return found[scope.listener : scope.listener + 1]
    return tuple(item for item in found if item.port is None)


class Imports(NamedTuple):
    """What `hosts` say, in full, each once: what they let in, and what of it they take out again."""

    wanted: tuple[Import, ...] = ()
    unwanted: tuple[Import, ...] = ()

    def leaves_out(self, namespace: str, host: str) -> bool:
        """Whether a host of a namespace is taken out."""
        return any(item.covers(namespace, host) for item in self.unwanted)


def imports(listeners: Iterable[EgressListener], namespace: str, domain: str) -> Imports:
    """What the `hosts` of listeners say together."""
    return _imports(tuple(item.hosts for item in listeners), namespace, domain)


@lru_cache(maxsize=2048)
def _imports(told: tuple[tuple[str, ...], ...], namespace: str, domain: str) -> Imports:
    wanted: set[Import] = set()
    unwanted: set[Import] = set()
    for text in chain.from_iterable(told):
        if text == _NOTHING:
            continue
        owner, _, host = text.rpartition("/")
        into = unwanted if owner.startswith(_OUT) else wanted
        owner = owner.removeprefix(_OUT)
        owner = namespace if owner == "." else owner or EVERYBODY
        into.add(Import(owner, complete_host(host, namespace if owner == EVERYBODY else owner, domain)))
    everything = Import(EVERYBODY, "*")
    return Imports((everything,) if everything in wanted else tuple(sorted(wanted)), tuple(sorted(unwanted)))


def scope_rules(reader: Reader, scope: Scope) -> tuple[RuleEntry, ...]:
    """The VirtualServices of a scope, in order of precedence."""
    if scope.sidecar is None:
        return reader.virtual_services(MESH, scope.namespace)
    found = imports(_chosen(reader, scope), scope.namespace, reader.domain)
    owners = {item.namespace for item in found.wanted}
    if EVERYBODY in owners:
        candidates = reader.virtual_services(MESH, scope.namespace)
    else:
        candidates = reader.virtual_services_in(tuple(sorted(owners)), scope.namespace)
    return tuple(entry for entry in candidates if _imports_rule(found, entry))


def _imports_rule(found: Imports, entry: RuleEntry) -> bool:
    """Two names compare as equals; with a wildcard either may be the wider one. Istio: a rule comes in by any of its
    hosts that is not taken out.
    """
    wanted = [item.host for item in found.wanted if item.namespace in {EVERYBODY, entry.namespace}]
    return any(
        not found.leaves_out(entry.namespace, host)
        and any(host_matches(each, host) or host_matches(host, each) for each in wanted)
        for host in entry.hosts
    )


def scope_aliases(reader: Reader, scope: Scope) -> tuple[tuple[Alias, str], ...]:
    """The ExternalNames that a scope imports, each with the host it means.

    Istio: they are other names of that host, imported from where that is.
    """
    found = tuple((alias, reader.meant(alias.host)) for alias in reader.aliases(scope.namespace))
    if scope.sidecar is None or not found:
        return found
    imported = imports(_chosen(reader, scope), scope.namespace, reader.domain)
    return tuple(
        (alias, meant)
        for alias, meant in found
        if (service := reader.host(meant, viewer=scope.namespace)) is not None
        and any(item.covers(service.namespace, alias.host) for item in imported.wanted)
        and not imported.leaves_out(service.namespace, alias.host)
    )


def targets(reader: Reader, rules: Iterable[RuleEntry]) -> frozenset[tuple[str, int]]:
    """(host, port) of everything that rules send to; port 0 is any."""
    return frozenset(target for entry in rules for target in reader.targets(entry.key))


def _merged(parts: tuple[Ports, ...]) -> Ports:
    return tuple(sorted(chain.from_iterable(parts)))


def private_ports(reader: Reader, scope: Scope) -> dict[str, Ports]:
    """The ports of hosts that a scope imports and not everybody sees, by the namespaces it names that have any."""
    wanted = imports(_chosen(reader, scope), scope.namespace, reader.domain)
    owners = sorted({item.namespace for item in wanted.wanted if item.namespace != EVERYBODY})
    found = {owner: reader.private_ports(owner, scope.namespace) for owner in owners}
    return {owner: ports for owner, ports in found.items() if ports}


def scope_ports(
    reader: Reader,
    scope: Scope,
    ports_in: Callable[[str], Ports],
    merge: Callable[[tuple[Ports, ...]], Ports] = _merged,
) -> Ports:
    """The ports of the hosts that a scope imports, sorted. `ports_in` are those of hosts of a namespace that it sees;
    `merge` sorts, or remembers what was sorted.
    """
    if scope.sidecar is None:
        return reader.ports(scope.namespace)
    parts: list[Ports] = []
    owners: list[str] = []
    for item in _chosen(reader, scope):
        number = _port_of(item)
        imported = imports((item,), scope.namespace, reader.domain)
        for wanted in imported.wanted:
            ports = _imported(reader, scope.namespace, wanted, ports_in)
            if imported.unwanted:
                ports = [port for port in ports if not imported.leaves_out(port.namespace, port.host)]
            parts.append(tuple(ports) if number is None else tuple(port for port in ports if port.port == number))
            owners.append(wanted.namespace)
    if len(parts) == 1 or (EVERYBODY not in owners and len(set(owners)) == len(owners)):
        # Of as many namespaces: none is in two parts. Ports cost more to hash than to compare.
        found = merge(tuple(parts))
    else:
        found = tuple(sorted({port for part in parts for port in part}))
    return undisputed(found, scope.namespace)


def routed_ports(reader: Reader, scope: Scope, imported: Ports, targeted: frozenset[tuple[str, int]]) -> Ports:
    """The ports of hosts that only the VirtualServices of a Sidecar's scope send to (`targeted`, see `targets`)."""
    named = set(map(_HOST, imported))
    if named.issuperset(map(_HOST, targeted)):
        return ()
    targeted = frozenset(target for target in targeted if target[0] not in named)
    only = {_port_of(item) for item in _chosen(reader, scope)}
    numbers = None if None in only else only
    found: set[HostPort] = set()
    for host, port in targeted:
        routed = _routed(reader, scope.namespace, host)
        found.update(p for p in routed if (not port or p.port == port) and (numbers is None or p.port in numbers))
    return undisputed(tuple(sorted(found)), scope.namespace)


def _port_of(item: EgressListener) -> int | None:
    """The port a listener is restricted to; an HTTP proxy takes calls of any."""
    if item.port is None or not item.port.number or item.port.protocol.upper() == "HTTP_PROXY":
        return None
    return item.port.number


def _imported(reader: Reader, namespace: str, wanted: Import, ports_in: Callable[[str], Ports]) -> Iterable[HostPort]:
    if not is_wildcard(wanted.host):
        found = reader.ports_of(wanted.host, namespace)
        return found if wanted.namespace == EVERYBODY else (p for p in found if p.namespace == wanted.namespace)
    everything = reader.all_ports(namespace) if wanted.namespace == EVERYBODY else ports_in(wanted.namespace)
    return everything if wanted.host == "*" else (p for p in everything if host_matches(wanted.host, p.host))


def _routed(reader: Reader, namespace: str, host: str) -> tuple[HostPort, ...]:
    """The ports of a host that a rule sends to; the Sidecar's own namespace knows best."""
    found = reader.ports_of(host, namespace)
    own = tuple(port for port in found if port.namespace == namespace)
    return own or undisputed(found, namespace)


def all_ports(
    imported: Iterable[tuple[HostPort, ...]], routed: Iterable[tuple[HostPort, ...]], namespace: str
) -> tuple[HostPort, ...]:
    """The ports of several listeners together; what any imports comes before what rules send to."""
    parts = [part for part in imported if part]
    routed = [part for part in routed if part]
    if len(parts) == 1 and not routed:
        return parts[0]
    first = undisputed(tuple(sorted({port for part in parts for port in part})), namespace)
    named = {port.host: port[4:6] for port in first}
    rest = {port for part in routed for port in part if named.get(port.host, port[4:6]) == port[4:6]}
    return undisputed(tuple(sorted({*first, *rest})), namespace)
