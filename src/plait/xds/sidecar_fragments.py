"""Fragments of what a sidecar can call, but for routes and listeners: shared by all that see the same.

A `Scope` says who calls, as far as it decides what is seen: its clusters are those of all egress listeners together,
its virtual hosts those of one listener.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from plait.api.meta import ObjectKey
from plait.kit.alike import Mapped, Merged
from plait.kit.memo import Key, Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.destination_rules import Steps, find_rules, subset_labels
from plait.mesh.destinations import Destination, of_port, whole
from plait.mesh.egress import (
    all_ports,
    own_listeners,
    private_ports,
    routed_ports,
    scope_aliases,
    scope_ports,
    scope_rules,
    targets,
)
from plait.mesh.rules import MeshRules, mesh_rules
from plait.mesh.scope import Scope
from plait.mesh.unknown import UnknownPolicy, unknown_policy
from plait.mesh.virtual_hosts import foreign_hosts
from plait.snapshot.keys import Alias, HostPort, Labels, Resolution, RuleEntry
from plait.snapshot.protocols import Protocol
from plait.snapshot.reader import Reader
from plait.xds import names
from plait.xds.resource import CDS, EDS, SDS
from plait.xds.shared_fragments import (
    RESOLVED,
    Entries,
    Lister,
    Maker,
    cluster_entries,
    deciding_labels,
    endpoint_entries,
    mesh_of,
    steps_to,
)
from plait.xds.tls import WantedCredential
from plait.xds.views import ViewKey

Rules: TypeAlias = tuple[ObjectKey, ...]
"""DestinationRules."""


class Listening(NamedTuple):
    """The ports of a scope, as listeners see them.

    `http`: those with a route configuration that all HTTP services share, each with whether names are resolved as they
    are asked for. `others` are the ports that are not declared to be HTTP, the oldest service first. `first_http`: of
    ports that services of undeclared protocol share, when the first with HTTP was made, and its host.
    """

    http: tuple[tuple[int, bool], ...]
    others: tuple[HostPort, ...]
    first_http: tuple[tuple[int, tuple[str, str]], ...] = ()

    @property
    def undeclared(self) -> set[int]:
        """The ports that services of undeclared protocol share: HTTP has the routes of the port there."""
        return _undeclared(self.others)


def _undeclared(ports: Iterable[HostPort]) -> set[int]:
    return {port.port for port in ports if port.protocol is Protocol.AUTO and port.shares}


class PortKind(NamedTuple):
    """What most of what is asked of all ports of a scope depends on: a further service mostly adds no kind."""

    port: int
    protocol: Protocol
    headless: bool
    resolution: Resolution

    @property
    def unusual(self) -> bool:
        """See Telling."""
        return self.headless or self.resolution is not Resolution.ENDPOINTS


class Telling(NamedTuple):
    """Hosts of which the endpoints are told with the cluster, or (these too, and more) never told by themselves."""

    within: frozenset[str]
    not_at_all: frozenset[str]


#: Lists of which the elements are remembered: a few for each view.
REMEMBERED: Final = 1024
#: Of a HostPort.
_KIND: Final = itemgetter(1, 2, 7, 10)
_OWNER: Final = itemgetter(4)


class SidecarFragments:
    """Makers of these fragments, and the lists of outbound views that name them."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh
        self._clusters_of: Mapped[Destination, tuple[str, Key]] = Mapped(REMEMBERED)
        self._endpoints_of: Mapped[Destination, tuple[str, Key]] = Mapped(REMEMBERED)
        self._ports: Merged[HostPort] = Merged(REMEMBERED)
        self._rules_of: Mapped[HostPort, Rules] = Mapped(REMEMBERED)
        self._wholes: Mapped[HostPort, Destination] = Mapped(REMEMBERED)
        self._destinations: Mapped[tuple[HostPort, Rules], tuple[Destination, ...]] = Mapped(REMEMBERED)

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "scope-rules": self.scope_rules,
            "scope-targets": self.scope_targets,
            "scope-ports": self.scope_ports,
            "scope-aliases": self.scope_aliases,
            "public-ports": self.public_ports,
            "private-ports": self.private_ports,
            "routed-ports": self.routed_ports,
            "port-kinds": self.port_kinds,
            "listening": self.listening,
            "all-ports": self.all_ports,
            "telling": self.telling,
            "unknown": self.unknown,
            "mesh-rules": self.mesh_rules,
            "foreign-hosts": self.foreign_hosts,
            "destinations": self.destinations,
            "rule-steps": self.rule_steps,
            "sidecar-credentials": self.sidecar_credentials,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {
            ("out", CDS): self._clusters,
            ("out", EDS): self._endpoints,
            ("out", SDS): self._secrets,
        }

    def scope_rules(self, _tracker: Tracker, reader: Reader, scope: Scope) -> tuple[RuleEntry, ...]:
        """The VirtualServices that a scope sees."""
        return scope_rules(reader, scope)

    def scope_targets(self, tracker: Tracker, reader: Reader, scope: Scope) -> frozenset[tuple[str, int]]:
        """Where the VirtualServices of a scope send to."""
        return targets(reader, tracker.need(("scope-rules", scope)))

    def scope_ports(self, tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports that a scope imports."""

        def ports_in(owner: str) -> tuple[HostPort, ...]:
            found: tuple[HostPort, ...] = tracker.need(("public-ports", owner))
            private = tracker.need(("private-ports", scope)).get(owner)
            return tuple(sorted({*found, *private})) if private else found

        return scope_ports(reader, scope, ports_in, lambda parts: self._ports.get(scope, parts))

    def scope_aliases(self, _tracker: Tracker, reader: Reader, scope: Scope) -> tuple[tuple[Alias, str], ...]:
        """The ExternalNames that a scope imports, each with the host it means."""
        return scope_aliases(reader, scope)

    def public_ports(self, _tracker: Tracker, reader: Reader, owner: str) -> tuple[HostPort, ...]:
        """The ports of hosts of a namespace that everybody sees."""
        return reader.public_ports(owner)

    def private_ports(self, _tracker: Tracker, reader: Reader, scope: Scope) -> dict[str, tuple[HostPort, ...]]:
        """Those that not everybody sees, but a scope, by namespace."""
        return private_ports(reader, scope)

    def routed_ports(self, tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports that only the rules of a Sidecar's scope send to."""
        return routed_ports(reader, scope, tracker.need(("scope-ports", scope)), tracker.need(("scope-targets", scope)))

    def port_kinds(self, tracker: Tracker, _reader: Reader, scope: Scope) -> frozenset[PortKind]:
        """What kinds there are among the ports of a scope."""
        return frozenset(map(PortKind._make, set(map(_KIND, tracker.need(("scope-ports", scope))))))

    def listening(self, tracker: Tracker, _reader: Reader, scope: Scope) -> Listening:
        """What decides which listeners and route configurations there are; a further HTTP service mostly does not."""
        kinds: frozenset[PortKind] = tracker.need(("port-kinds", scope))
        http = [kind for kind in kinds if kind.protocol.is_http]
        dynamic = {kind.port for kind in http if kind.resolution is Resolution.DYNAMIC}
        numbers = sorted({kind.port for kind in http})
        others: list[HostPort] = []
        if len(http) < len(kinds):
            # Where two services want one place the older has it (Istio's rule).
            others = [port for port in tracker.need(("scope-ports", scope)) if not port.protocol.is_http]
            others.sort(key=lambda port: port.created)
        first: dict[int, tuple[str, str]] = {}
        if mixed := _undeclared(others).intersection(numbers):
            for port in tracker.need(("scope-ports", scope)):
                if port.port in mixed and port.protocol.is_http:
                    made = (port.created, port.host)
                    first[port.port] = min(made, first.get(port.port, made))
        return Listening(
            tuple((number, number in dynamic) for number in numbers), tuple(others), tuple(sorted(first.items()))
        )

    def all_ports(self, tracker: Tracker, reader: Reader, scope: Scope) -> tuple[HostPort, ...]:
        """The ports of all egress listeners, and of what their rules send to."""
        rest: tuple[HostPort, ...] = tracker.need(("scope-ports", scope))
        if scope.sidecar is None:
            return rest
        parts = [part for part, _ in own_listeners(reader, scope)]
        imported = [tracker.need(("scope-ports", part)) for part in parts]
        routed = [tracker.need(("routed-ports", part)) for part in (*parts, scope)]
        return all_ports((*imported, rest), routed, scope.namespace)

    def telling(self, tracker: Tracker, reader: Reader, scope: Scope) -> Telling:
        """How the endpoints of a scope's hosts reach its proxies, where that is not as usual."""
        if (
            not any(kind.unusual for kind in tracker.need(("port-kinds", scope)))
            and next(own_listeners(reader, scope), None) is None
            and not (scope.sidecar and tracker.need(("routed-ports", scope)))
        ):
            # There are no other ports.
            return Telling(frozenset(), frozenset())
        ports: tuple[HostPort, ...] = tracker.need(("all-ports", scope))
        unusual = [port for port in ports if port.headless or port.resolution is not Resolution.ENDPOINTS]
        return Telling(
            frozenset(port.host for port in unusual if port.resolution in RESOLVED),
            frozenset(port.host for port in unusual),
        )

    def unknown(self, tracker: Tracker, reader: Reader, scope: Scope) -> str:
        """The cluster of calls that nobody knows."""
        return unknown_cluster(unknown_policy(reader, scope, mesh_of(tracker)))

    def mesh_rules(self, tracker: Tracker, _reader: Reader, scope: Scope) -> MeshRules:
        """The VirtualServices of sidecars, by host."""
        return mesh_rules(tracker.need(("scope-rules", scope)))

    def foreign_hosts(self, tracker: Tracker, _reader: Reader, scope: Scope) -> dict[int, tuple[str, ...]]:
        """Hosts that exist in rules only, by port."""
        return foreign_hosts(tracker.need(("mesh-rules", scope)), tracker.need(("scope-ports", scope)))

    def destinations(self, tracker: Tracker, reader: Reader, scope: Scope, labels: Labels) -> tuple[Destination, ...]:
        """Every cluster of the scope's sidecars, of those with `labels` where DestinationRules select by them."""
        ports: tuple[HostPort, ...] = tracker.need(("all-ports", scope))
        owners = tuple(sorted(set(map(_OWNER, ports))))
        steps: dict[str, Steps] = tracker.need(("rule-steps", scope.namespace, labels, owners))
        key = scope, labels
        rules = self._rules_of.get(key, ports, lambda port: find_rules(port.host, steps[port.namespace]), steps)
        if not any(rules):
            return self._wholes.get(key, ports, whole)
        subsets = {each: subset_labels(reader, each) for each in dict.fromkeys(rules) if each}
        pairs = tuple(zip(ports, rules, strict=True))
        found = self._destinations.get(key, pairs, lambda pair: of_port(*pair, subsets.get(pair[1], ())), subsets)
        return tuple(sorted(chain.from_iterable(found)))

    def rule_steps(
        self, tracker: Tracker, _reader: Reader, namespace: str, labels: Labels, owners: tuple[str, ...]
    ) -> dict[str, Steps]:
        """Where the DestinationRules for Services of each of `owners` are looked for."""
        find = steps_to(tracker, self.mesh, namespace, labels)
        return {owner: find(owner) for owner in owners}

    def _clusters(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        fixed = [names.BLACKHOLE_CLUSTER, names.PASSTHROUGH_CLUSTER]
        if tracker.need(("unknown", view.scope)) == names.DYNAMIC_DNS_CLUSTER:
            fixed.append(names.DYNAMIC_DNS_CLUSTER)
        found: tuple[Destination, ...] = tracker.need(("destinations", view.scope, deciding_labels(tracker, view)))
        telling: Telling = tracker.need(("telling", view.scope))
        entries = cluster_entries(
            found,
            view.caller,
            gateway=False,
            mutual=view.mutual,
            resolved=telling.within,
            remembered=(self._clusters_of, view),
        )
        return (*[(name, ("fixed-cluster", name)) for name in fixed], *entries)

    def _endpoints(self, tracker: Tracker, reader: Reader, view: ViewKey) -> Entries:
        untold = tracker.need(("telling", view.scope)).not_at_all
        found: tuple[Destination, ...] = tracker.need(("destinations", view.scope, deciding_labels(tracker, view)))
        return endpoint_entries(
            tuple([item for item in found if item.host not in untold]) if untold else found,
            view.caller,
            reader,
            mesh_of(tracker),
            remembered=(self._endpoints_of, view),
        )

    def sidecar_credentials(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> tuple[WantedCredential, ...]:
        """The credentials that a sidecar's clusters ask for."""
        labels = deciding_labels(tracker, view)
        if not labels:
            return ()
        destinations: tuple[Destination, ...] = tracker.need(("destinations", view.scope, labels))
        found: dict[str, WantedCredential] = {}
        for rule in dict.fromkeys(rule for item in destinations for rule in item.rules):
            for wanted in tracker.need(("rule-credentials", rule)):
                found.setdefault(wanted.name, wanted)
        return tuple(found.values())

    def _secrets(self, tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        for wanted in tracker.need(("sidecar-credentials", view)):
            yield wanted.name, ("secret", view.namespace, wanted.name)


def unknown_cluster(policy: UnknownPolicy) -> str:
    """The name of the cluster that takes unknown calls."""
    if policy.proxy is not None:
        return names.outbound_cluster(policy.proxy.host, policy.proxy.port, policy.proxy.subset)
    if policy.by_name:
        return names.DYNAMIC_DNS_CLUSTER
    return names.BLACKHOLE_CLUSTER if policy.registry_only else names.PASSTHROUGH_CLUSTER
