"""Which VirtualService holds for a host, seen from a namespace.

The most specific host wins; of equally specific ones the one that comes first in precedence. Sidecars do not merge:
a second rule for the same host is not used at all (Istio's rule; gateways do merge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from plait.snapshot.hosts import is_wildcard, most_specific
from plait.snapshot.keys import RuleEntry


@dataclass(frozen=True, slots=True)
class MeshRules:
    """The VirtualServices of sidecars, by host."""

    exact: Mapping[str, RuleEntry] = field(default_factory=dict)
    wildcards: Mapping[str, RuleEntry] = field(default_factory=dict)

    def find(self, host: str) -> RuleEntry | None:
        """The rule for a Service's host."""
        found = self.exact.get(host)
        if found is None and self.wildcards:
            pattern = most_specific(self.wildcards, host)
            found = self.wildcards[pattern] if pattern is not None else None
        return found


def mesh_rules(entries: Iterable[RuleEntry]) -> MeshRules:
    """The table of `entries`, which come in order of precedence."""
    exact: dict[str, RuleEntry] = {}
    wildcards: dict[str, RuleEntry] = {}
    for entry in entries:
        for host in entry.hosts:
            (wildcards if is_wildcard(host) else exact).setdefault(host, entry)
    return MeshRules(exact, wildcards)


class Source(NamedTuple):
    """Who calls, as far as rules ask: a namespace and the labels that some rule looks at."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
