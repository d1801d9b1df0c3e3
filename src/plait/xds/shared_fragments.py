"""Fragments that sidecars and gateways have in common: clusters, endpoints, and how DestinationRules are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from plait.api.destinationrule import ConsistentHash, DestinationRule, LoadBalancer, PortPolicy, TrafficPolicy
from plait.api.meta import ObjectKey
from plait.kit.alike import Mapped
from plait.kit.memo import Key, Tracker
from plait.mesh import endpoints as mesh_endpoints
from plait.mesh.config import MeshConfig, mesh_config
from plait.mesh.destination_rules import (
    EffectivePolicy,
    RuleTable,
    Steps,
    effective_policy,
    exported_rules,
    find_rules,
    local_rules,
    steps,
)
from plait.mesh.destinations import Destination
from plait.mesh.endpoints import Endpoint
from plait.mesh.entry_endpoints import target_of
from plait.mesh.locality import Caller
from plait.mesh.origin import Origin
from plait.mesh.own_kind import kind_of, own_kind
from plait.mesh.peers import NOBODY, PeerPolicies, Servers, Speaks, peer_policies, servers, speaks
from plait.mesh.placing import groups, placed, placing
from plait.snapshot.keys import Labels, Resolution, ServiceHost
from plait.snapshot.reader import Reader
from plait.xds import cluster as xds_cluster
from plait.xds import names
from plait.xds.encode import resource
from plait.xds.endpoint import load_assignment, placed_assignment
from plait.xds.inbound import inbound_passthrough
from plait.xds.resolving import resolve
from plait.xds.resource import CDS, EDS, LDS, Resource
from plait.xds.tls import WantedCredential, client_credentials
from plait.xds.views import ViewKey

Maker: TypeAlias = Callable[..., Any]
"""(tracker, reader, the rest of the fragment's key) -> its value."""

Entries: TypeAlias = Iterable[tuple[str, Key]]
"""(resource name, fragment) of what a view consists of."""

Remembered: TypeAlias = tuple[Mapped[Destination, tuple[str, Key]], ViewKey]
"""Entries of before, and whose."""

Lister: TypeAlias = Callable[[Tracker, Reader, ViewKey], Entries]


#: Clusters that hold the names of their endpoints.
RESOLVED: Final = frozenset({Resolution.DNS, Resolution.ROUND_ROBIN})
#: Clusters that find their endpoints themselves: nobody tells them any.
RESOLVING: Final = RESOLVED | {Resolution.DYNAMIC}


def deciding_labels(tracker: Tracker, view: ViewKey) -> Labels:
    """Of a view's labels those that DestinationRules of its namespace select callers by."""
    table: RuleTable = tracker.need(("local-rules", view.namespace))
    asked = table.asked
    return tuple(pair for pair in view.labels if pair[0] in asked) if asked else ()


def steps_to(tracker: Tracker, mesh: MeshConfig, namespace: str, labels: Labels = ()) -> Callable[[str], Steps]:
    """Finds where the DestinationRules for Services of a namespace are looked for, by callers in `namespace` with
    `labels`.
    """
    local: RuleTable | None = None
    tables: dict[str, RuleTable] = {}

    def exported(place: str) -> RuleTable:
        table = tables.get(place)
        if table is None:
            table = tables[place] = tracker.need(("exported-rules", place, namespace))
        return table

    def find(owner: str) -> Steps:
        nonlocal local
        if local is None:
            local = tracker.need(("local-rules", namespace))
        return steps(owner, local=local, exported=exported, root_namespace=mesh.root_namespace, labels=labels)

    return find


def rules_of(
    tracker: Tracker, mesh: MeshConfig, namespace: str, labels: Labels = ()
) -> Callable[[str, str], tuple[ObjectKey, ...]]:
    """Finds the DestinationRules for (host, namespace of its Service), seen by callers in `namespace` with `labels`."""
    known: dict[str, Steps] = {}
    steps_of = steps_to(tracker, mesh, namespace, labels)

    def find(host: str, owner: str) -> tuple[ObjectKey, ...]:
        chain = known.get(owner)
        if chain is None:
            chain = known[owner] = steps_of(owner)
        return find_rules(host, chain) if chain else ()

    return find


def mesh_of(tracker: Tracker) -> MeshConfig:
    """The mesh's settings as they hold now."""
    found: MeshConfig = tracker.need(("mesh",))
    return found


def listener_resource(message: Any) -> Resource:
    """A Listener as a resource."""
    return resource(LDS, message.name, message)


def cluster_entries(
    found: tuple[Destination, ...],
    caller: Caller,
    *,
    gateway: bool,
    mutual: bool = False,
    resolved: AbstractSet[str] | None = None,
    remembered: Remembered | None = None,
) -> Entries:
    """The clusters of a view, as `caller` sees them. `mutual`: its proxies have certificates of the mesh.

    `resolved` are the hosts whose clusters may differ by caller, since they hold their endpoints; None: any may be.
    """
    if caller == Caller():
        if remembered is not None and not gateway:
            entries, view = remembered
            return entries.get(view, found, _mutual_cluster if mutual else _plain_cluster)
        return [_cluster_entry(item, gateway, mutual) for item in found]
    return [
        (names.outbound_cluster(item.host, item.port, item.subset), ("placed-cluster", item, gateway, mutual, caller))
        if resolved is None or item.host in resolved
        else _cluster_entry(item, gateway, mutual)
        for item in found
    ]


def endpoint_entries(
    found: tuple[Destination, ...],
    caller: Caller,
    reader: Reader,
    mesh: MeshConfig,
    *,
    remembered: Remembered | None = None,
) -> Entries:
    """The endpoint sets of a view, as `caller` sees them.

    Of one whose place and labels nobody knows that is what everybody sees, but where a rule prefers some endpoints all
    the same: shares `from: "*"`, labels with a value, endpoints that have no place either.
    """
    if caller == Caller() and not _places(mesh):
        rules = reader.placing_rules()
        if remembered is not None and not rules:
            entries, view = remembered
            return entries.get(view, found, _endpoints_entry)
        return [
            _endpoints_entry(item) if rules.isdisjoint(item.rules) else _placed_entry(item, caller) for item in found
        ]
    return [_placed_entry(item, caller) for item in found]


def _places(mesh: MeshConfig) -> bool:
    """Whether the mesh itself prefers some endpoints of every host."""
    setting = mesh.locality_lb
    return mesh.zones_lb is not None or (setting is not None and bool(setting.distribute or setting.failover_priority))


def _placed_entry(item: Destination, caller: Caller) -> tuple[str, Key]:
    return names.outbound_cluster(item.host, item.port, item.subset), ("placed-endpoints", item, caller)


# The same entry is in the lists of all views that see it: one value takes less room, and lists compare sooner.


@lru_cache(maxsize=16384)
def _cluster_entry(item: Destination, gateway: bool, mutual: bool) -> tuple[str, Key]:
    return names.outbound_cluster(item.host, item.port, item.subset), ("cluster", item, gateway, mutual)


def _mutual_cluster(item: Destination) -> tuple[str, Key]:
    return _cluster_entry(item, False, True)


def _plain_cluster(item: Destination) -> tuple[str, Key]:
    return _cluster_entry(item, False, False)


@lru_cache(maxsize=16384)
def _endpoints_entry(item: Destination) -> tuple[str, Key]:
    return names.outbound_cluster(item.host, item.port, item.subset), endpoints_key(item)


def own_kind_entry(view: ViewKey) -> tuple[str, Key]:
    """The endpoints of the cluster that the proxies of a view are themselves."""
    return names.LOCAL_CLUSTER, ("own-kind", view.namespace, kind_of(view.labels))


def endpoints_key(item: Destination) -> Key:
    """The endpoints of a destination, as everybody sees them to whom their places do not matter."""
    return ("endpoints", item.host, item.port, item.subset, item.labels, item.owner)


def rule_credentials(key: ObjectKey, rule: DestinationRule) -> tuple[WantedCredential, ...]:
    """The credentials that clusters of sidecars ask for by one rule: those of a rule that selects them."""
    if rule.spec.workload_selector is None:
        return ()
    policies = {"spec.trafficPolicy": rule.spec.traffic_policy}
    policies |= {f"spec.subsets[{n}].trafficPolicy": item.traffic_policy for n, item in enumerate(rule.spec.subsets)}
    levels: dict[str, TrafficPolicy | PortPolicy] = {}
    for path, policy in policies.items():
        if policy is not None:
            levels[path] = policy
            levels |= {f"{path}.portLevelSettings[{n}]": item for n, item in enumerate(policy.port_level_settings)}
    found: dict[str, WantedCredential] = {}
    for path, level in levels.items():
        for name in client_credentials(level.tls) if level.tls is not None else ():
            found.setdefault(name, WantedCredential(name, Origin(key, f"{path}.tls")))
    return tuple(found.values())


def policy_of(reader: Reader, destination: Destination, service: ServiceHost, mesh: MeshConfig) -> EffectivePolicy:
    """What holds towards a destination: its DestinationRules, and what the Service itself asks for."""
    found = effective_policy(
        reader, destination.rules, port=destination.port, subset=destination.subset, baseline=mesh.baseline
    )
    if found.policy.load_balancer is None and service.sticky:
        balancer = LoadBalancer(consistent_hash=ConsistentHash(use_source_ip=True))
        found = replace(found, policy=msgspec.structs.replace(found.policy, load_balancer=balancer))
    tls = found.policy.tls
    if tls is not None and not tls.subject_alt_names and service.entries:
        # Istio: names in a rule take the place of those that the ServiceEntry has for its server.
        tls = msgspec.structs.replace(tls, subject_alt_names=_names_of_server(reader, service))
        found = replace(found, policy=msgspec.structs.replace(found.policy, tls=tls))
    return found if found.origin is not None else replace(found, origin=Origin(service.key))


def _names_of_server(reader: Reader, service: ServiceHost) -> tuple[str, ...]:
    entries = (reader.service_entry(service.namespace, name) for name in service.entries)
    return tuple(dict.fromkeys(name for entry in entries if entry is not None for name in entry.spec.subject_alt_names))


def _speaking(tracker: Tracker) -> Speaks:
    return speaks(lambda namespace: tracker.need(("closed-peers", namespace)))


def _taking_part(tracker: Tracker, reader: Reader, destination: Destination) -> tuple[Endpoint, ...]:
    """The endpoints of a destination that mutual TLS may be spoken to."""
    place = (destination.host, destination.port, destination.labels, destination.owner)
    speaking = _speaking(tracker)
    return tuple(
        each
        for each in mesh_endpoints.endpoints(reader, *place)
        if each.pod is not None and speaking(each.pod.labels, each.pod_namespace, each.port)
    )


def _servers(
    tracker: Tracker, destination: Destination, service: ServiceHost, policy: TrafficPolicy, mesh: MeshConfig
) -> Servers | None:
    """Who is behind a destination, where mutual TLS may be spoken to it."""
    asked = policy.tls.mode == "ISTIO_MUTUAL" if policy.tls is not None else mesh.auto_mutual_tls
    if not asked or (service.external and policy.tls is None):
        return None
    explicit = policy.tls is not None
    found: Servers = tracker.need(("servers", destination.host, destination.port, destination.owner, explicit))
    return found


class SharedFragments:
    """Makers of these fragments."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "mesh": self.mesh_config,
            "local-rules": self.local_rules,
            "exported-rules": self.exported_rules,
            "cluster": self.cluster,
            "placed-cluster": self.placed_cluster,
            "named-cluster": self.named_cluster,
            "named-endpoints": self.named_endpoints,
            "rule-credentials": self.rule_credentials,
            "endpoints": self.endpoints,
            "placed-endpoints": self.placed_endpoints,
            "own-kind": self.own_kind,
            "peer-policies": self.peer_policies,
            "closed-peers": self.closed_peers,
            "servers": self.servers,
            "fixed-cluster": self.fixed_cluster,
        }

    def mesh_config(self, _tracker: Tracker, reader: Reader) -> MeshConfig:
        """The mesh's settings."""
        return mesh_config(reader, self.mesh)

    def local_rules(self, _tracker: Tracker, reader: Reader, namespace: str) -> RuleTable:
        """DestinationRules of the caller's own namespace."""
        return local_rules(reader, namespace, self.mesh.root_namespace)

    def rule_credentials(self, _tracker: Tracker, reader: Reader, rule: ObjectKey) -> tuple[WantedCredential, ...]:
        """The credentials that sidecars need for a DestinationRule."""
        found = reader.destination_rule(rule)
        return rule_credentials(rule, found) if found is not None else ()

    def exported_rules(self, _tracker: Tracker, reader: Reader, owner: str, namespace: str) -> RuleTable:
        """DestinationRules of another namespace."""
        return exported_rules(reader, owner, namespace)

    def peer_policies(self, _tracker: Tracker, reader: Reader, namespace: str) -> PeerPolicies:
        """The PeerAuthentications that decide in a namespace."""
        return peer_policies(reader, namespace, self.mesh.root_namespace)

    @staticmethod
    def closed_peers(tracker: Tracker, _reader: Reader, namespace: str) -> PeerPolicies | None:
        """The same for callers: only who does without mutual TLS concerns them, mostly nobody."""
        found: PeerPolicies = tracker.need(("peer-policies", namespace))
        return found if found.closes else None

    @staticmethod
    def servers(  # noqa: PLR0917 (the elements of a fragment's key)
        tracker: Tracker, reader: Reader, host: str, port: int, owner: str, explicit: bool
    ) -> Servers:
        """Who is behind a port of a host. Unless a rule demands mutual TLS, nobody counts where none takes part."""
        found = servers(reader, host, port, owner, _speaking(tracker))
        return found if explicit or found.mutual else NOBODY

    def cluster(
        self, tracker: Tracker, reader: Reader, destination: Destination, gateway: bool, mutual: bool
    ) -> Resource | None:
        """One outbound cluster."""
        return self._cluster(tracker, reader, destination, Caller(), gateway=gateway, mutual=mutual)

    def placed_cluster(  # noqa: PLR0917 (the elements of a fragment's key)
        self, tracker: Tracker, reader: Reader, destination: Destination, gateway: bool, mutual: bool, caller: Caller
    ) -> Resource | None:
        """One outbound cluster as callers of one place see it: another only if it has its endpoints inside."""
        service = reader.host(destination.host, destination.owner)
        if service is not None and service.resolution in RESOLVED:
            mesh = mesh_of(tracker)
            if not placing(policy_of(reader, destination, service, mesh).policy, service, mesh).plain:
                return self._cluster(tracker, reader, destination, caller, gateway=gateway, mutual=mutual)
        everybody: Resource | None = tracker.need(("cluster", destination, gateway, mutual))
        return everybody

    @staticmethod
    def named_cluster(tracker: Tracker, reader: Reader, destination: Destination) -> Resource | None:
        """The cluster of connections that ask for a destination by the name of mutual TLS: bytes, on to its endpoints.

        Istio: to those that take part alone, since nobody here looks whether it is mutual TLS.
        """
        service = reader.host(destination.host, destination.owner)
        if service is None:
            return None
        mesh = mesh_of(tracker)
        found = policy_of(reader, destination, service, mesh)
        policy = msgspec.structs.replace(found.policy, tls=None, proxy_protocol=None)
        message = xds_cluster.outbound_cluster(
            destination,
            service,
            replace(found, policy=policy),
            mesh=mesh,
            to_address=False,
            spread=placing(policy, service, mesh),
        )
        message.name = names.sni(destination.host, destination.port, destination.subset)
        message.ClearField("typed_extension_protocol_options")
        if message.type == Cluster.EDS:
            message.eds_cluster_config.service_name = message.name
        if service.resolution in RESOLVING:
            resolve(message, service.resolution, groups(_taking_part(tracker, reader, destination)), mesh)
        return resource(CDS, message.name, message)

    @staticmethod
    def named_endpoints(tracker: Tracker, reader: Reader, destination: Destination, caller: Caller) -> Resource | None:
        """The endpoints of such a cluster, as callers of one place see them."""
        service = reader.host(destination.host, destination.owner)
        if service is None:
            return None
        mesh = mesh_of(tracker)
        how = placing(policy_of(reader, destination, service, mesh).policy, service, mesh)
        name = names.sni(destination.host, destination.port, destination.subset)
        return resource(
            EDS, name, placed_assignment(name, placed(_taking_part(tracker, reader, destination), caller, how))
        )

    @staticmethod
    def _cluster(
        tracker: Tracker, reader: Reader, destination: Destination, caller: Caller, *, gateway: bool, mutual: bool
    ) -> Resource | None:
        service = reader.host(destination.host, destination.owner)
        if service is None:
            return None
        mesh = mesh_of(tracker)
        effective = policy_of(reader, destination, service, mesh)
        # A gateway's callers do not know addresses of pods, so it cannot leave the choice to them: those told are used.
        to_address = not gateway and (
            service.headless or service.resolution is Resolution.NONE or xds_cluster.chooses_address(effective.policy)
        )
        how = placing(effective.policy, service, mesh)
        message = xds_cluster.outbound_cluster(
            destination,
            service,
            effective,
            mesh=mesh,
            to_address=to_address,
            credentials=gateway,
            spread=how,
            servers=_servers(tracker, destination, service, effective.policy, mesh) if mutual else None,
        )
        if (
            to_address
            and service.resolution is Resolution.NONE
            and (target := target_of(reader, service, destination.port))
        ):
            # Istio: the address is the caller's choice, the port is not.
            message.original_dst_lb_config.upstream_port_override.value = target
        if service.resolution is Resolution.DYNAMIC or (service.resolution in RESOLVED and not to_address):
            place = (destination.host, destination.port, destination.labels, destination.owner)
            found = mesh_endpoints.endpoints(reader, *place)
            grouped = groups(found) if how.plain else placed(found, caller, how)
            resolve(message, service.resolution, grouped, mesh, _speaking(tracker))
        return resource(CDS, message.name, message)

    def endpoints(  # noqa: PLR0917 (the elements of a fragment's key)
        self,
        tracker: Tracker,
        reader: Reader,
        host: str,
        port: int,
        subset: str,
        labels: Labels,
        owner: str,
    ) -> Resource:
        """The endpoints of one cluster."""
        name = names.outbound_cluster(host, port, subset)
        found = mesh_endpoints.endpoints(reader, host, port, labels, owner)
        return resource(EDS, name, load_assignment(name, found, _speaking(tracker)))

    def placed_endpoints(
        self, tracker: Tracker, reader: Reader, destination: Destination, caller: Caller
    ) -> Resource | None:
        """The endpoints of one cluster as callers of one place see them."""
        service = reader.host(destination.host, destination.owner)
        if service is not None:
            mesh = mesh_of(tracker)
            how = placing(policy_of(reader, destination, service, mesh).policy, service, mesh)
            if not how.plain:
                place = (destination.host, destination.port, destination.labels, destination.owner)
                found = placed(mesh_endpoints.endpoints(reader, *place), caller, how)
                name = names.outbound_cluster(destination.host, destination.port, destination.subset)
                return resource(EDS, name, placed_assignment(name, found, _speaking(tracker)))
        everybody: Resource | None = tracker.need(endpoints_key(destination))
        return everybody

    def own_kind(self, tracker: Tracker, reader: Reader, namespace: str, kind: Labels) -> Resource:
        """Where the proxies of one kind are: nowhere, as long as nobody asks for routing by zone."""
        asked = mesh_of(tracker).zones_lb is not None or reader.zone_rules()
        found = own_kind(reader, namespace, kind) if asked else ()
        return resource(EDS, names.LOCAL_CLUSTER, load_assignment(names.LOCAL_CLUSTER, found))

    def fixed_cluster(self, tracker: Tracker, _reader: Reader, name: str) -> Resource:
        """Clusters that depend on no object."""
        mesh = mesh_of(tracker)
        if name == names.BLACKHOLE_CLUSTER:
            message = xds_cluster.blackhole_cluster()
        elif name == names.INBOUND_PASSTHROUGH_CLUSTER:
            message = inbound_passthrough(mesh)
        elif name == names.DYNAMIC_DNS_CLUSTER:
            message = xds_cluster.passthrough_cluster(name, mesh)
            resolve(message, Resolution.DYNAMIC, (), mesh)
        else:
            message = xds_cluster.passthrough_cluster(name, mesh)
        return resource(CDS, name, message)
