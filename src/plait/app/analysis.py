"""Analyses of files, of the running mesh, and of files against the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from plait.analyze import kinds
from plait.analyze.analysis import analyze
from plait.analyze.analyzer import found
from plait.analyze.fields import mapping, sequence
from plait.analyze.finding import Finding
from plait.analyze.messages import SCHEMA_ERROR, WRITTEN_TWICE
from plait.analyze.pods import PROXY
from plait.analyze.report import Place, Reported
from plait.analyze.suppress import Suppressions
from plait.analyze.world import PLAIT, Item, World
from plait.api.meta import ObjectKey
from plait.app.objects.given import Given
from plait.app.objects.validate import UNKNOWN_KIND, validator
from plait.app.system import manifests
from plait.kube.client import Client
from plait.kube.discovery import discover

#: The age of an object that is not in the mesh yet: it will be the youngest.
_NEW: Final = "9999-12-31T23:59:59Z"
#: Of the ingress on the host; which they are has no part in an analysis.
_USUAL_PORTS: Final = {"http": 8080, "https": 8443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which findings are shown: of one namespace, or of all."""

    namespace: str | None = None

    def holds(self, finding: Finding) -> bool:
        """Whether a finding is shown; what is in no namespace is everybody's, but for other namespaces themselves."""
        key = finding.object
        mine = key.name if key.kind == kinds.NAMESPACE[1] else key.namespace
        return self.namespace is None or mine in {"", self.namespace}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be analysed. `given` are the objects of files, `mesh` those of the running mesh (None: left out).

    `namespace` is where objects of files go that name none.
    """

    given: tuple[Given, ...] = ()
    mesh: tuple[Item, ...] | None = None
    namespace: str = "default"
    scope: Scope = field(default_factory=Scope)
    suppressions: Suppressions = field(default_factory=Suppressions)
    mesh_config: dict[str, Any] | None = None


async def objects_of_mesh(client: Client) -> tuple[Item, ...]:
    """Every object that analyzers look at, of all namespaces. Raises ApiError."""
    result: list[Item] = []
    for resource in await discover(client):
        kind = resource.kind
        if (kind.group, kind.kind) in kinds.READ and "list" in resource.verbs:
            result += [Item(obj) for obj in (await client.list(kind)).items]
    return tuple(result)


def answer(question: Question) -> tuple[Reported, ...]:
    """The findings, the worst first.

    Of files against the mesh: what is wrong with the files' objects, and what goes wrong with the mesh's because of
    them; not what was wrong before. Files alone are seen in a mesh as plait brings it up, with its ingress gateway.
    """
    surroundings = replace(PLAIT, mesh_config=question.mesh_config, now=datetime.now(UTC))
    world = World(_fresh_mesh() if question.mesh is None else question.mesh, surroundings)
    before = frozenset(map(_identity, analyze(world)) if question.given else ())
    written, twice = _put(world, question)
    result = [one for one in (*twice, *_refused(world, question)) if question.scope.holds(one.finding)]
    for finding in analyze(world, suppressions=question.suppressions):
        given = written.get((finding.group, finding.object))
        if given is not None and finding.message is SCHEMA_ERROR:
            # Of what is in files all is told that the door would say; see `_refused`.
            continue
        if question.mesh is None or written:
            news = given is not None or (question.mesh is not None and _identity(finding) not in before)
        else:
            news = True
        if news and question.scope.holds(finding):
            result.append(Reported(finding, _place(given, finding)))
    return tuple(sorted(result, key=lambda one: one.finding.message.order))


def _fresh_mesh() -> tuple[Item, ...]:
    items = tuple(map(Item, manifests(_USUAL_PORTS)))
    return (*items, *(pod for item in items if (pod := _pod_to_come(item)) is not None))


def _identity(finding: Finding) -> tuple[str, str | None, ObjectKey, str]:
    """What makes two findings the same, though their words may differ."""
    return finding.code, finding.group, finding.object, finding.path


#: Of these groups plait has every kind; in others there may be some that only the reader's cluster knows.
_OURS: Final = frozenset({"networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"})


def _refused(world: World, question: Question) -> Iterator[Reported]:
    """What the door would refuse in the files: unknown fields, broken rules of a kind, values without a meaning."""
    for given in question.given:
        item = Item(_completed(given.obj, question.namespace))
        for fault in validator().check(given.obj):
            if not fault.is_error or (fault.code == UNKNOWN_KIND and item.kind[0] not in _OURS):
                continue
            finding = Finding(
                message=SCHEMA_ERROR,
                object=item.key,
                group=item.kind[0],
                text=fault.message,
                path=fault.path,
                fix=fault.fix,
                value=fault.value,
            )
            if not question.suppressions.hides(world, finding):
                yield Reported(finding, _place(given, finding))


_Written: TypeAlias = dict[tuple[str | None, ObjectKey], Given]


def _put(world: World, question: Question) -> tuple[_Written, list[Reported]]:
    """Lay the files' objects over the mesh, with the pods that they will bring; and say which stand there twice."""
    written: _Written = {}
    twice: list[Reported] = []
    for given in question.given:
        item = Item(_completed(given.obj, question.namespace))
        old = world.get(item.kind, item.namespace, item.name)
        if question.mesh is not None:
            created = (old.obj["metadata"] if old is not None else {}).get("creationTimestamp") or _NEW
            item.obj["metadata"].setdefault("creationTimestamp", created)
            if old is not None and "status" in old.obj:
                item.obj.setdefault("status", old.obj["status"])
        world.put(item)
        place = item.kind[0], item.key
        if place in written:
            finding = found(WRITTEN_TWICE, item, "metadata.name", first=written[place].where())
            if not question.suppressions.hides(world, finding):
                twice.append(Reported(finding, _place(given, finding)))
        written[place] = given
        pod = _pod_to_come(item)
        if pod is not None:
            world.put(pod)
    if question.mesh is None:
        # Files that are applied to a namespace count on it, whoever makes it.
        for name in sorted({key.namespace for _, key in written} - {""}):
            if world.get(kinds.NAMESPACE, "", name) is None:
                world.put(Item({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    return written, twice


#: What makes pods of its template; Deployments have ReplicaSets do it.
_MAKERS: Final = frozenset(
    {kinds.DEPLOYMENT, ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet"), ("batch", "Job")}
)


def _pod_to_come(item: Item) -> Item | None:
    """The pod of a workload's template, by the workload's name: rules of the same files may select it."""
    template = mapping(item.spec, "template")
    if item.kind not in _MAKERS or not template:
        return None
    metadata = {**mapping(template, "metadata"), "name": item.name, "namespace": item.namespace}
    containers = [*sequence(template, "spec", "containers"), {"name": PROXY, "image": "proxy"}]
    return Item({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}})


def _completed(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A copy of an object, in a namespace if its kind has one."""
    metadata = dict(obj["metadata"])
    if kinds.kind_of(str(obj.get("apiVersion", "")), str(obj["kind"])) not in kinds.CLUSTER_SCOPED:
        metadata["namespace"] = metadata.get("namespace") or namespace
    metadata.setdefault("name", metadata.get("generateName", ""))
    return {**obj, "metadata": metadata}


def _place(given: Given | None, finding: Finding) -> Place | None:
    if given is None:
        return None
    line, column = given.position(finding.path)
    return Place(given.file, line, column)
