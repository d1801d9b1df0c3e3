"""MeshPolicy and Policy of Istio 1.0 at the API's door: what they become is told, what cannot become is refused."""

from __future__ import annotations

from typing import Final

from plait.api.former_policies import DEFAULT, Peers, peers_of
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.machine.api.admission import AdmissionRequest

_COLLECTION: Final = ("security.istio.io", "peerauthentications")


def judge_policy(request: AdmissionRequest, root: str) -> tuple[Peers | None, tuple[Problem, ...]]:
    """As `peers_of`; refused too where a PeerAuthentication of that place exists that is not this policy's own."""
    peers, problems = peers_of(request.obj, root=root)
    if peers is None or request.objects is None or request.operation != "CREATE":
        return peers, problems
    for entry in request.objects.entries(_COLLECTION, peers.namespace):
        if entry.key.name == DEFAULT and not _is_left_over(entry.obj, request):
            return None, (_taken(peers, request),)
    return peers, problems


def sentence(title: str, peers: Peers) -> str:
    """What a policy has become, and what its author should write."""
    made = f"PeerAuthentication {peers.namespace}/{DEFAULT}"
    return f"{title}: is of Istio 1.0, and {made} is made of it; write {peers.yaml}"


def _is_left_over(authentication: dict[str, object], request: AdmissionRequest) -> bool:
    """Whether it belongs to a namesake of this policy that was deleted a moment ago."""
    metadata = authentication["metadata"]
    owners = metadata.get("ownerReferences") or () if isinstance(metadata, dict) else ()
    return any((owner["kind"], owner["name"]) == (request.kind, request.name) for owner in owners)


def _taken(peers: Peers, request: AdmissionRequest) -> Problem:
    return Problem(
        object=ObjectKey(request.kind, request.namespace, request.name),
        path="metadata.name",
        message=f"PeerAuthentication {peers.namespace}/{DEFAULT} says what holds there already",
        fix=f"change that one: spec.mtls.mode: {peers.mode}",
    )
