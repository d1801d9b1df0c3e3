"""Views: what a class of proxies shares, and which classes a proxy belongs to.

A sidecar has two: what it can call (by namespace, the Sidecar that holds for it, and the labels that some rule looks
at) and what it serves (by namespace and labels, which is its workload template). A gateway has one, by namespace and
labels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from plait.api.meta import ObjectKey
from plait.kit.digest import content_hash
from plait.mesh.locality import Caller, Locality, of_proxy
from plait.mesh.node import ProxyNode
from plait.mesh.scope import Scope, sidecar_of
from plait.snapshot.keys import Labels
from plait.snapshot.reader import Reader


class ViewKey(NamedTuple):
    """One view. `side` is `out`, `in` or `gw`.

    `sidecar` is the Sidecar that holds, `address` the workload's own where ServiceEntries name it or its proxy listens
    at it. `locality` is where the proxies are; `node` too if some Service keeps calls on their node. `mutual`: the
    proxies have certificates of the mesh.
    """

    side: str
    namespace: str
    labels: Labels
    sidecar: ObjectKey | None = None
    address: str = ""
    locality: Locality = Locality()
    node: str = ""
    mutual: bool = False

    @property
    def scope(self) -> Scope:
        """What decides what is seen."""
        return Scope(self.namespace, self.sidecar)

    @property
    def caller(self) -> Caller:
        """What decides which endpoints are preferred."""
        return Caller(self.locality, self.labels, self.node)

    @property
    def name(self) -> str:
        """The view's stable, opaque name."""
        parts = [f"{key}={value}" for key, value in self.labels]
        if self.sidecar is not None:
            parts.append(str(self.sidecar))
        if self.address:
            parts.append(self.address)
        if any(self.locality) or self.node:
            parts.append(f"{self.locality}@{self.node}")
        if not self.mutual:
            # Proxies that an older version of plait has started.
            parts.append("plain")
        if not parts:
            return f"{self.side}/{self.namespace}"
        return f"{self.side}/{self.namespace}/{content_hash(chr(0).join(parts).encode())}"


#: Kinds of snapshot keys that decide to which views proxies belong.
PLACING: Final = frozenset({"source-labels", "envoy-filter-labels", "sidecars", "entries-at", "node-bound"})


def views_of(reader: Reader, node: ProxyNode, root_namespace: str) -> tuple[ViewKey, ...]:
    """The views of `node`; they change when rules begin or cease to look at a label, and with Sidecars."""
    locality = of_proxy(reader, node)
    pod = reader.pod(node.namespace, node.pod) if reader.node_bound() else None
    machine = pod.node if pod is not None else ""
    address = node.ip if reader.entries_at(node.ip) else ""
    if node.kind == "router":
        # Gateways select it and its own Services translate its ports by labels, so all of them count.
        return (ViewKey("gw", node.namespace, node.labels, None, address, locality, machine, node.certificates),)
    asked = reader.source_labels(node.namespace) | reader.patched_labels(root_namespace, node.namespace)
    seen = tuple(pair for pair in node.labels if pair[0] in asked)
    found = sidecar_of(reader, node.namespace, node.labels, root_namespace)
    sidecar = found.key if found is not None else None
    if found is not None and found.at_home:
        address = node.ip
    return (
        ViewKey("out", node.namespace, seen, sidecar, locality=locality, node=machine, mutual=node.certificates),
        ViewKey("in", node.namespace, node.labels, sidecar, address, mutual=node.certificates),
    )
