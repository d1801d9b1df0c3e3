"""What a sidecar of a namespace can reach: every visible port of every Service, with its subsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plait.api.meta import ObjectKey
from plait.snapshot.keys import HostPort, Labels, SubsetFacts


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """One cluster of Envoy: a port of a host, or of one of its subsets.

    `labels` are the subset's, empty without a subset; `rules` are the DestinationRules that hold, merged in this order.
    """

    host: str
    port: int
    subset: str = ""
    labels: Labels = ()
    rules: tuple[ObjectKey, ...] = ()


def destinations(
    ports: Iterable[HostPort],
    *,
    rules_of: Callable[[str, str], tuple[ObjectKey, ...]],
    subsets_of: Callable[[tuple[ObjectKey, ...]], tuple[SubsetFacts, ...]],
) -> tuple[Destination, ...]:
    """The destinations of `ports`, in a fixed order."""
    result: list[Destination] = []
    for port in ports:
        rules = rules_of(port.host, port.namespace)
        result.append(Destination(port.host, port.port, rules=rules))
        if rules:
            result.extend(
                Destination(port.host, port.port, subset.name, subset.labels, rules) for subset in subsets_of(rules)
            )
    return tuple(sorted(result))
