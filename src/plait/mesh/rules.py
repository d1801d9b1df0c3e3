"""Which VirtualService holds for a host, seen from a namespace.

For requests the most specific host wins; of equally specific ones the first in precedence that has a route for the
caller and the port. Sidecars do not merge: a second rule for the same host is not used then (Istio's rule; gateways do
merge). For connections all rules of a host are asked, in order of precedence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from plait.snapshot.hosts import is_wildcard, most_specific, narrower
from plait.snapshot.keys import RuleEntry


@dataclass(frozen=True, slots=True)
class MeshRules:
    """The VirtualServices of sidecars, by host, each list in order of precedence."""

    exact: Mapping[str, tuple[RuleEntry, ...]] = field(default_factory=dict)
    wildcards: Mapping[str, tuple[RuleEntry, ...]] = field(default_factory=dict)
    connections: Mapping[str, tuple[RuleEntry, ...]] = field(default_factory=dict)
    connection_wildcards: tuple[str, ...] = ()
    ranks: Mapping[RuleEntry, int] = field(default_factory=dict)
    """Of those with rules for connections."""
    #: Some rule names several hosts.
    joint: bool = False

    def find(self, host: str) -> tuple[RuleEntry, ...]:
        """The rules for a Service's host: the first that has a route holds. Istio: one for a wildcard holds alone."""
        found = self.exact.get(host, ())
        if not found and self.wildcards:
            pattern = most_specific(self.wildcards, host)
            found = self.wildcards[pattern][:1] if pattern is not None else ()
        return found

    def for_connections(self, host: str) -> tuple[RuleEntry, ...]:
        """The rules that connections to a Service's host are asked by, in order of precedence."""
        if not self.connections:
            return ()
        found = set(self.connections.get(host, ()))
        for other in self.connections if is_wildcard(host) else self.connection_wildcards:
            if narrower(other, host) is not None:
                found.update(self.connections[other])
        return tuple(sorted(found, key=self.ranks.__getitem__))


def mesh_rules(entries: Iterable[RuleEntry]) -> MeshRules:
    """The table of `entries`, which come in order of precedence."""
    exact: dict[str, tuple[RuleEntry, ...]] = {}
    wildcards: dict[str, tuple[RuleEntry, ...]] = {}
    connections: dict[str, tuple[RuleEntry, ...]] = {}
    ranks: dict[RuleEntry, int] = {}
    joint = False
    for entry in entries:
        joint = joint or len(entry.hosts) > 1
        if entry.connections:
            ranks.setdefault(entry, len(ranks))
        for host in entry.hosts:
            table = wildcards if is_wildcard(host) else exact
            table[host] = (*table.get(host, ()), entry)
            if entry.connections:
                connections[host] = (*connections.get(host, ()), entry)
    patterns = tuple(filter(is_wildcard, connections))
    return MeshRules(exact, wildcards, connections, patterns, ranks, joint)


class Source(NamedTuple):
    """Who calls, as far as rules ask: a namespace and the labels that some rule looks at."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
