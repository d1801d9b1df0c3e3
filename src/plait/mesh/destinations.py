"""What a sidecar of a namespace can reach: every visible port of every Service, with its subsets."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.snapshot.keys import SERVICE, HostPort, Labels, SubsetFacts


class Destination(NamedTuple):
    """One cluster of Envoy: a port of a host, or of one of its subsets.

    `labels` are the subset's, empty without a subset; `rules` are the DestinationRules that hold, merged in this order.
    `owner` is the namespace of the ServiceEntry behind the host, where there is one: another's may be a different one.
    """

    host: str
    port: int
    subset: str = ""
    labels: Labels = ()
    rules: tuple[ObjectKey, ...] = ()
    owner: str = ""


def of_port(port: HostPort, rules: tuple[ObjectKey, ...], subsets: tuple[SubsetFacts, ...]) -> tuple[Destination, ...]:
    """The destinations of one port, which `rules` hold for and give these `subsets`."""
    first = whole(port, rules)
    return (
        first,
        *[Destination(port.host, port.port, subset.name, subset.labels, rules, first.owner) for subset in subsets],
    )


def whole(port: HostPort, rules: tuple[ObjectKey, ...] = ()) -> Destination:
    """The destination of one port without a subset."""
    return _whole(port.host, port.port, rules, port.namespace if port.kind != SERVICE else "")


@lru_cache(maxsize=16384)
def _whole(host: str, port: int, rules: tuple[ObjectKey, ...], owner: str) -> Destination:
    """A host without a subset; one value for all that reach it."""
    return Destination(host, port, "", (), rules, owner)
