"""What one object puts into the snapshot, as a value that is filled step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from plait.kit.memo import Key
from plait.snapshot import keys


class Contribution(NamedTuple):
    """One object's part of the snapshot."""

    facts: dict[Key, Any]
    members: set[tuple[Key, Any]]


def sorted_labels(labels: Mapping[str, str]) -> keys.Labels:
    """Labels as a value."""
    return tuple(sorted(labels.items()))


def provide(host: str, provider: keys.HostProvider, result: Contribution) -> None:
    """Put a host and its ports into the sets of those who see it."""
    result.members.add((keys.host(host), provider))
    for entry in provider.ports(host):
        for scope in provider.scopes:
            result.members.add((keys.ports(scope), entry))
            result.members.add((keys.ports_numbered(scope, entry.port), entry))
            result.members.add((keys.ports_in(entry.namespace, scope), entry))
