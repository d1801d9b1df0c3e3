"""A typed window on a snapshot that writes down which keys were looked at.

The functions of `mesh` take a Reader and nothing else of the world, so what they depend on is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from plait.api.destinationrule import DestinationRule
from plait.api.gateway import Gateway
from plait.api.ingress import IngressClass
from plait.api.kubernetes import EndpointSlice, Node, Pod, Service
from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy
from plait.api.serviceentry import ServiceEntry
from plait.api.sidecar import Sidecar
from plait.api.virtualservice import VirtualService
from plait.api.workloadentry import WorkloadEntry
from plait.kit.memo import Key
from plait.snapshot import keys
from plait.snapshot.authorization import AuthorizationEntry, authorization_policies
from plait.snapshot.envoy_filters import EnvoyFilterEntry, envoy_filter_labels, envoy_filters
from plait.snapshot.hosts import host_matches
from plait.snapshot.owners import chosen_host, undisputed
from plait.snapshot.peers import PeerEntry, peer_authentications
from plait.snapshot.snapshot import Snapshot
from plait.snapshot.tokens import TokenEntry, request_authentications
from plait.snapshot.visibility import EVERYBODY, visible_in


class Reader:
    """Reads through `read`, which records; see `recording` for one that stands alone."""

    __slots__ = ("_read", "domain")

    def __init__(self, read: Callable[[Key], Any], domain: str) -> None:
        self._read = read
        self.domain = domain

    def object(self, key: ObjectKey) -> Any:
        """One object, or None."""
        return self._read(keys.object_key(key))

    def service(self, namespace: str, name: str) -> Service | None:
        """One Service."""
        found: Service | None = self.object(ObjectKey("Service", namespace, name))
        return found

    def virtual_service(self, key: ObjectKey) -> VirtualService | None:
        """One VirtualService."""
        found: VirtualService | None = self.object(key)
        return found

    def destination_rule(self, key: ObjectKey) -> DestinationRule | None:
        """One DestinationRule."""
        found: DestinationRule | None = self.object(key)
        return found

    def gateway(self, key: ObjectKey) -> Gateway | None:
        """One Gateway."""
        found: Gateway | None = self.object(key)
        return found

    def host(self, name: str, owner: str = "", *, viewer: str = "") -> keys.ServiceHost | None:
        """What stands behind a full host name: of the namespace `owner`, or what callers in `viewer` see.

        With neither it is what comes first in precedence.
        """
        providers: tuple[keys.HostProvider, ...] = self._read(keys.host(name)) or ()
        return chosen_host(providers, owner, viewer)

    def meant(self, name: str) -> str:
        """The host that `name` stands for: itself, unless it is an ExternalName of another; of a circle itself too."""
        found, seen = name, {name}
        while (target := self._read(keys.alias(found))) is not None:
            if target in seen:
                return name
            seen.add(target)
            found = target
        return found

    def aliases(self, namespace: str) -> tuple[keys.Alias, ...]:
        """The ExternalNames that callers in `namespace` see."""
        return self._merged(keys.aliases(EVERYBODY), keys.aliases(namespace))

    def providers(self, name: str) -> tuple[keys.HostProvider, ...]:
        """Everything that gives a full host name a meaning, in order of precedence."""
        return self._read(keys.host(name)) or ()

    def ports(self, namespace: str) -> tuple[keys.HostPort, ...]:
        """Every port of every host that callers in `namespace` see, sorted by host and number.

        A host that several objects define is one namespace's only.
        """
        return undisputed(self.all_ports(namespace), namespace)

    def all_ports(self, namespace: str) -> tuple[keys.HostPort, ...]:
        """The same with the ports of all that define a host."""
        return self._merged(keys.ports(EVERYBODY), keys.ports(namespace))

    def ports_numbered(self, namespace: str, port: int) -> tuple[keys.HostPort, ...]:
        """The same, of one port number."""
        found = self._merged(keys.ports_numbered(EVERYBODY, port), keys.ports_numbered(namespace, port))
        taken = {item.host for item in found if item.namespace == namespace and item.kind != keys.SERVICE}
        return tuple(
            item
            for item in found
            if (item.kind == keys.SERVICE and item.host not in taken) or self._owns(item, namespace)
        )

    def public_ports(self, owner: str) -> tuple[keys.HostPort, ...]:
        """The ports of hosts of the namespace `owner` that everybody sees."""
        return self._read(keys.ports_in(owner, EVERYBODY)) or ()

    def private_ports(self, owner: str, namespace: str) -> tuple[keys.HostPort, ...]:
        """The ports of hosts of the namespace `owner` that callers in `namespace` see, and not everybody."""
        return self._read(keys.ports_in(owner, namespace)) or ()

    def ports_of(self, host: str, namespace: str) -> tuple[keys.HostPort, ...]:
        """The ports of one host that callers in `namespace` see, of all that define it."""
        seen = (p for p in self.providers(host) if visible_in(p.scopes, namespace))
        return tuple(sorted(port for provider in seen for port in provider.ports(host)))

    def _owns(self, port: keys.HostPort, namespace: str) -> bool:
        """Whether callers in `namespace` mean this very object's port by its host."""
        found = self.host(port.host, viewer=namespace)
        return found is not None and found.namespace == port.namespace and found.kind == port.kind

    def _merged(self, public: Key, own: Key) -> tuple[Any, ...]:
        first, second = self._read(public) or (), self._read(own) or ()
        return first if not second else tuple(sorted({*first, *second}))

    def slices(self, namespace: str, service: str) -> Iterator[EndpointSlice]:
        """The EndpointSlices of a Service, by name."""
        for name in self._read(keys.slices(namespace, service)) or ():
            piece: EndpointSlice | None = self.object(ObjectKey("EndpointSlice", namespace, name))
            if piece is not None:
                yield piece

    def pods_on(self, address: str) -> tuple[tuple[str, str], ...]:
        """(namespace, name) of the pods that have an address."""
        return self._read(keys.pods_on(address)) or ()

    def pod(self, namespace: str, name: str) -> keys.PodFacts | None:
        """What endpoints carry on from a pod."""
        found: keys.PodFacts | None = self._read(keys.pod_facts(namespace, name))
        return found

    def named_ports(self, namespace: str, labels: keys.Labels) -> dict[str, int]:
        """The named container ports of the workload that carries exactly `labels` (of its first pod by name)."""
        pods: tuple[str, ...] = self._read(keys.pods_labelled(namespace, labels)) or ()
        return dict(self._read(keys.pod_ports(namespace, pods[0])) or ()) if pods else {}

    def services_selecting(self, namespace: str, labels: keys.Labels) -> Iterator[Service]:
        """The Services of `namespace` whose selector holds for `labels`, by name."""
        candidates = sorted(
            {name for label, value in labels for name in self._read(keys.selected_by(namespace, label, value)) or ()}
        )
        carried = set(labels)
        for name in candidates:
            service = self.service(namespace, name)
            if service is not None and carried.issuperset(service.spec.selector.items()):
                yield service

    def service_entry(self, namespace: str, name: str) -> ServiceEntry | None:
        """One ServiceEntry."""
        found: ServiceEntry | None = self.object(ObjectKey("ServiceEntry", namespace, name))
        return found

    def sidecar(self, key: ObjectKey) -> Sidecar | None:
        """One Sidecar."""
        found: Sidecar | None = self.object(key)
        return found

    def sidecars(self, namespace: str) -> tuple[keys.SidecarEntry, ...]:
        """The Sidecars of a namespace, the oldest first."""
        return self._read(keys.sidecars(namespace)) or ()

    def entries_selecting(self, namespace: str, labels: keys.Labels) -> Iterator[ServiceEntry]:
        """The ServiceEntries of `namespace` whose workloadSelector holds for `labels`, by name."""
        names = {n for pair in labels for n in self._read(keys.entries_selecting(namespace, *pair)) or ()}
        carried = set(labels)
        for name in sorted(names):
            entry = self.service_entry(namespace, name)
            selector = entry.spec.workload_selector if entry is not None else None
            if entry is not None and selector is not None and carried.issuperset(selector.labels.items()):
                yield entry

    def entries_at(self, address: str) -> tuple[tuple[str, str], ...]:
        """(namespace, name) of the ServiceEntries that list an IP address among their endpoints."""
        return self._read(keys.entries_at(address)) or ()

    def ports_of_pod(self, namespace: str, pod: str) -> dict[str, int]:
        """The ports of a pod that have names."""
        return dict(self._read(keys.pod_ports(namespace, pod)) or ())

    def pods_selected(self, namespace: str, selector: keys.Labels) -> Iterator[Pod]:
        """The Pods of `namespace` that carry all labels of `selector`, which is not empty."""
        for name in self._carrying("Pod", namespace, selector):
            found: Pod | None = self.object(ObjectKey("Pod", namespace, name))
            if found is not None:
                yield found

    def workload_entries_selected(self, namespace: str, selector: keys.Labels) -> Iterator[WorkloadEntry]:
        """The WorkloadEntries of `namespace` that carry all labels of `selector`, which is not empty."""
        for name in self._carrying("WorkloadEntry", namespace, selector):
            found: WorkloadEntry | None = self.object(ObjectKey("WorkloadEntry", namespace, name))
            if found is not None:
                yield found

    def _carrying(self, kind: str, namespace: str, selector: keys.Labels) -> list[str]:
        found: set[str] | None = None
        for label, value in selector:
            here = self._read(keys.workloads_with(kind, namespace, label, value)) or ()
            found = set(here) if found is None else found.intersection(here)
        return sorted(found or ())

    def virtual_services(self, gateway: str, namespace: str) -> tuple[keys.RuleEntry, ...]:
        """VirtualServices bound to `gateway` that a proxy in `namespace` sees, in order of precedence.

        Istio's order: those private to the namespace, those exported to it by name, those for everybody.
        """
        return (
            *(self._read(keys.virtual_services(gateway, namespace, private=True)) or ()),
            *(self._read(keys.virtual_services(gateway, namespace)) or ()),
            *(self._read(keys.virtual_services(gateway, EVERYBODY)) or ()),
        )

    def virtual_services_in(self, owners: tuple[str, ...], namespace: str) -> tuple[keys.RuleEntry, ...]:
        """Those of sidecars that objects of the namespaces `owners` define, in the same order."""
        result: list[keys.RuleEntry] = []
        for scope, private in ((namespace, True), (namespace, False), (EVERYBODY, False)):
            found = [
                entry
                for owner in owners
                for entry in self._read(keys.virtual_services_in(owner, scope, private=private)) or ()
            ]
            result += sorted(found)
        return tuple(result)

    def delegate_scopes(self, rule: ObjectKey) -> tuple[str, ...]:
        """The scopes in which rules may delegate to a VirtualService; none for one with hosts of its own."""
        return self._read(keys.delegate_scopes(rule)) or ()

    def targets(self, rule: ObjectKey) -> tuple[tuple[str, int], ...]:
        """(host, port) of everything a VirtualService sends to; port 0 where it names none."""
        return self._read(keys.targets(rule)) or ()

    def virtual_services_for(self, host: str) -> tuple[keys.RuleEntry, ...]:
        """Every VirtualService that names `host`."""
        return self._read(keys.virtual_services_for(host)) or ()

    def source_labels(self, namespace: str) -> frozenset[str]:
        """Labels of callers that any rule seen from `namespace` looks at."""
        seen = (*(self._read(keys.source_labels(EVERYBODY)) or ()), *(self._read(keys.source_labels(namespace)) or ()))
        return frozenset(label for label, _, _ in seen)

    def placing_rules(self) -> frozenset[ObjectKey]:
        """The DestinationRules that say which endpoints come first."""
        found: tuple[tuple[str, str], ...] = self._read(keys.placing_rules()) or ()
        return frozenset(ObjectKey("DestinationRule", *each) for each in found)

    def is_sticky(self, host: str, subset: str) -> bool:
        """Whether a DestinationRule for a host, of anybody, says that requests find their endpoint again."""
        patterns = {each[0] for each in self._read(keys.sticky_patterns()) or ()}
        hosts = (host, *(pattern for pattern in patterns if host_matches(pattern, host)))
        return any(each[0] in {"", subset} for name in hosts for each in self._read(keys.sticky(name)) or ())

    def zone_rules(self) -> bool:
        """Whether some DestinationRule lets proxies choose among the zones of a region."""
        return bool(self._read(keys.zone_rules()))

    def local_destination_rules(self, namespace: str) -> tuple[keys.DestinationEntry, ...]:
        """Rules of `namespace` for callers in `namespace`."""
        return self._read(keys.local_destination_rules(namespace)) or ()

    def private_destination_rules(self, namespace: str) -> tuple[keys.DestinationEntry, ...]:
        """Rules of `namespace` for nobody but callers in `namespace`."""
        return self._read(keys.private_destination_rules(namespace)) or ()

    def exported_destination_rules(self, owner: str, namespace: str) -> tuple[keys.DestinationEntry, ...]:
        """Rules of `owner` that callers in `namespace` see."""
        return self._merged(keys.destination_rules(owner, EVERYBODY), keys.destination_rules(owner, namespace))

    def subsets(self, rule: ObjectKey) -> tuple[keys.SubsetFacts, ...]:
        """The subsets of a DestinationRule."""
        return self._read(keys.subsets(rule)) or ()

    def node_labels(self, name: str) -> Mapping[str, str]:
        """The labels of a Node."""
        found: Node | None = self.object(ObjectKey("Node", "", name))
        return found.metadata.labels if found is not None else {}

    def node_bound(self) -> bool:
        """Whether some Service prefers endpoints of the caller's node."""
        return bool(self._read(keys.node_bound()))

    def envoy_filters(self, namespace: str) -> tuple[EnvoyFilterEntry, ...]:
        """The EnvoyFilters of a namespace."""
        return self._read(envoy_filters(namespace)) or ()

    def patched_labels(self, root_namespace: str, namespace: str) -> frozenset[str]:
        """Labels of workloads that EnvoyFilters for `namespace` select by."""
        seen = (
            *(self._read(envoy_filter_labels(root_namespace)) or ()),
            *(self._read(envoy_filter_labels(namespace)) or ()),
        )
        return frozenset(label for label, _ in seen)

    def peer_authentications(self, namespace: str) -> tuple[PeerEntry, ...]:
        """The PeerAuthentications of a namespace, the oldest first."""
        return self._read(peer_authentications(namespace)) or ()

    def authorization_policies(self, namespace: str) -> tuple[AuthorizationEntry, ...]:
        """The AuthorizationPolicies of a namespace, the oldest first."""
        return self._read(authorization_policies(namespace)) or ()

    def authorization_policy(self, key: ObjectKey) -> AuthorizationPolicy | None:
        """One AuthorizationPolicy."""
        found: AuthorizationPolicy | None = self.object(key)
        return found

    def request_authentications(self, namespace: str) -> tuple[TokenEntry, ...]:
        """The RequestAuthentications of a namespace, the oldest first."""
        return self._read(request_authentications(namespace)) or ()

    def ingress_class(self, name: str) -> IngressClass | None:
        """One IngressClass."""
        found: IngressClass | None = self.object(ObjectKey("IngressClass", "", name))
        return found

    def gateways(self) -> tuple[keys.GatewayEntry, ...]:
        """All Gateways, the oldest first."""
        return self._read(keys.gateways()) or ()


def recording(snapshot: Snapshot) -> tuple[Reader, set[Key]]:
    """A Reader of `snapshot` and the set that fills with the keys it reads."""
    seen: set[Key] = set()

    def read(key: Key) -> Any:
        seen.add(key)
        return snapshot.get(key)

    return Reader(read, snapshot.domain), seen
