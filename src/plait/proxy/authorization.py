"""The AuthorizationPolicies that a proxy has, read off its RBAC filters: the table of `istioctl x authz check`."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plait.xds.authorization.asking import BACKSTOP, SHADOW_PREFIX
from plait.xds.authorization.filters import origin_of_rule
from plait.xds.resource import TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

COLUMNS: Final = ("ACTION", "AuthorizationPolicy", "RULES")
_RBAC: Final = re.compile(r"envoy\.extensions\.filters\.(http|network)\.rbac\.v3\.RBAC")
#: Istio's order, and what only plait shows behind it.
_ORDER: Final = ("DENY", "ALLOW", "LOG", "CUSTOM", "DENY (dry run)", "ALLOW (dry run)")
#: Istio: rules that allow nothing, of no policy: those of policies that say nothing of connections.
_NOTHING: Final = "_anonymous_match_nothing_"


class PolicyRow(NamedTuple):
    """One policy. `policy` is NAME.NAMESPACE, `rules` how many of its rules the proxy has."""

    action: str
    policy: str
    rules: int

    @property
    def cells(self) -> tuple[str, str, str]:
        """As a table shows it."""
        return self.action, self.policy, str(self.rules)


def policy_rows(resources: Iterable[Mapping[str, Any]]) -> list[PolicyRow]:
    """Of listeners and what came by ECDS, as /config_dump has them."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for config in _configs(list(resources)):
        asking = config.get("shadow_rules_stat_prefix") == SHADOW_PREFIX
        for field, words in (("rules", ""), ("shadow_rules", " (dry run)")):
            rules = config.get(field)
            if rules is None:
                # An empty slot, too.
                continue
            action = "CUSTOM" if asking and words else f"{rules.get('action', 'ALLOW')}{words}"
            for name in rules.get("policies") or (_NOTHING,):
                if name == BACKSTOP:
                    continue
                origin = origin_of_rule(name)
                policy = f"{origin.object.name}.{origin.object.namespace}" if origin is not None else name
                found[action, policy].add(name)
    rows = (PolicyRow(action, policy, len(names)) for (action, policy), names in found.items())
    return sorted(rows, key=lambda row: (_ORDER.index(row.action), row.policy))


def extension_rows(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What came by ECDS: name and type, by type (Istio's table)."""
    rows = (
        (
            str(each.get("name") or ""),
            str((each.get("typed_config") or {}).get("@type") or "").removeprefix(TYPE_PREFIX),
        )
        for each in found
    )
    return sorted(rows, key=lambda row: (row[1], row[0]))


def _configs(value: Any) -> Iterator[Mapping[str, Any]]:
    """The settings of all RBAC filters within a value."""
    if isinstance(value, dict):
        if _RBAC.search(str(value.get("@type") or "")):
            yield value
        else:
            for each in value.values():
                yield from _configs(each)
    elif isinstance(value, list):
        for each in value:
            yield from _configs(each)
