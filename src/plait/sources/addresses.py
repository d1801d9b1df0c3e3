"""Writes the addresses that ServiceEntries without any are given into their status."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from plait.api.decode import decode
from plait.api.meta import ObjectKey
from plait.api.serviceentry import ServiceEntry
from plait.kube.backoff import Backoff
from plait.kube.errors import ApiError, NotFound, Unreachable
from plait.kube.kinds import SERVICEENTRY
from plait.mesh.allocation import Addresses, Allocator, in_order
from plait.xds.engine import Remove, Upsert

if TYPE_CHECKING:
    from plait.kube.client import Object
    from plait.kube.kinds import Kind
    from plait.sources.kubernetes import Step

log = logging.getLogger(__name__)


class Patches(Protocol):
    """The part of a client that is needed."""

    async def patch(
        self, kind: Kind, name: str, namespace: str | None, body: Object, *, subresource: str | None = None
    ) -> Object:
        """See `Client.patch`."""
        ...


class AddressWriter:
    """Follows ServiceEntries; `run` does the writing. Only the newest word on each entry waits to be written."""

    def __init__(self, client: Patches) -> None:
        self._client = client
        self._allocator = Allocator()
        self._early: dict[ObjectKey, ServiceEntry] | None = {}
        self._waiting: dict[ObjectKey, Addresses] = {}
        self._some = asyncio.Event()

    def take(self, step: Step) -> None:
        """Note what changed. Nothing is given away before every entry has been read once."""
        if step.kind == SERVICEENTRY:
            for change in step.changes:
                if isinstance(change, Remove):
                    self._remove(ObjectKey(change.kind, change.namespace, change.name))
                elif isinstance(change, Upsert):
                    decoded = decode(change.obj)
                    if decoded.key is not None and isinstance(decoded.value, ServiceEntry):
                        self._put(decoded.key, decoded.value)
        if step.complete and self._early is not None:
            early, self._early = self._early, None
            for key, entry in in_order(early.items()):
                self._put(key, entry)

    def _put(self, key: ObjectKey, entry: ServiceEntry) -> None:
        if self._early is not None:
            self._early[key] = entry
            return
        addresses = self._allocator.put(key, entry)
        if addresses is None:
            self._waiting.pop(key, None)
        else:
            self._waiting[key] = addresses
            self._some.set()

    def _remove(self, key: ObjectKey) -> None:
        if self._early is not None:
            self._early.pop(key, None)
        self._waiting.pop(key, None)
        self._allocator.remove(key)

    async def run(self) -> None:
        """Write until cancelled; the API's failures are tried again."""
        backoff, failures = Backoff(), 0
        while True:
            await self._some.wait()
            if not self._waiting:
                self._some.clear()
                continue
            key = next(iter(self._waiting))
            addresses = self._waiting[key]
            try:
                await self._client.patch(SERVICEENTRY, key.name, key.namespace, _body(addresses), subresource="status")
            except NotFound:
                pass  # deleted meanwhile
            except Unreachable as error:
                log.warning("addresses of %s: %s", key, error)
                failures += 1
                await asyncio.sleep(backoff.wait(failures))
                continue
            except ApiError as error:
                # It will not get better by itself; a change of the entry tries anew.
                log.warning("addresses of %s: %s", key, error)
            failures = 0
            if self._waiting.get(key) == addresses:
                del self._waiting[key]


def _body(addresses: Addresses) -> dict[str, Any]:
    return {"status": {"addresses": [{"value": value, "host": host} for host, value in addresses] or None}}
