"""Who owns what: uid, name and owners of every object the API serves, and nothing else of them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.kube.reflect import ref_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.kube.kinds import Kind
    from plait.kube.reflect import Ref

Object = dict[str, Any]

_REMEMBERED = 16384


@dataclass(frozen=True, slots=True)
class Node:
    """One object. `owners` are its ownerReferences as they are."""

    kind: Kind
    ref: Ref
    uid: str
    owners: tuple[Mapping[str, Any], ...]
    deleting: bool
    finalizers: tuple[str, ...]


def node_of(kind: Kind, obj: Object) -> Node:
    """What the graph keeps of an object."""
    meta = obj["metadata"]
    return Node(
        kind,
        ref_of(obj),
        meta["uid"],
        tuple(meta.get("ownerReferences") or ()),
        bool(meta.get("deletionTimestamp")),
        tuple(meta.get("finalizers") or ()),
    )


class Graph:
    """Objects by uid, their dependents, and the contents of each namespace."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._uids: dict[tuple[Kind, Ref], str] = {}
        self._dependents: dict[str, set[str]] = defaultdict(set)
        self._contents: dict[str, set[str]] = defaultdict(set)
        self._gone: OrderedDict[str, None] = OrderedDict()

    def node(self, uid: str) -> Node | None:
        """By uid."""
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> frozenset[str]:
        """Uids of the objects that name this one as an owner."""
        return frozenset(self._dependents.get(uid, ()))

    def refs(self, kind: Kind) -> list[Ref]:
        """Every known object of a kind."""
        return [ref for each, ref in self._uids if each == kind]

    def contents(self, namespace: str) -> list[Node]:
        """What is in a namespace."""
        return [self._nodes[uid] for uid in self._contents.get(namespace, ())]

    def is_gone(self, uid: str) -> bool:
        """Whether an object with this uid was seen to go. False means: not known."""
        return uid in self._gone

    def set(self, kind: Kind, ref: Ref, node: Node | None) -> tuple[Node | None, Node | None]:
        """Take in the present state of an object (None: gone); gives (before, now)."""
        old_uid = self._uids.get((kind, ref))
        old = self._nodes.get(old_uid) if old_uid else None
        if old is not None:
            self._remove(old)
            if node is None or node.uid != old.uid:
                # Uids are never used again. This is only a shortcut: what was forgotten is asked for.
                self._gone[old.uid] = None
                while len(self._gone) > _REMEMBERED:
                    self._gone.popitem(last=False)
        if node is not None:
            self._nodes[node.uid] = node
            self._uids[kind, ref] = node.uid
            if ref.namespace:
                self._contents[ref.namespace].add(node.uid)
            for owner in node.owners:
                self._dependents[owner["uid"]].add(node.uid)
        return old, node

    def _remove(self, node: Node) -> None:
        del self._nodes[node.uid]
        del self._uids[node.kind, node.ref]
        for index, key in [
            (self._contents, node.ref.namespace),
            *((self._dependents, owner["uid"]) for owner in node.owners),
        ]:
            entries = index.get(key)
            if entries is not None:
                entries.discard(node.uid)
                if not entries:
                    del index[key]
