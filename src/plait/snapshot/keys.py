"""The keys of the snapshot: one function for each, so that writer and reader agree.

An entry is either a *fact* (one value, from one object) or a *set* (a sorted tuple of members from many objects).
Objects themselves are facts, under their `ObjectKey` with the kind as it is written in YAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.snapshot.protocols import Protocol

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Labels as sorted pairs."""


class Resolution(StrEnum):
    """How the addresses behind a host are found.

    ENDPOINTS: the control plane tells them. NONE: the caller's own. DNS: all that the name resolves to, ROUND_ROBIN:
    the one it resolves to at that moment. DYNAMIC: whatever name the caller asked for is resolved.
    """

    ENDPOINTS = "endpoints"
    NONE = "none"
    DNS = "dns"
    ROUND_ROBIN = "dns-round-robin"
    DYNAMIC = "dynamic-dns"

    # See Protocol.
    __hash__ = str.__hash__


SERVICE, SERVICE_ENTRY = "Service", "ServiceEntry"
"""What stands behind a host."""


class HostPort(NamedTuple):
    """Member of `ports`: one port of one host, with all that listing needs.

    `service` names the object behind it, of kind `kind`. Without `addresses` (and not headless) it has none of its own;
    a headless one is called at those of its endpoints.
    """

    host: str
    port: int
    protocol: Protocol
    port_name: str
    namespace: str
    service: str
    addresses: tuple[str, ...]
    headless: bool
    kind: str = SERVICE
    created: str = ""
    resolution: Resolution = Resolution.ENDPOINTS

    @property
    def key(self) -> ObjectKey:
        """The Service or ServiceEntry."""
        return ObjectKey(self.kind, self.namespace, self.service)

    @property
    def ranges(self) -> tuple[str, ...]:
        """Those of its addresses that are ranges."""
        return tuple([address for address in self.addresses if "/" in address])

    @property
    def shares(self) -> bool:
        """Whether it is called, if it is not HTTP, at no address of its own alone: by name, by ranges, or at any."""
        return not (self.addresses or self.headless) or bool(self.ranges)


class ServiceHost(NamedTuple):
    """What stands behind a host name: a Service, or the ServiceEntries of one namespace (`entries`, the oldest first).

    `external`: it is outside the mesh. `near` is what `trafficDistribution` prefers, `sticky` says that a caller stays
    with its endpoint (`sessionAffinity`), `same_node` that calls stay on their node (`internalTrafficPolicy: Local`).
    """

    namespace: str
    service: str
    ports: tuple[tuple[int, Protocol, str], ...]
    headless: bool
    kind: str = SERVICE
    resolution: Resolution = Resolution.ENDPOINTS
    external: bool = False
    entries: tuple[str, ...] = ()
    near: str = ""
    sticky: bool = False
    same_node: bool = False

    @property
    def key(self) -> ObjectKey:
        """The Service or ServiceEntry; of several the oldest."""
        return ObjectKey(self.kind, self.namespace, self.service)

    def protocol(self, port: int) -> Protocol | None:
        """The protocol of `port`, None when the Service has no such port."""
        return next((protocol for number, protocol, _ in self.ports if number == port), None)


class HostProvider(NamedTuple):
    """Member of `host`, in order of precedence for other namespaces: Services, then the oldest ServiceEntries."""

    rank: int
    created: str
    namespace: str
    name: str
    scopes: tuple[str, ...]
    facts: ServiceHost
    addresses: tuple[str, ...] = ()

    def ports(self, host: str) -> Iterator[HostPort]:
        """Its ports, as members of `ports`."""
        facts = self.facts
        for number, protocol, port_name in facts.ports:
            place = (host, number, protocol, port_name, self.namespace, self.name, self.addresses, facts.headless)
            yield HostPort(*place, facts.kind, self.created, facts.resolution)


class Alias(NamedTuple):
    """Member of `aliases`: a Service of type ExternalName, another name for the host `target`."""

    target: str
    host: str
    namespace: str
    service: str


class SidecarEntry(NamedTuple):
    """Member of `sidecars`, the oldest first. No labels: it is its namespace's default.

    `at_home`: some of its ports are called at the address of each workload itself.
    """

    created: str
    name: str
    namespace: str
    selector: Labels
    at_home: bool = False

    @property
    def key(self) -> ObjectKey:
        """The Sidecar."""
        return ObjectKey("Sidecar", self.namespace, self.name)


class RuleEntry(NamedTuple):
    """Member of `virtual_services`, in order of precedence: the oldest first, then by name and namespace.

    `requests`: it has rules for HTTP; `connections`: for TCP.
    """

    created: str
    name: str
    namespace: str
    hosts: tuple[str, ...]
    looks_at_source: bool
    requests: bool = True
    connections: bool = False

    @property
    def key(self) -> ObjectKey:
        """The VirtualService."""
        return ObjectKey("VirtualService", self.namespace, self.name)


class DestinationEntry(NamedTuple):
    """Member of `destination_rules`, in order of precedence. `selector`: the callers it holds for; none: all."""

    created: str
    name: str
    namespace: str
    host: str
    selector: Labels = ()

    @property
    def key(self) -> ObjectKey:
        """The DestinationRule."""
        return ObjectKey("DestinationRule", self.namespace, self.name)


class GatewayEntry(NamedTuple):
    """Member of `gateways`.

    `service`: it is for the workloads of this host rather than for those that `selector` chooses.
    `ingress_class`: it comes from an Ingress of this class, which must be Istio's for it to count.
    """

    created: str
    name: str
    namespace: str
    selector: Labels
    service: str = ""
    ingress_class: str = ""

    @property
    def key(self) -> ObjectKey:
        """The Gateway."""
        return ObjectKey("Gateway", self.namespace, self.name)


