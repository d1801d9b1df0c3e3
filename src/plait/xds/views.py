"""Views: what a class of proxies shares, and which classes a proxy belongs to.

A sidecar has two: what it can call (by namespace, and by the labels that some rule looks at) and what it serves (by
namespace and labels, which is its workload template). A gateway has one, by namespace and labels.
"""

from __future__ import annotations

from typing import NamedTuple

from plait.kit.digest import content_hash
from plait.mesh.node import ProxyNode
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader


class ViewKey(NamedTuple):
    """One view. `side` is `out`, `in` or `gw`."""

    side: str
    namespace: str
    labels: Labels

    @property
    def name(self) -> str:
        """The view's stable, opaque name."""
        if not self.labels:
            return f"{self.side}/{self.namespace}"
        text = "\0".join(f"{key}={value}" for key, value in self.labels)
        return f"{self.side}/{self.namespace}/{content_hash(text.encode())}"


def views_of(reader: Reader, node: ProxyNode) -> tuple[ViewKey, ...]:
    """The views of `node`; they change when rules begin or cease to look at a label."""
    if node.kind == "router":
        # Gateways select it and its own Services translate its ports by labels, so all of them count.
        return (ViewKey("gw", node.namespace, node.labels),)
    asked = reader.source_labels(node.namespace)
    seen = tuple(pair for pair in node.labels if pair[0] in asked)
    return (ViewKey("out", node.namespace, seen), ViewKey("in", node.namespace, node.labels))
