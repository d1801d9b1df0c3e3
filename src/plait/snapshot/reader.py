"""A typed window on a snapshot that writes down which keys were looked at.

The functions of `mesh` take a Reader and nothing else of the world, so what they depend on is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from plait.api.destinationrule import DestinationRule
from plait.api.gateway import Gateway
from plait.api.kubernetes import EndpointSlice, Service
from plait.api.meta import ObjectKey
from plait.api.virtualservice import VirtualService
from plait.kit.memo import Key
from plait.snapshot import keys
from plait.snapshot.snapshot import Snapshot
from plait.snapshot.visibility import EVERYBODY


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

    def host(self, name: str) -> keys.ServiceHost | None:
        """The Service behind a full host name."""
        found: keys.ServiceHost | None = self._read(keys.host(name))
        return found

    def ports(self, namespace: str) -> tuple[keys.HostPort, ...]:
        """Every Service port that callers in `namespace` see, sorted by host and number."""
        return self._merged(keys.ports(EVERYBODY), keys.ports(namespace))

    def ports_numbered(self, namespace: str, port: int) -> tuple[keys.HostPort, ...]:
        """The same, of one port number."""
        return self._merged(keys.ports_numbered(EVERYBODY, port), keys.ports_numbered(namespace, port))

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

    def virtual_services(self, gateway: str, namespace: str) -> tuple[keys.RuleEntry, ...]:
        """VirtualServices bound to `gateway` that a proxy in `namespace` sees, in order of precedence.

        Istio's order: those private to the namespace, those exported to it by name, those for everybody.
        """
        return (
            *(self._read(keys.virtual_services(gateway, namespace, private=True)) or ()),
            *(self._read(keys.virtual_services(gateway, namespace)) or ()),
            *(self._read(keys.virtual_services(gateway, EVERYBODY)) or ()),
        )

    def virtual_services_to(self, host: str) -> tuple[ObjectKey, ...]:
        """Every VirtualService with a destination of `host`."""
        found: tuple[tuple[str, str], ...] = self._read(keys.routed_to(host)) or ()
        return tuple(ObjectKey("VirtualService", namespace, name) for namespace, name in found)

    def namespaces_of(self, service: str) -> tuple[str, ...]:
        """The namespaces that have a Service of this name."""
        return self._read(keys.services_named(service)) or ()

    def virtual_services_for(self, host: str) -> tuple[keys.RuleEntry, ...]:
        """Every VirtualService that names `host`."""
        return self._read(keys.virtual_services_for(host)) or ()

    def source_labels(self, namespace: str) -> frozenset[str]:
        """Labels of callers that any rule seen from `namespace` looks at."""
        seen = (*(self._read(keys.source_labels(EVERYBODY)) or ()), *(self._read(keys.source_labels(namespace)) or ()))
        return frozenset(label for label, _, _ in seen)

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
