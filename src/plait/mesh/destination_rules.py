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
from typing import TypeAlias

from plait.api.destinationrule import Subset, TrafficPolicy
from plait.api.meta import ObjectKey
from plait.mesh.origin import Origin
from plait.snapshot.hosts import is_wildcard, most_specific
from plait.snapshot.keys import DestinationEntry, Labels, SubsetFacts
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules by host, each list in order of precedence. `selectors` are of those that hold for some callers only."""

    exact: Mapping[str, tuple[ObjectKey, ...]] = field(default_factory=dict)
    wildcards: Mapping[str, tuple[ObjectKey, ...]] = field(default_factory=dict)
    selectors: Mapping[ObjectKey, Labels] = field(default_factory=dict)

    @property
    def asked(self) -> frozenset[str]:
        """The labels of callers that decide."""
        return frozenset(label for selector in self.selectors.values() for label, _ in selector)

    def find(self, host: str, labels: Labels | None = None) -> tuple[ObjectKey, ...]:
        """The rules of the most specific host that covers `host`, for a caller with `labels`; None: whoever calls."""
        if not self.exact and not self.wildcards:
            return ()
        found = self._chosen(self.exact.get(host), labels)
        if not found and self.wildcards:
            pattern = most_specific(self.wildcards, host)
            found = self._chosen(self.wildcards[pattern], labels) if pattern is not None else ()
        return found

    def _chosen(self, rules: tuple[ObjectKey, ...] | None, labels: Labels | None) -> tuple[ObjectKey, ...]:
        """Rules that select the caller go before those for everybody, which fill in what they leave open."""
        if not rules or labels is None or not self.selectors:
            return rules or ()
        narrow = [rule for rule in rules if rule in self.selectors and set(self.selectors[rule]).issubset(labels)]
        return (*narrow, *(rule for rule in rules if rule not in self.selectors))


Steps: TypeAlias = tuple[tuple[RuleTable, Labels | None], ...]
"""Tables to look into one after the other, each with the labels of the caller where they count."""


def rule_table(entries: Iterable[DestinationEntry]) -> RuleTable:
    """The table of `entries`, which come in order of precedence."""
    exact: dict[str, tuple[ObjectKey, ...]] = {}
    wildcards: dict[str, tuple[ObjectKey, ...]] = {}
    selectors: dict[ObjectKey, Labels] = {}
    for entry in entries:
        table = wildcards if is_wildcard(entry.host) else exact
        table[entry.host] = (*table.get(entry.host, ()), entry.key)
        if entry.selector:
            selectors[entry.key] = entry.selector
    return RuleTable(exact, wildcards, selectors)


def local_rules(reader: Reader, namespace: str, root_namespace: str) -> RuleTable:
    """Step 1 for callers in `namespace`."""
    if namespace == root_namespace:
        return rule_table(reader.private_destination_rules(namespace))
    return rule_table(reader.local_destination_rules(namespace))


def exported_rules(reader: Reader, owner: str, namespace: str) -> RuleTable:
    """Steps 2 and 3: rules of `owner` that callers in `namespace` see."""
    # Istio: a selector never reaches into another namespace.
    return rule_table(e for e in reader.exported_destination_rules(owner, namespace) if not e.selector)


def steps(
    owner: str,
    *,
    local: RuleTable,
    exported: Callable[[str], RuleTable],
    root_namespace: str,
    labels: Labels | None = None,
) -> Steps:
    """Where rules for Services of `owner` are looked for, for a caller with `labels` (None: whoever calls).

    All three steps in their order, without tables that hold nothing.
    """
    places = dict.fromkeys((owner, root_namespace))
    found = ((local, labels), *((exported(place), None) for place in places))
    return tuple(step for step in found if step[0].exact or step[0].wildcards)


def find_rules(host: str, steps: Steps) -> tuple[ObjectKey, ...]:
    """The rules for `host`: those of the first step that has any."""
    for table, labels in steps:
        if found := table.find(host, labels):
            return found
    return ()


def rules_finder(reader: Reader, namespace: str, root_namespace: str) -> Callable[[str, str], tuple[ObjectKey, ...]]:
    """Finds the rules for (host, namespace of its Service) as callers in `namespace` see them; keeps what it reads."""
    tables: dict[str, RuleTable] = {}
    known: dict[str, Steps] = {}
    local = local_rules(reader, namespace, root_namespace)

    def exported(owner: str) -> RuleTable:
        if owner not in tables:
            tables[owner] = exported_rules(reader, owner, namespace)
        return tables[owner]

    def find(host: str, owner: str) -> tuple[ObjectKey, ...]:
        if owner not in known:
            known[owner] = steps(owner, local=local, exported=exported, root_namespace=root_namespace)
        return find_rules(host, known[owner])

    return find


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

    Only the fields of `policy` that are set have an effect; `port_level_settings` is already merged in. `selected`: a
    rule among those it comes from selects its callers.
    """

    policy: TrafficPolicy = field(default_factory=TrafficPolicy)
    origin: Origin | None = None
    selected: bool = False


