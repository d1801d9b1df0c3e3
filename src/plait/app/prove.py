"""Whether proxies would load what a change makes of their configuration: asked of a scratch Envoy before it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plait.app.objects.plan import Item, Plan
from plait.app.what_if import Mesh, mesh_of
from plait.kube.client import Client
from plait.mesh.node import ProxyNode
from plait.trial.proof import Proofs, Refused
from plait.xds.engine import Change, Upsert

#: How long a person is made to wait.
PATIENCE: Final = 10.0
#: So many patches of one object are tried alone.
_PATCHES: Final = 16
#: Groups whose objects can make Envoy refuse something; a Service or a pod only adds more of the same.
_GROUPS: Final = ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
#: Stands in for the pods that come with the objects, in the same namespace.
_STAND_IN: Final = "10.42.0.254"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """A resource that Envoy would refuse, with the objects it is made from (`KIND/NAMESPACE/NAME`)."""

    refused: Refused
    objects: tuple[str, ...]

    def __str__(self) -> str:
        kind = self.refused.type_url.rpartition(".")[2]
        what = f"{kind} {self.refused.name}".strip()
        return f"Envoy would not load {what}: {self.refused.words}"


def concerns_envoy(obj: Mapping[str, Any]) -> bool:
    """Whether an object is of a kind that is asked about."""
    return str(obj.get("apiVersion") or "").partition("/")[0] in _GROUPS


async def objections(
    mesh: Mesh, changes: Sequence[Change], proofs: Proofs, *, seconds: float = PATIENCE
) -> tuple[Objection, ...]:
    """What Envoy has against a change. The mesh is as changed afterwards.

    Asked are the resources that would be new or different for the mesh's proxies, and for a proxy that the objects
    select. Raises TimeoutError, and FileNotFoundError where there is no Envoy.
    """
    for node in _stand_ins(each.obj for each in changes if isinstance(each, Upsert)):
        mesh.nodes.setdefault((node.namespace, node.pod), node)
    new = [each.new for each in mesh.difference(changes) if each.new is not None]
    found = await proofs.refused(new, seconds=seconds)
    versions = {(each.type_url, each.name): each.version for each in new}
    return tuple(
        Objection(
            refused=each,
            objects=mesh.engine.origin_of(each.type_url, each.name, versions.get((each.type_url, each.name), "")),
        )
        for each in found
    )


def _stand_ins(objects: Iterable[Any]) -> Iterable[ProxyNode]:
    """Proxies as the objects may be for, whether or not such pods run yet."""
    for number, obj in enumerate(objects):
        spec, metadata = obj.get("spec") or {}, obj.get("metadata") or {}
        selector = (spec.get("workloadSelector") or {}).get("labels") or {}
        gateway = spec.get("selector") if obj.get("kind") == "Gateway" else None
        labels = gateway if isinstance(gateway, Mapping) else selector
        yield ProxyNode(
            kind="router" if gateway is not None else "sidecar",
            ip=_STAND_IN,
            pod=f"stand-in-{number}",
            namespace=metadata.get("namespace") or "default",
            labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
            certificates=True,
        )


async def prove(
    client: Client, plan: Plan, pairs: Sequence[tuple[Any, Mapping[str, Any]]], proofs: Proofs
) -> tuple[list[str], list[str]]:
    """Faults and warnings about a plan, from its objects as they are and as they would be. Raises ApiError."""
    changed = [(item, new) for item, (live, new) in zip(plan.items, pairs, strict=True) if live != new]
    if not any(concerns_envoy(new) for _, new in changed):
        return [], []
    return await judged(await mesh_of(client), changed, proofs)


async def judged(
    mesh: Mesh,
    changed: Sequence[tuple[Item, Mapping[str, Any]]],
    proofs: Proofs,
    *,
    seconds: float = PATIENCE,
) -> tuple[list[str], list[str]]:
    """Faults, one for each object that Envoy refuses, and warnings about changes of a mesh, after `seconds` at most.

    A refusal of something that none of these objects has made is no reason to hold them up, and so only a warning.
    """
    faults: list[str] = []
    warnings: list[str] = []
    left, now = list(changed), mesh
    try:
        async with asyncio.timeout(seconds):
            # Envoy stops at the first fault: what is left without its object is asked about again.
            while found := await objections(now, [Upsert(new) for _, new in left], proofs):
                (each,) = found
                # The rules of users come first: a Service is seldom to blame.
                makers = [pair for pair in left if _key(pair[1]) in each.objects and concerns_envoy(pair[1])]
                if not makers:
                    warnings.append(f"{each} (made from {', '.join(each.objects) or 'nothing of this'})")
                    break
                item, new, each = await _guilty(mesh, makers, each, proofs)
                path = await _path(mesh.again(), new, proofs)
                faults.append(f"{item.given.where(path)}: {item.title}: {path + ': ' if path else ''}{each}")
                left, now = [pair for pair in left if pair[1] is not new], mesh.again()
    except TimeoutError:
        tried = "not everything was tried" if faults else "not tried"
        warnings.append(f"{tried} on a scratch Envoy: that would have taken longer than {seconds:g} s")
    except FileNotFoundError as error:
        warnings.append(f"not tried on a scratch Envoy: {error}")
    return list(dict.fromkeys(faults)), warnings


async def _guilty(
    mesh: Mesh, makers: Sequence[tuple[Item, Mapping[str, Any]]], said: Objection, proofs: Proofs
) -> tuple[Item, Mapping[str, Any], Objection]:
    """Which of the objects that made a resource is to blame, with what Envoy says of it: the first that is refused
    without the others, and the first of all if none is.
    """
    for item, new in makers if len(makers) > 1 else ():
        for each in await objections(mesh.again(), [Upsert(new)], proofs):
            if _key(new) in each.objects:
                return item, new, each
    return *makers[0], said


def _key(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    return f"{obj.get('kind')}/{metadata.get('namespace') or ''}/{metadata.get('name')}"


async def _path(mesh: Mesh, obj: Mapping[str, Any], proofs: Proofs) -> str:
    """Which patch of an EnvoyFilter is refused, by trying each alone; empty where it cannot be said."""
    patches = (obj.get("spec") or {}).get("configPatches") or []
    if obj.get("kind") != "EnvoyFilter":
        return ""
    for place, patch in enumerate(patches[:_PATCHES]):
        alone = {**obj, "spec": {**obj["spec"], "configPatches": [patch]}}
        if len(patches) == 1 or await objections(mesh, [Upsert(alone)], proofs):
            return f"spec.configPatches[{place}]"
    return ""
