"""Objects of the mesh from a Kubernetes API, as the changes the core takes in."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.api.mesh_settings import NAME as SETTINGS
from plait.kube.kinds import (
    AUTHORIZATIONPOLICY,
    CONFIGMAP,
    DESTINATIONRULE,
    ENDPOINTSLICE,
    ENVOYFILTER,
    GATEWAY,
    INGRESS,
    INGRESSCLASS,
    NAMESPACE,
    NODE,
    PEERAUTHENTICATION,
    POD,
    PROXYCONFIG,
    REQUESTAUTHENTICATION,
    SERVICE,
    SERVICEENTRY,
    SIDECAR,
    VIRTUALSERVICE,
    WORKLOADENTRY,
    WORKLOADGROUP,
)
from plait.kube.reflect import reflect
from plait.xds.engine import Change, Remove, Upsert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plait.kube.kinds import Kind
    from plait.kube.reflect import Batch, Source

#: What the mesh's configuration is made of, and what else is looked at for what is wrong with it.
KINDS = (
    NAMESPACE,
    NODE,
    CONFIGMAP,
    SERVICE,
    ENDPOINTSLICE,
    POD,
    VIRTUALSERVICE,
    DESTINATIONRULE,
    ENVOYFILTER,
    GATEWAY,
    SERVICEENTRY,
    WORKLOADENTRY,
    SIDECAR,
    PEERAUTHENTICATION,
    AUTHORIZATIONPOLICY,
    REQUESTAUTHENTICATION,
    WORKLOADGROUP,
    PROXYCONFIG,
    INGRESS,
    INGRESSCLASS,
)
#: Of all ConfigMaps only the mesh's settings.
_FIELDS = {CONFIGMAP: f"metadata.name={SETTINGS}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Changes of one kind; `complete` from the step on with which every kind has been read once."""

    kind: Kind
    changes: tuple[Change, ...]
    complete: bool

    @property
    def endpoints_only(self) -> bool:
        """Whether only endpoints changed: the one kind of change that must never wait."""
        return self.kind == ENDPOINTSLICE


async def follow(client: Source, kinds: Sequence[Kind] = KINDS) -> AsyncIterator[Step]:
    """Steps for ever; wrap it in `contextlib.aclosing` when the loop may be left early."""
    missing = set(kinds)
    async with aclosing(reflect(client, kinds, fields_of=_FIELDS)) as batches:
        async for batch in batches:
            if batch.synced:
                missing.discard(batch.kind)
            yield Step(kind=batch.kind, changes=_changes(batch), complete=not missing)


def _changes(batch: Batch) -> tuple[Change, ...]:
    kind = batch.kind
    gone = (Remove(kind.group, kind.kind, ref.namespace, ref.name) for ref in batch.deletes)
    return (*(Upsert(obj) for obj in batch.upserts), *gone)