def effective_policy(
    reader: Reader,
    rules: tuple[ObjectKey, ...],
    *,
    port: int,
    subset: str = "",
    baseline: TrafficPolicy | None = None,
) -> EffectivePolicy:
    """The policy of `rules` (merged) for a port and, when named, a subset.

    Istio: settings of a port take the place of all of their level, but of what cannot be said for a port. Then a
    subset's fields replace the destination's one by one, those of its port all at once: what they leave out is as by
    default. `baseline` is the mesh's, for fields that nobody sets.
    """
    policy: TrafficPolicy | None = None
    origin: Origin | None = None
    chosen: tuple[Subset, Origin] | None = None
    selected = False
    for key in rules:
        rule = reader.destination_rule(key)
        if rule is None:
            continue
        origin = origin or Origin(key)
        selected = selected or rule.spec.workload_selector is not None
        if policy is None and rule.spec.traffic_policy is not None:
            policy, origin = rule.spec.traffic_policy, Origin(key)
        for index, candidate in enumerate(rule.spec.subsets):
            if subset and chosen is None and candidate.name == subset:
                chosen = candidate, Origin(key, f"spec.subsets[{index}]")
    effective = _of_port(policy, port) or TrafficPolicy()
    if chosen is not None:
        given, origin = chosen[0].traffic_policy, chosen[1]
        narrow = _of_port(given, port)
        if narrow is not None:
            effective = _merged(effective if narrow is given else _beyond_ports(effective), narrow)
    if baseline is not None:
        effective = _merged(baseline, effective)
    return EffectivePolicy(policy=effective, origin=origin, selected=selected)


def _of_port(policy: TrafficPolicy | None, port: int) -> TrafficPolicy | None:
    """One level's policy for a port."""
    if policy is None:
        return None
    for setting in policy.port_level_settings:
        if setting.port is not None and setting.port.number == port:
            return TrafficPolicy(
                load_balancer=setting.load_balancer,
                connection_pool=setting.connection_pool,
                outlier_detection=setting.outlier_detection,
                tls=setting.tls,
                retry_budget=policy.retry_budget,
                proxy_protocol=policy.proxy_protocol,
                tunnel=policy.tunnel,
            )
    return policy


def _beyond_ports(policy: TrafficPolicy) -> TrafficPolicy:
    """What of a policy cannot be said for a port."""
    return TrafficPolicy(retry_budget=policy.retry_budget, proxy_protocol=policy.proxy_protocol, tunnel=policy.tunnel)


def _merged(base: TrafficPolicy, over: TrafficPolicy) -> TrafficPolicy:
    return TrafficPolicy(
        load_balancer=over.load_balancer or base.load_balancer,
        connection_pool=over.connection_pool or base.connection_pool,
        outlier_detection=over.outlier_detection or base.outlier_detection,
        tls=over.tls or base.tls,
        retry_budget=over.retry_budget or base.retry_budget,
        proxy_protocol=over.proxy_protocol or base.proxy_protocol,
        tunnel=over.tunnel or base.tunnel,
    )
