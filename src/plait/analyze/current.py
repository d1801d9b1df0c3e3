"""The findings about every object of the mesh, kept current: a change costs the judgement of those it may concern.

`put` and `remove` take in what changed, `step` judges one object whose findings may be others, `findings` answers
for one object at once. Synchronous: when to work is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from plait.analyze import kinds
from plait.analyze.analysis import judge
from plait.analyze.analyzer import Analyzer
from plait.analyze.fields import mappings, text
from plait.analyze.finding import Finding
from plait.analyze.followed import FollowedWorld
from plait.analyze.kinds import Kind
from plait.analyze.messages import INTERNAL_ERROR
from plait.analyze.pods import INJECT, PROXY
from plait.analyze.registry import analyzers_for
from plait.analyze.world import Item
from plait.api.decode import Decoded
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.kit.memo import Key

#: The kinds whose objects have findings of their own here.
JUDGED: Final[tuple[Kind, ...]] = (
    kinds.VIRTUAL_SERVICE,
    kinds.DESTINATION_RULE,
    kinds.GATEWAY,
    kinds.SERVICE_ENTRY,
    kinds.WORKLOAD_ENTRY,
    kinds.WORKLOAD_GROUP,
    kinds.SIDECAR,
    kinds.ENVOY_FILTER,
    kinds.PROXY_CONFIG,
    kinds.PEER_AUTHENTICATION,
    kinds.AUTHORIZATION_POLICY,
    kinds.REQUEST_AUTHENTICATION,
)
#: All that is looked at, beside what the mesh's own view answers.
FOLLOWED: Final = frozenset({*JUDGED, kinds.NAMESPACE, kinds.NODE, kinds.POD, kinds.SERVICE, kinds.CONFIG_MAP})
#: Analyzers that ask for kinds which are not followed: of Secrets.
LEFT_OUT: Final = frozenset({"gateway.SecretAnalyzer"})
_OF_KIND: Final[dict[Kind, tuple[Analyzer, ...]]] = {
    kind: tuple(analyzer for analyzer in analyzers_for(kind) if analyzer.name not in LEFT_OUT) for kind in JUDGED
}
_POD_ANNOTATIONS: Final = (INJECT, "ambient.istio.io/redirection")


def reduced(obj: dict[str, Any]) -> dict[str, Any]:
    """What analysis wants of an object of a kind that changes often, and not for its sake; others whole."""
    kind = kinds.kind_of(text(obj, "apiVersion"), text(obj, "kind"))
    if kind not in {kinds.POD, kinds.NODE, kinds.NAMESPACE}:
        return obj
    metadata = obj["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace", "labels") if metadata.get(name)}
    annotations = metadata.get("annotations") or {}
    if said := {name: annotations[name] for name in _POD_ANNOTATIONS if name in annotations}:
        kept["annotations"] = said
    made: dict[str, Any] = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept}
    if kind == kinds.POD:
        made["spec"] = _pod(obj.get("spec") or {})
    return made


def _pod(spec: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in ("containers", "initContainers"):
        if any(text(container, "name") == PROXY for _, container in mappings(spec, field)):
            made[field] = [{"name": PROXY, "image": PROXY}]
    if node := text(spec, "nodeName"):
        made["nodeName"] = node
    return made


class CurrentFindings:
    """See the module. `snapshot` answers keys of the mesh's view, `problems` what is wrong with an object in itself."""

    def __init__(
        self, snapshot: Callable[[Key], Any], problems: Callable[[ObjectKey, Mapping[str, Any]], tuple[Problem, ...]]
    ) -> None:
        self.world = FollowedWorld(snapshot)
        #: How many judgements there were.
        self.judged = 0
        #: What went wrong in analyzers themselves.
        self.defects: dict[str, None] = {}
        self._problems = problems
        self._found: dict[ObjectKey, tuple[Finding, ...]] = {}
        self._waiting: dict[ObjectKey, Kind] = {}
        self._news: dict[ObjectKey, None] = {}

    def put(self, obj: dict[str, Any]) -> None:
        """An object is new or other than before."""
        kind = kinds.kind_of(text(obj, "apiVersion"), text(obj, "kind"))
        if kind not in FOLLOWED:
            return
        key = ObjectKey(kind[1], text(obj, "metadata", "namespace"), text(obj, "metadata", "name"))
        kept = reduced(obj)
        before = self.world.get(kind, key.namespace, key.name)
        if before is not None and before.obj == kept:
            return
        decoded = Decoded(key, None, self._problems(key, obj)) if kind in JUDGED else None
        self.world.put(Item(kept, decoded=decoded))
        if kind in JUDGED:
            self._waiting[key] = kind

    def remove(self, group: str, key: ObjectKey) -> None:
        """An object is gone."""
        kind = (group, key.kind)
        self.world.remove(kind, key)
        if kind in JUDGED:
            self.world.reads.forget(key)
            for known in (self._found, self._waiting, self._news):
                known.pop(key, None)

    def moved(self, keys: Iterable[Key]) -> None:
        """Entries of the mesh's view that have changed."""
        self.world.moved(keys)

    def findings(self, key: ObjectKey) -> tuple[Finding, ...]:
        """What is to be said of an object now, the worst first."""
        self._spread()
        if key in self._waiting:
            self._judge(key)
        return self._found.get(key, ())

    def step(self) -> bool:
        """Judge one object that waits for it; False: none does."""
        self._spread()
        if not self._waiting:
            return False
        self._judge(next(iter(self._waiting)))
        return True

    def news(self) -> tuple[ObjectKey, ...]:
        """The objects that were judged for the first time, or whose findings are others, since the last call."""
        news, self._news = tuple(self._news), {}
        return news

    @property
    def known(self) -> int:
        """How many findings there are."""
        return sum(map(len, self._found.values()))

    def _spread(self) -> None:
        for key in self.world.touched():
            if key not in self._waiting and (item := self.world.named(key)) is not None:
                self._waiting[key] = item.kind

    def _judge(self, key: ObjectKey) -> None:
        kind = self._waiting.pop(key)
        item = self.world.get(kind, key.namespace, key.name)
        if item is None:
            return
        self.judged += 1
        with self.world.recording() as seen:
            found = judge(self.world, item, _OF_KIND[kind])
        first = not self.world.reads.knows(key)
        self.world.reads.note(key, seen)
        self.defects.update((one.text, None) for one in found if one.message is INTERNAL_ERROR)
        kept = tuple(one for one in found if one.message is not INTERNAL_ERROR)
        before = self._found.get(key, ())
        if kept:
            self._found[key] = kept
        else:
            self._found.pop(key, None)
        if first or kept != before:
            self._news[key] = None
