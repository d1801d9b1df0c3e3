"""Whole kinds, followed: list, watch, and list again when the server has forgotten where we were.

The consumer gets batches, each the newest state of the objects that changed since its last one. A consumer that is
slow therefore gets larger batches, never a longer queue: what waits is bounded by the number of objects.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from plait.kube.backoff import Backoff
from plait.kube.errors import ApiError, Gone, NotFound, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence

    from plait.kube.client import Event, Listing, Object
    from plait.kube.kinds import Kind
log = logging.getLogger(__name__)

_WATCH_SECONDS = (300, 600)
_FRESH_AFTER = 5.0


class Source(Protocol):
    """The part of a client that a reflector needs."""

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        """See `Client.list`."""
        ...

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        fields: str | None = None,
        metadata_only: bool = False,
        timeout_seconds: int = 300,
    ) -> AsyncIterator[Event]:
        """See `Client.watch`."""
        ...


class Ref(NamedTuple):
    """Which object of a kind; `namespace` is empty for cluster-wide kinds."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Changes of one kind: `upserts` are whole objects, `deletes` their names.

    `synced` is True in exactly one batch of each kind, its first: the complete contents at that moment (which may be
    nothing). An object that was deleted and made anew between two batches is an upsert with another uid.
    """

    kind: Kind
    upserts: tuple[Object, ...]
    deletes: tuple[Ref, ...]
    synced: bool


async def reflect(
    client: Source,
    kinds: Iterable[Kind],
    *,
    namespace: str | None = None,
    fields: str | None = None,
    fields_of: Mapping[Kind, str] | None = None,
    metadata_only: bool = False,
    backoff: Backoff = Backoff(),  # noqa: B008  (frozen)
) -> AsyncGenerator[Batch, None]:
    """Batches for ever; wrap it in `contextlib.aclosing` when the loop may be left early.

    `fields_of` are field selectors of single kinds, in place of `fields`.

    With `metadata_only` the server sends nothing of an object but its metadata, if it can.

    A kind that the server does not know (404) is reported as synced and empty, and asked for again from time to time:
    its definition may be installed later.
    """
    inbox = Inbox()
    tasks = [
        asyncio.create_task(
            Reflector(
                client,
                kind,
                inbox,
                namespace=namespace,
                fields=(fields_of or {}).get(kind, fields),
                metadata_only=metadata_only,
                backoff=backoff,
            ).run(),
            name=f"reflect {kind.resource}",
        )
        for kind in kinds
    ]
    for task in tasks:
        task.add_done_callback(lambda _: inbox.wake())
    try:
        while True:
            await inbox.filled()
            for task in tasks:
                if task.done():
                    task.result()  # a reflector never ends but by a fault of ours: pass it on
            while (batch := inbox.take()) is not None:
                yield batch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Inbox:
    """Changes not yet taken, newest state per object."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, dict[Ref, Object | None]] = {}
        self._synced: set[Kind] = set()
        self._signal = asyncio.Event()

    def put(self, kind: Kind, ref: Ref, obj: Object | None) -> None:
        """Note the newest state of an object, None once it is gone."""
        self._waiting.setdefault(kind, {})[ref] = obj
        self._signal.set()

    def sync(self, kind: Kind) -> None:
        """Note that the first list of a kind is complete."""
        self._waiting.setdefault(kind, {})
        self._synced.add(kind)
        self._signal.set()

    def wake(self) -> None:
        """Let the consumer look, for whatever reason."""
        self._signal.set()

    async def filled(self) -> None:
        """Wait until there may be something to take."""
        await self._signal.wait()

    def take(self) -> Batch | None:
        """The changes of the kind that has waited longest."""
        kind = next(iter(self._waiting), None)
        if kind is None:
            self._signal.clear()
            return None
        changes = self._waiting.pop(kind)
        synced = kind in self._synced
        self._synced.discard(kind)
        return Batch(
            kind=kind,
            upserts=tuple(obj for obj in changes.values() if obj is not None),
            deletes=tuple(ref for ref, obj in changes.items() if obj is None),
            synced=synced,
        )


