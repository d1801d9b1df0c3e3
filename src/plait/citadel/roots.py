"""The root certificate in every namespace, where pods find whom to trust: ConfigMap `istio-ca-root-cert`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.kube.backoff import Backoff
from plait.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound, Unreachable
from plait.kube.kinds import CONFIGMAP, NAMESPACE
from plait.kube.reflect import Source, reflect

if TYPE_CHECKING:
    from plait.kube.client import Object
    from plait.kube.kinds import Kind
    from plait.kube.reflect import Batch

log = logging.getLogger(__name__)

NAME: Final = "istio-ca-root-cert"
KEY: Final = "root-cert.pem"
#: Written at the same time: a mesh of many namespaces has a new root soon, and the API has others to serve.
_AT_ONCE: Final = 4
#: Seconds until what the API has refused is tried again.
_REFUSED: Final = 30.0


class Writes(Source, Protocol):
    """The part of a client that is needed."""

    async def create(self, kind: Kind, obj: Object) -> Object:
        """See `Client.create`."""
        ...

    async def patch(self, kind: Kind, name: str, namespace: str | None, body: Object) -> Object:
        """See `Client.patch`."""
        ...


class RootPublisher:
    """`want` says what is to be read there. Only namespaces whose ConfigMap is another, or is missing, are written."""

    def __init__(self, client: Writes) -> None:
        self._client = client
        self._wanted: str | None = None
        self._namespaces: set[str] = set()
        #: What is there, by namespace; None where it has no such key.
        self._found: dict[str, str | None] = {}
        self._synced: set[Kind] = set()
        self._due: dict[str, None] = {}
        self._signal = asyncio.Event()

    def want(self, roots: str) -> None:
        """PEM, one or more certificates."""
        if roots != self._wanted:
            self._wanted = roots
            self._look(*self._namespaces)

    async def run(self) -> None:
        """Keep them until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(_AT_ONCE):
                tasks.create_task(self._write_due(), name=f"roots {number}")
            fields = {CONFIGMAP: f"metadata.name={NAME}"}
            async with aclosing(reflect(self._client, [NAMESPACE, CONFIGMAP], fields_of=fields)) as batches:
                async for batch in batches:
                    self._take(batch)

    def _take(self, batch: Batch) -> None:
        if batch.kind == NAMESPACE:
            touched = {obj["metadata"]["name"]: obj for obj in batch.upserts}
            # Nothing can be made in a namespace that is going.
            going = {name for name, obj in touched.items() if obj["metadata"].get("deletionTimestamp")}
            self._namespaces |= touched.keys() - going
            self._namespaces -= going | {ref.name for ref in batch.deletes}
            names = [*touched]
        else:
            for obj in batch.upserts:
                self._found[obj["metadata"]["namespace"]] = (obj.get("data") or {}).get(KEY)
            for ref in batch.deletes:
                self._found.pop(ref.namespace, None)
            names = [
                *(obj["metadata"]["namespace"] for obj in batch.upserts),
                *(ref.namespace for ref in batch.deletes),
            ]
        if batch.synced:
            self._synced.add(batch.kind)
            names = [*self._namespaces]
        self._look(*names)

    def _look(self, *namespaces: str) -> None:
        """Note which of these are to be written. Before all has been read once nobody knows what is missing."""
        if self._wanted is None or len(self._synced) < 2:
            return
        for name in namespaces:
            if name in self._namespaces and self._found.get(name) != self._wanted:
                self._due[name] = None
                self._signal.set()

    async def _write_due(self) -> None:
        backoff, failures = Backoff(), 0
        while True:
            await self._signal.wait()
            if not self._due:
                self._signal.clear()
                continue
            namespace = next(iter(self._due))
            del self._due[namespace]
            try:
                await self._write(namespace)
                failures = 0
            except (NotFound, AlreadyExists, Conflict):
                pass  # somebody else was there: the watch says what there is now
            except Unreachable as error:
                failures += 1
                log.warning("ConfigMap %s/%s: %s", namespace, NAME, error)
                await asyncio.sleep(backoff.wait(failures))
                self._look(namespace)
            except ApiError as error:
                if not (isinstance(error, Forbidden) and error.namespace_terminating):
                    log.warning("ConfigMap %s/%s cannot be written: %s", namespace, NAME, error)
                    asyncio.get_running_loop().call_later(_REFUSED, self._look, namespace)

    async def _write(self, namespace: str) -> None:
        if namespace not in self._namespaces or self._found.get(namespace) == self._wanted:
            return
        data = {"data": {KEY: self._wanted}}
        if namespace in self._found:
            await self._client.patch(CONFIGMAP, NAME, namespace, data)
            return
        meta: dict[str, Any] = {"name": NAME, "namespace": namespace, "labels": {"istio.io/config": "true"}}
        await self._client.create(CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **data})
