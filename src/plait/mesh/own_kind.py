"""Where the callers of a proxy's kind are: Envoy keeps calls within zones in proportion to them."""

from __future__ import annotations

from typing import Final

from plait.mesh.endpoints import Endpoint
from plait.mesh.locality import of_pod
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader

#: The labels that name a program whatever its version, as Istio's telemetry takes them.
_NAMES: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
#: An endpoint has a port; nothing is sent to these.
_PORT: Final = 15006


def kind_of(labels: Labels) -> Labels:
    """The labels by which the pods of one kind are found: its name, else all that they carry.

    Istio counts the pods of one ReplicaSet only. What calls in the same way is the program, whatever Deployments it is
    made of: where zones are told by labels of pods, each zone has a Deployment of its own.
    """
    known = dict(labels)
    return next((((name, known[name]),) for name in _NAMES if name in known), labels)


def own_kind(reader: Reader, namespace: str, kind: Labels) -> tuple[Endpoint, ...]:
    """The ready pods of a kind, by place; none of a kind without labels."""
    found = []
    for pod in reader.pods_selected(namespace, kind) if kind else ():
        if pod.status.ready:
            place = of_pod(reader, pod.metadata.labels, pod.spec.node_name)
            found.append(Endpoint(place.zone, pod.status.pod_ip, _PORT, region=place.region, subzone=place.subzone))
    return tuple(sorted(found, key=lambda e: (e.region, e.zone, e.subzone, e.address)))
