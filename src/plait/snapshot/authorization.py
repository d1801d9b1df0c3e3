"""What AuthorizationPolicies contribute to the snapshot: whom each may be for. What it says is read of the chosen."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy
from plait.kit.memo import Key
from plait.snapshot.contribution import Contribution, sorted_labels
from plait.snapshot.keys import Labels


class AuthorizationEntry(NamedTuple):
    """Member of `authorization_policies`, the oldest first. No labels: it is for the whole namespace, or the mesh.

    `gateways`: it is for the workloads of these Gateways of the Gateway API alone, by their names; `targeted`: it
    names targets, of which there may be none that has a workload.
    """

    created: str
    name: str
    namespace: str
    selector: Labels
    targeted: bool = False
    gateways: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        """The AuthorizationPolicy."""
        return ObjectKey("AuthorizationPolicy", self.namespace, self.name)


def authorization_policies(namespace: str) -> Key:
    """Set of AuthorizationEntry of a namespace."""
    return ("authorization-policies", namespace)


def authorization_policy(found: AuthorizationPolicy, result: Contribution) -> None:
    """Its place among those of its namespace."""
    meta, spec = found.metadata, found.spec
    targets = spec.target_refs or ((spec.target_ref,) if spec.target_ref is not None else ())
    gateways = tuple(
        sorted(
            target.name
            for target in targets
            if (target.group, target.kind) == _GATEWAY and target.namespace in {"", meta.namespace}
        )
    )
    selector = sorted_labels(spec.selector.match_labels) if spec.selector is not None else ()
    entry = AuthorizationEntry(
        meta.creation_timestamp, meta.name, meta.namespace, selector, targeted=bool(targets), gateways=gateways
    )
    result.members.add((authorization_policies(meta.namespace), entry))


_GATEWAY = ("gateway.networking.k8s.io", "Gateway")