class PodFacts(NamedTuple):
    """Fact `pod_facts`: what endpoints carry on from their pod."""

    labels: Labels
    service_account: str
    workload: str
    node: str = ""


class SubsetFacts(NamedTuple):
    """Element of the fact `subsets`."""

    name: str
    labels: Labels


def object_key(key: ObjectKey) -> Key:
    """The object itself."""
    return ("object", key)


def ports(scope: str) -> Key:
    """Set of HostPort: every port of every Service visible in `scope`."""
    return ("ports", scope)


def ports_numbered(scope: str, port: int) -> Key:
    """Set of HostPort: the same, of one port number."""
    return ("ports-numbered", scope, port)


def ports_in(owner: str, scope: str) -> Key:
    """Set of HostPort: the ports of hosts of the namespace `owner` visible in `scope`."""
    return ("ports-in", owner, scope)


def host(name: str) -> Key:
    """Set of HostProvider: everything that gives a host name a meaning."""
    return ("host", name)


def aliases(scope: str) -> Key:
    """Set of Alias: the Services of type ExternalName visible in `scope`."""
    return ("aliases", scope)


def alias(name: str) -> Key:
    """Fact: the host that another host is only a name for."""
    return ("alias", name)


def entries_selecting(namespace: str, label: str, value: str) -> Key:
    """Set of ServiceEntry names whose workloadSelector's first label (in order) is this one."""
    return ("entries-selecting", namespace, label, value)


def entries_at(address: str) -> Key:
    """Set of (namespace, ServiceEntry) that list this IP address among their endpoints."""
    return ("entries-at", address)


def workloads_with(kind: str, namespace: str, label: str, value: str) -> Key:
    """Set of names of Pods or WorkloadEntries that carry this label."""
    return ("workloads-with", kind, namespace, label, value)


def node_bound() -> Key:
    """Set of (namespace, name): Services that prefer, or demand, endpoints of the caller's node."""
    return ("node-bound",)


def sidecars(namespace: str) -> Key:
    """Set of SidecarEntry of a namespace."""
    return ("sidecars", namespace)


def selected_by(namespace: str, label: str, value: str) -> Key:
    """Set of Service names whose selector's first label (in order) is this one."""
    return ("selected-by", namespace, label, value)


def slices(namespace: str, service: str) -> Key:
    """Set of EndpointSlice names of a Service."""
    return ("slices", namespace, service)


def pods_on(address: str) -> Key:
    """Set of (namespace, pod) that have this IP address."""
    return ("pods-on", address)


def pod_facts(namespace: str, pod: str) -> Key:
    """Fact PodFacts."""
    return ("pod-facts", namespace, pod)


def pods_labelled(namespace: str, labels: Labels) -> Key:
    """Set of pod names that carry exactly these labels."""
    return ("pods-labelled", namespace, labels)


def pod_ports(namespace: str, pod: str) -> Key:
    """Fact: (name, number) of the named container ports of a pod."""
    return ("pod-ports", namespace, pod)


def virtual_services(gateway: str, scope: str, *, private: bool = False) -> Key:
    """Set of RuleEntry bound to a gateway (`mesh` or NAMESPACE/NAME).

    `private`: exported to their own namespace, which take precedence there.
    """
    return ("virtual-services", gateway, scope, private)


def virtual_services_in(owner: str, scope: str, *, private: bool = False) -> Key:
    """Set of RuleEntry bound to `mesh`, of objects of the namespace `owner`."""
    return ("virtual-services-in", owner, scope, private)


def delegate_scopes(rule: ObjectKey) -> Key:
    """Where rules may delegate to a VirtualService without hosts: scopes, sorted (a fact)."""
    return ("delegate-scopes", rule)


def targets(rule: ObjectKey) -> Key:
    """Fact: (host, port) of everything a VirtualService sends to."""
    return ("targets", rule)


def virtual_services_for(host_name: str) -> Key:
    """Set of RuleEntry: every VirtualService that names this host, whoever sees it."""
    return ("virtual-services-for", host_name)


def placing_rules() -> Key:
    """Set of (namespace, DestinationRule): rules that prefer endpoints by where they are or by their labels."""
    return ("placing-rules",)


def sticky(host: str) -> Key:
    """Set of (subset or none, namespace, DestinationRule): rules by which requests find their endpoint again."""
    return ("sticky", host)


def sticky_patterns() -> Key:
    """Set of (wildcard, namespace, DestinationRule): the hosts of such rules that are wildcards."""
    return ("sticky-patterns",)


def zone_rules() -> Key:
    """Set of (namespace, DestinationRule): rules that let proxies choose among the zones of a region."""
    return ("zone-rules",)


def source_labels(scope: str) -> Key:
    """Set of (label, namespace, VirtualService): labels of callers that rules of `scope` look at."""
    return ("source-labels", scope)


def destination_rules(namespace: str, scope: str) -> Key:
    """Set of DestinationEntry of `namespace` exported to `scope` (`*` or a namespace other than its own)."""
    return ("destination-rules", namespace, scope)


def local_destination_rules(namespace: str) -> Key:
    """Set of DestinationEntry that hold for callers in the rules' own namespace."""
    return ("destination-rules", namespace, ".")


def private_destination_rules(namespace: str) -> Key:
    """Set of DestinationEntry exported to nobody but their own namespace."""
    return ("destination-rules", namespace, "private")


def subsets(rule: ObjectKey) -> Key:
    """Fact: the SubsetFacts of a DestinationRule."""
    return ("subsets", rule)


def namespaces() -> Key:
    """Set of names: all Namespaces."""
    return ("namespaces",)


def gateways() -> Key:
    """Set of GatewayEntry: all of them."""
    return ("gateways",)
