"""Which DestinationRules hold for a destination, seen from a caller's namespace: Istio's three-step lookup.

1. The caller's own namespace. In the root namespace only rules exported to nobody else count here, so that mesh-wide
   defaults kept there do not hide a service's own rules from the gateways.
2. The service's namespace.
3. The root namespace.

The first step with a match wins; inside a step the most specific host wins, and rules of one host are merged, the
oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from plait.api.destinationrule import Subset, TrafficPolicy
from plait.api.meta import ObjectKey
from plait.mesh.origin import Origin
from plait.snapshot.hosts import is_wildcard, most_specific
from plait.snapshot.keys import DestinationEntry, SubsetFacts
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules by host, each list in order of precedence."""

    exact: Mapping[str, tuple[ObjectKey, ...]] = field(default_factory=dict)
    wildcards: Mapping[str, tuple[ObjectKey, ...]] = field(default_factory=dict)

    def find(self, host: str) -> tuple[ObjectKey, ...]:
        """The rules of the most specific host that covers `host`."""
        found = self.exact.get(host)
        if found is None and self.wildcards:
            pattern = most_specific(self.wildcards, host)
            found = self.wildcards[pattern] if pattern is not None else None
        return found or ()


def rule_table(entries: Iterable[DestinationEntry]) -> RuleTable:
    """The table of `entries`, which come in order of precedence."""
    exact: dict[str, tuple[ObjectKey, ...]] = {}
    wildcards: dict[str, tuple[ObjectKey, ...]] = {}
    for entry in entries:
        table = wildcards if is_wildcard(entry.host) else exact
        table[entry.host] = (*table.get(entry.host, ()), entry.key)
    return RuleTable(exact, wildcards)


def local_rules(reader: Reader, namespace: str, root_namespace: str) -> RuleTable:
    """Step 1 for callers in `namespace`."""
    if namespace == root_namespace:
        return rule_table(reader.private_destination_rules(namespace))
    return rule_table(reader.local_destination_rules(namespace))


def exported_rules(reader: Reader, owner: str, namespace: str) -> RuleTable:
    """Steps 2 and 3: rules of `owner` that callers in `namespace` see."""
    return rule_table(reader.exported_destination_rules(owner, namespace))


def find_rules(
    host: str, service_namespace: str, *, local: RuleTable, exported: Callable[[str], RuleTable], root_namespace: str
) -> tuple[ObjectKey, ...]:
    """The rules for `host`, all three steps."""
    return (
        local.find(host)
        or exported(service_namespace).find(host)
        or (exported(root_namespace).find(host) if service_namespace != root_namespace else ())
    )


def rules_finder(reader: Reader, namespace: str, root_namespace: str) -> Callable[[str, str], tuple[ObjectKey, ...]]:
    """Finds the rules for (host, namespace of its Service) as callers in `namespace` see them; keeps what it reads."""
    tables: dict[str, RuleTable] = {}
    local = local_rules(reader, namespace, root_namespace)

    def exported(owner: str) -> RuleTable:
        if owner not in tables:
            tables[owner] = exported_rules(reader, owner, namespace)
        return tables[owner]

    return lambda host, owner: find_rules(host, owner, local=local, exported=exported, root_namespace=root_namespace)


def subset_labels(reader: Reader, rules: tuple[ObjectKey, ...]) -> tuple[SubsetFacts, ...]:
    """The subsets of merged rules; a name that occurs again loses."""
    merged: dict[str, SubsetFacts] = {}
    for rule in rules:
        for subset in reader.subsets(rule):
            merged.setdefault(subset.name, subset)
    return tuple(merged.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """The traffic policy that holds for one port of a destination or of a subset, and where it comes from.

    Only the fields of `policy` that are set have an effect; `port_level_settings` is already merged in.
    """

    policy: TrafficPolicy = field(default_factory=TrafficPolicy)
    origin: Origin | None = None


def effective_policy(reader: Reader, rules: tuple[ObjectKey, ...], *, port: int, subset: str = "") -> EffectivePolicy:
    """The policy of `rules` (merged) for a port and, when named, a subset.

    A subset's fields replace the destination's one by one; settings of a port replace all of their level.
    """
    policy: TrafficPolicy | None = None
    origin: Origin | None = None
    chosen: tuple[Subset, Origin] | None = None
    for key in rules:
        rule = reader.destination_rule(key)
        if rule is None:
            continue
        origin = origin or Origin(key)
        if policy is None and rule.spec.traffic_policy is not None:
            policy, origin = rule.spec.traffic_policy, Origin(key)
        for index, candidate in enumerate(rule.spec.subsets):
            if subset and chosen is None and candidate.name == subset:
                chosen = candidate, Origin(key, f"spec.subsets[{index}]")
    effective = _merged(TrafficPolicy(), policy, port)
    if chosen is not None:
        effective, origin = _merged(effective, chosen[0].traffic_policy, port), chosen[1]
    return EffectivePolicy(policy=effective, origin=origin)


def _merged(base: TrafficPolicy, over: TrafficPolicy | None, port: int) -> TrafficPolicy:
    if over is None:
        return base
    for setting in over.port_level_settings:
        if setting.port is not None and setting.port.number == port:
            return TrafficPolicy(
                load_balancer=setting.load_balancer,
                connection_pool=setting.connection_pool,
                outlier_detection=setting.outlier_detection,
                tls=setting.tls,
                retry_budget=over.retry_budget or base.retry_budget,
            )
    return TrafficPolicy(
        load_balancer=over.load_balancer or base.load_balancer,
        connection_pool=over.connection_pool or base.connection_pool,
        outlier_detection=over.outlier_detection or base.outlier_detection,
        tls=over.tls or base.tls,
        retry_budget=over.retry_budget or base.retry_budget,
    )