class Reflector:
    """Follows one kind into an inbox; remembers only which version of each object it has reported."""

    def __init__(
        self,
        client: Source,
        kind: Kind,
        inbox: Inbox,
        *,
        namespace: str | None,
        fields: str | None,
        metadata_only: bool,
        backoff: Backoff,
    ) -> None:
        self._client = client
        self._kind = kind
        self._inbox = inbox
        self._namespace = namespace
        self._fields = fields
        self._metadata_only = metadata_only
        self._backoff = backoff
        self._known: dict[Ref, str] = {}
        self._synced = False
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled; trouble with the server is logged and waited out."""
        while True:
            try:
                version = await self._list()
                await self._follow(version)
            except NotFound:
                self._replace(())
                self._trouble("the API does not serve it (yet)")
            except ApiError as error:
                self._trouble(str(error))
            await asyncio.sleep(self._backoff.wait(self._failures))

    async def _list(self) -> str:
        listing = await self._client.list(
            self._kind,
            self._namespace,
            fields=self._fields,
            metadata_only=self._metadata_only,
        )
        self._replace(listing.items)
        return listing.resource_version

    async def _follow(self, version: str) -> None:
        """Watch, again and again from where the last watch stopped, until only a list can help."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with aclosing(
                    self._client.watch(  # type: ignore[type-var]
                        self._kind,
                        self._namespace,
                        resource_version=version,
                        fields=self._fields,
                        metadata_only=self._metadata_only,
                        timeout_seconds=random.randint(*_WATCH_SECONDS),  # noqa: S311  (spreads reconnections)
                    )
                ) as events:
                    async for event in events:
                        version = event.object["metadata"]["resourceVersion"]
                        self._failures = 0
                        self._apply(event)
            except Gone:
                # Usual after a restart of the server. Twice in a row without an event between: not so usual, slow down.
                self._failures = self._failures + 1 if self._failures or loop.time() - began < _FRESH_AFTER else 0
                return
            except Unreachable as error:
                if loop.time() - began > _FRESH_AFTER:
                    self._failures = 0
                self._trouble(str(error))
            else:
                # A server that ends each watch at once must not be asked a thousand times a second.
                self._failures = 0 if loop.time() - began > _FRESH_AFTER else self._failures + 1
            await asyncio.sleep(self._backoff.wait(self._failures))

    def _apply(self, event: Event) -> None:
        if event.type == "BOOKMARK":
            return
        ref = ref_of(event.object)
        if event.type == "DELETED":
            if self._known.pop(ref, None) is not None:
                self._inbox.put(self._kind, ref, None)
        else:
            self._known[ref] = event.object["metadata"]["resourceVersion"]
            event.object["apiVersion"], event.object["kind"] = self._kind.api_version, self._kind.kind
            self._inbox.put(self._kind, ref, event.object)

    def _replace(self, items: Sequence[Object]) -> None:
        """Report how a list differs from what was reported before."""
        found: dict[Ref, str] = {}
        for obj in items:
            ref, version = ref_of(obj), obj["metadata"]["resourceVersion"]
            found[ref] = version
            if self._known.get(ref) != version:
                self._inbox.put(self._kind, ref, obj)
        for ref in self._known.keys() - found.keys():
            self._inbox.put(self._kind, ref, None)
        self._known = found
        if not self._synced:
            self._synced = True
            self._inbox.sync(self._kind)

    def _trouble(self, reason: str) -> None:
        self._failures += 1
        # A server that restarts breaks every watch once. Worth a word when it lasts: after 4, 16, 64, ... failures.
        loud = self._failures in {4**power for power in range(1, 12)}
        log.log(
            logging.WARNING if loud else logging.DEBUG,
            "cannot follow %s (attempt %d): %s",
            self._kind.resource,
            self._failures,
            reason,
        )


def ref_of(obj: Object) -> Ref:
    """Which object this is."""
    meta = obj["metadata"]
    return Ref(meta.get("namespace") or "", meta["name"])
