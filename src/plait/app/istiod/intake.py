"""Objects from the API into the builder and whoever else follows them."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from plait.api.decode import knows
from plait.api.meta import ObjectKey
from plait.sources.kubernetes import follow
from plait.xds.engine import Upsert

if TYPE_CHECKING:
    from plait.app.istiod.citadel import Citadel
    from plait.app.istiod.token_keys import TokenKeys
    from plait.delivery.analyst import Analyst
    from plait.delivery.builder import Builder
    from plait.delivery.health import Health
    from plait.delivery.joining import Registrar
    from plait.delivery.objects import Objects
    from plait.delivery.settled.settling import Settling
    from plait.kube.client import Client
    from plait.sources.addresses import AddressWriter

#: Kinds of programs that are in no pod.
_OF_WORKLOADS = frozenset({"WorkloadEntry", "WorkloadGroup"})
#: Kinds that decide which keys are wanted; namespaces and settings say which objects belong to the mesh.
TOKEN_KINDS = frozenset({"RequestAuthentication", "Namespace", "ConfigMap"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Where objects go that come from the API."""

    builder: Builder
    objects: Objects
    addresses: AddressWriter
    settling: Settling
    analyst: Analyst
    citadel: Citadel
    tokens: TokenKeys
    workloads: tuple[Registrar, Health]


async def intake(client: Client, to: Sinks) -> None:
    """Objects from the API into the builder, until cancelled. What istiod itself wrote into them changes nothing."""
    synced = False
    async with aclosing(follow(client)) as steps:  # type: ignore[type-var]
        async for step in steps:
            changes = []
            for change in step.changes:
                if isinstance(change, Upsert):
                    if not to.objects.put(change.obj):
                        continue
                else:
                    to.objects.remove(change.kind, change.namespace, change.name)
                    to.settling.removed(ObjectKey(change.kind, change.namespace, change.name))
                changes.append(change)
            if step.kind.kind in _OF_WORKLOADS:
                for change in changes:
                    meta = change.obj["metadata"] if isinstance(change, Upsert) else asdict(change)
                    for each in to.workloads:
                        each.take(step.kind.kind, str(meta["namespace"]), str(meta["name"]))
            if changes and knows(step.kind.group, step.kind.kind):
                to.builder.apply(changes, endpoints_only=step.endpoints_only)
                if step.kind.kind in TOKEN_KINDS:
                    to.tokens.look()
            to.analyst.take(changes)
            to.addresses.take(step)
            to.citadel.take(step)
            if step.complete and not synced:
                synced = True
                # Proxies have keys from before: those of now should be there before they are told anything.
                await to.tokens.begin()
                to.builder.synced()
                to.analyst.begin()
