"""Where a program runs: region, zone and subzone, and how alike two places are. Istio's rules.

A pod says it itself (label `topology.istio.io/locality`, or else `istio-locality`, `REGION.ZONE.SUBZONE`), or the
topology labels of the pod or of its node do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from plait.mesh.node import ProxyNode
from plait.snapshot.keys import Labels, PodFacts
from plait.snapshot.reader import Reader

#: The first that is there counts.
LOCALITY_LABELS: Final = ("topology.istio.io/locality", "istio-locality")
REGION_LABEL: Final = "topology.kubernetes.io/region"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
SUBZONE_LABEL: Final = "topology.istio.io/subzone"
NETWORK_LABEL: Final = "topology.istio.io/network"
CLUSTER_LABEL: Final = "topology.istio.io/cluster"
HOST_LABEL: Final = "kubernetes.io/hostname"
CLUSTER: Final = "Kubernetes"
PLACE_LABELS: Final = frozenset({REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL, NETWORK_LABEL, CLUSTER_LABEL, HOST_LABEL})
"""What endpoints say of where they are, whether or not they are labelled so."""


class Locality(NamedTuple):
    """A place; empty parts are not known."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    def __str__(self) -> str:
        return "/".join(self).rstrip("/")

    @classmethod
    def parse(cls, text: str) -> Locality:
        """Read `region/zone/subzone`, of which the last parts may be missing."""
        region, zone, subzone, *_ = (*text.split("/"), "", "", "")
        return cls(region, zone, subzone)

    def within(self, pattern: str) -> bool:
        """Whether this is one of the places that `pattern` names: `region/*`, `region/zone/*`, one place, `*`."""
        for part, wanted in zip(self, (*pattern.split("/"), "", ""), strict=False):
            if wanted in {"*", ""}:
                return True
            if part != wanted:
                return False
        return True

    def distance(self, other: Locality) -> int:
        """0: the same subzone; 1: the same zone; 2: the same region; 3: elsewhere."""
        if self.region != other.region:
            return 3
        if self.zone != other.zone:
            return 2
        return 0 if self.subzone == other.subzone else 1


NOWHERE: Final = Locality()


class Caller(NamedTuple):
    """Who calls, as far as the choice among endpoints asks: where it is and labels that rules look at.

    `node` is empty unless some Service keeps calls on their node.
    """

    locality: Locality = Locality()
    labels: Labels = ()
    node: str = ""

    @property
    def known(self) -> dict[str, str]:
        """Its labels, and those that say where it is."""
        return with_place(dict(self.labels), self.locality, node=self.node)


def with_place(labels: dict[str, str], locality: Locality, *, node: str, network: str = "") -> dict[str, str]:
    """Labels as `failoverPriority` sees them."""
    place = {
        REGION_LABEL: locality.region,
        ZONE_LABEL: locality.zone,
        SUBZONE_LABEL: locality.subzone,
        HOST_LABEL: node,
        NETWORK_LABEL: network,
        CLUSTER_LABEL: CLUSTER,
    }
    return {**labels, **{label: value for label, value in place.items() if value}}


def of_label(labels: Mapping[str, str]) -> Locality:
    """What the label for a whole place says."""
    text = next((labels[label] for label in LOCALITY_LABELS if label in labels), "")
    # Labels cannot have slashes.
    return Locality.parse(text if "/" in text else text.replace(".", "/"))


def of_labels(labels: Mapping[str, str]) -> Locality:
    """What labels of a pod or node say."""
    if (whole := of_label(labels)) != NOWHERE:
        return whole
    return Locality(labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, ""), labels.get(SUBZONE_LABEL, ""))


def of_node(reader: Reader, name: str) -> Locality:
    """Where a node is."""
    return of_labels(reader.node_labels(name)) if name else Locality()


def of_pod(reader: Reader, labels: Mapping[str, str], node: str) -> Locality:
    """Where a pod is: what itself says, else its node."""
    own = of_labels(labels)
    return own if own.region else of_node(reader, node)


def of_proxy(reader: Reader, proxy: ProxyNode) -> Locality:
    """Where a proxy is."""
    pod: PodFacts | None = reader.pod(proxy.namespace, proxy.pod)
    return of_pod(reader, dict(proxy.labels), pod.node if pod is not None else "")
