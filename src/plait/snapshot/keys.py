"""The keys of the snapshot: one function for each, so that writer and reader agree.

An entry is either a *fact* (one value, from one object) or a *set* (a sorted tuple of members from many objects).
Objects themselves are facts, under their `ObjectKey` with the kind as it is written in YAML.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.snapshot.protocols import Protocol

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Labels as sorted pairs."""


class HostPort(NamedTuple):
    """Member of `ports`: one port of one Service, with all that listing needs."""

    host: str
    port: int
    protocol: Protocol
    port_name: str
    namespace: str
    service: str
    addresses: tuple[str, ...]
    headless: bool


class ServiceHost(NamedTuple):
    """Fact `host`: the Service behind a host name."""

    namespace: str
    service: str
    ports: tuple[tuple[int, Protocol, str], ...]
    headless: bool

    def protocol(self, port: int) -> Protocol | None:
        """The protocol of `port`, None when the Service has no such port."""
        return next((protocol for number, protocol, _ in self.ports if number == port), None)


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
    """Member of `destination_rules`, in order of precedence."""

    created: str
    name: str
    namespace: str
    host: str

    @property
    def key(self) -> ObjectKey:
        """The DestinationRule."""
        return ObjectKey("DestinationRule", self.namespace, self.name)


class GatewayEntry(NamedTuple):
    """Member of `gateways`."""

    created: str
    name: str
    namespace: str
    selector: Labels

    @property
    def key(self) -> ObjectKey:
        """The Gateway."""
        return ObjectKey("Gateway", self.namespace, self.name)


class PodFacts(NamedTuple):
    """Fact `pod_facts`: what endpoints carry on from their pod."""

    labels: Labels
    service_account: str
    workload: str


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


def host(name: str) -> Key:
    """Fact ServiceHost."""
    return ("host", name)


def services_named(name: str) -> Key:
    """Set of namespaces that have a Service of this name."""
    return ("services-named", name)


def routed_to(host_name: str) -> Key:
    """Set of (namespace, name): VirtualServices with a destination of this host."""
    return ("routed-to", host_name)


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


def virtual_services_for(host_name: str) -> Key:
    """Set of RuleEntry: every VirtualService that names this host, whoever sees it."""
    return ("virtual-services-for", host_name)


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


def gateways() -> Key:
    """Set of GatewayEntry: all of them."""
    return ("gateways",)
