"""The filters of a workload's AuthorizationPolicies, by Istio's names and in Istio's order: AUDIT, DENY, ALLOW.

Each action is a filter of its own, for requests and for connections alike. What is only tried (`istio.io/dry-run`) is
in the same filter as shadow rules: judged, counted and logged, without a consequence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac

from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy
from plait.mesh.origin import Origin
from plait.xds.authorization.rules import Action, Reading, never, rbac_policy
from plait.xds.encode import packed
from plait.xds.slots import HTTP_RBAC

AUTHORIZATION_POLICY: Final = "AuthorizationPolicy"
NETWORK_RBAC: Final = "envoy.filters.network.rbac"
TCP_PREFIX: Final = "tcp."
DRY_RUN: Final = "istio.io/dry-run"
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_ACTIONS: Final[dict[Action, RBAC.Action]] = {
    "AUDIT": RBAC.LOG, "DENY": RBAC.DENY, "ALLOW": RBAC.ALLOW, "CUSTOM": RBAC.DENY,
}  # fmt: skip
ORDER: Final[tuple[Action, ...]] = ("AUDIT", "DENY", "ALLOW")
"""What comes first decides first."""
_SHADOWS: Final[dict[Action, str]] = {"DENY": "istio_dry_run_deny_", "ALLOW": "istio_dry_run_allow_"}
_NAME: Final = re.compile(r"ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]")


def rule_name(key: ObjectKey, rule: int) -> str:
    """How Istio names a rule in RBAC."""
    return f"ns[{key.namespace}]-policy[{key.name}]-rule[{rule}]"


def origin_of_rule(name: str) -> Origin | None:
    """Where the rule with this name in RBAC is written; None for a name of another kind."""
    found = _NAME.search(name)
    if found is None:
        return None
    return Origin(ObjectKey(AUTHORIZATION_POLICY, found[1], found[2]), f"spec.rules[{found[3]}]")


def rules_named(encoded: bytes, key: ObjectKey) -> tuple[int, ...]:
    """The rules of a policy that an encoded resource has."""
    named = re.escape(f"ns[{key.namespace}]-policy[{key.name}]-rule[").encode() + rb"(\d+)\]"
    return tuple(sorted({int(found) for found in re.findall(named, encoded)}))


def is_tried(policy: AuthorizationPolicy) -> bool:
    """Whether a policy is to be judged without a consequence."""
    return policy.metadata.annotations.get(DRY_RUN, "") in _TRUE


def key_of(policy: AuthorizationPolicy) -> ObjectKey:
    """Its object."""
    return ObjectKey(AUTHORIZATION_POLICY, policy.metadata.namespace, policy.metadata.name)


def rules_of(
    policies: Iterable[AuthorizationPolicy], action: Action, domains: tuple[str, ...], *, tcp: bool, prefix: str = ""
) -> RBAC | None:
    """The rules of policies of one action; None of no policy. `prefix` stands before the names of rules."""
    result: RBAC | None = None
    for policy in policies:
        result = result or RBAC(action=_ACTIONS[action])
        key = key_of(policy)
        reading = Reading(tcp, action, key.namespace, domains)
        for number, rule in enumerate(policy.spec.rules or ()):
            made = rbac_policy(rule, reading)
            if made is not None:
                result.policies[prefix + rule_name(key, number)].CopyFrom(made)
        if not policy.spec.rules:
            result.policies[prefix + rule_name(key, 0)].CopyFrom(never())
    return result


def request_filter(
    policies: Sequence[AuthorizationPolicy], action: Action, domains: tuple[str, ...]
) -> HttpFilter | None:
    """What decides over requests by the policies of one action; None: there are none."""
    if not policies:
        return None
    rules, shadow = _rules_and_shadow(policies, action, domains, tcp=False)
    prefix = _shadow_prefix(action, shadow)
    config = http_rbac.RBAC(rules=rules, shadow_rules=shadow, shadow_rules_stat_prefix=prefix)
    return HttpFilter(name=HTTP_RBAC, typed_config=packed(config))


def connection_filters(policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...]) -> Iterator[Filter]:
    """Those that decide over connections that carry bytes."""
    for action in ORDER:
        own = [policy for policy in policies if policy.spec.action == action]
        if not own:
            continue
        rules, shadow = _rules_and_shadow(own, action, domains, tcp=True)
        prefix = _shadow_prefix(action, shadow)
        config = network_rbac.RBAC(
            rules=rules, shadow_rules=shadow, stat_prefix=TCP_PREFIX, shadow_rules_stat_prefix=prefix
        )
        yield Filter(name=NETWORK_RBAC, typed_config=packed(config))


def _shadow_prefix(action: Action, shadow: RBAC | None) -> str:
    return _SHADOWS.get(action, "") if shadow is not None else ""


def _rules_and_shadow(
    policies: Sequence[AuthorizationPolicy], action: Action, domains: tuple[str, ...], *, tcp: bool
) -> tuple[RBAC | None, RBAC | None]:
    """What decides, and what is only tried, of policies of one action."""
    enforced = [policy for policy in policies if not is_tried(policy)]
    tried = [policy for policy in policies if is_tried(policy)]
    return rules_of(enforced, action, domains, tcp=tcp), rules_of(tried, action, domains, tcp=tcp)
