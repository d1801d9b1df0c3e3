"""What the node knows of Services: names for its DNS server, and VIPs for pods that no sidecar translates for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from plait.kube.client import Client
from plait.kube.kinds import ENDPOINTSLICE, SERVICE, SERVICEENTRY
from plait.kube.reflect import Batch, Ref, reflect
from plait.machine.services.dns_entries import EntryNames
from plait.machine.services.dns_names import Names
from plait.machine.services.vips import Vips

_SERVICE_NAME = "kubernetes.io/service-name"
Object = Mapping[str, Any]


class Services:
    """Services with their EndpointSlices as the API shows them, written into `names` and `vips` as they change.

    ServiceEntries go into `entries`.
    """

    def __init__(self, names: Names, vips: Vips, entries: EntryNames | None = None) -> None:
        self._names = names
        self._vips = vips
        self._entries = entries if entries is not None else EntryNames()
        self._services: dict[Ref, Object] = {}
        self._slices: dict[Ref, dict[Ref, Object]] = {}
        self._service_of: dict[Ref, Ref] = {}

    async def follow(self, client: Client, *, started: Callable[[], None]) -> AsyncGenerator[str, None]:
        """What to load into pods that have the VIPs' rules, which may be nothing, change by change; ends only when
        cancelled.
        """
        missing = {SERVICE, ENDPOINTSLICE, SERVICEENTRY}
        async with aclosing(reflect(client, [SERVICE, ENDPOINTSLICE, SERVICEENTRY])) as batches:
            async for batch in batches:
                if touched := self.take(batch):
                    yield "".join(self._refresh(ref) for ref in sorted(touched))
                if missing and batch.synced:
                    missing.discard(batch.kind)
                    if not missing:
                        started()

    def take(self, batch: Batch) -> set[Ref]:
        """Note a batch; the Services it concerns."""
        if batch.kind == SERVICEENTRY:
            for obj in batch.upserts:
                self._entries.update(obj)
            for ref in batch.deletes:
                self._entries.remove(ref.namespace, ref.name)
            return set()
        if batch.kind == SERVICE:
            for obj in batch.upserts:
                self._services[_ref(obj)] = obj
            for ref in batch.deletes:
                self._services.pop(ref, None)
            return {*map(_ref, batch.upserts), *batch.deletes}
        touched = set()
        for obj in batch.upserts:
            touched |= self._drop_slice(_ref(obj)) | self._put_slice(obj)
        for ref in batch.deletes:
            touched |= self._drop_slice(ref)
        return touched

    def _put_slice(self, obj: Object) -> set[Ref]:
        name = (obj["metadata"].get("labels") or {}).get(_SERVICE_NAME)
        if not name:
            return set()
        ref, service = _ref(obj), Ref(obj["metadata"]["namespace"], name)
        self._slices.setdefault(service, {})[ref] = obj
        self._service_of[ref] = service
        return {service}

    def _drop_slice(self, ref: Ref) -> set[Ref]:
        service = self._service_of.pop(ref, None)
        if service is None:
            return set()
        left = self._slices.get(service, {})
        left.pop(ref, None)
        if not left:
            self._slices.pop(service, None)
        return {service}

    def _refresh(self, ref: Ref) -> str:
        service = self._services.get(ref)
        if service is None:
            self._names.remove(ref.namespace, ref.name)
            return self._vips.remove(ref.namespace, ref.name)
        slices = tuple(self._slices.get(ref, {}).values())
        self._names.update(service, slices)
        return self._vips.update(service, slices)


def _ref(obj: Object) -> Ref:
    return Ref(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
