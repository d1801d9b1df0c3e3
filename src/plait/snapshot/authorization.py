"""What AuthorizationPolicies contribute to the snapshot: whom each may be for. What it says is read of the chosen."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy
from plait.kit.memo import Key
from plait.snapshot.chosen import Chosen, chosen_of
from plait.snapshot.contribution import Contribution


class AuthorizationEntry(NamedTuple):
    """Member of `authorization_policies`, the oldest first."""

    created: str
    name: str
    namespace: str
    chosen: Chosen

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
    chosen = chosen_of(spec.selector, spec.target_ref, spec.target_refs)
    entry = AuthorizationEntry(meta.creation_timestamp, meta.name, meta.namespace, chosen)
    result.members.add((authorization_policies(meta.namespace), entry))
