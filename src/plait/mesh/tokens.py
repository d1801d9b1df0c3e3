"""Which rules about tokens (JWT) hold at a workload: RequestAuthentications, by Istio's rules.

All that choose the workload hold together, those of the root namespace and of its own: their rules are one list, by
issuer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.api.security import JWTRule, RequestAuthentication
from plait.mesh.origin import Origin
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader
from plait.snapshot.tokens import TokenEntry


class TokenRule(NamedTuple):
    """One rule, and where it is written."""

    rule: JWTRule
    origin: Origin


@dataclass(frozen=True, slots=True)
class TokenPolicies:
    """Those that workloads of one namespace look at: of the root namespace, then its own, the oldest first."""

    namespace: str
    entries: tuple[TokenEntry, ...] = ()

    def of(self, labels: Labels) -> tuple[ObjectKey, ...]:
        """Those for the workload with these labels."""
        return tuple(
            entry.key
            for entry in self.entries
            if entry.chosen.chooses(labels, at_home=entry.namespace == self.namespace)
        )


def token_policies(reader: Reader, namespace: str, root_namespace: str) -> TokenPolicies:
    """The RequestAuthentications that decide in a namespace."""
    own = reader.request_authentications(namespace) if namespace != root_namespace else ()
    return TokenPolicies(namespace, (*reader.request_authentications(root_namespace), *own))


def token_rules(reader: Reader, policies: tuple[ObjectKey, ...]) -> tuple[TokenRule, ...]:
    """The rules of several RequestAuthentications, by issuer; of one issuer in the order of `policies`."""
    found: list[TokenRule] = []
    for key in policies:
        policy: RequestAuthentication | None = reader.object(key)
        if policy is not None:
            found += [
                TokenRule(rule, Origin(key, f"spec.jwtRules[{index}]"))
                for index, rule in enumerate(policy.spec.jwt_rules)
            ]
    return tuple(sorted(found, key=lambda each: each.rule.issuer))
