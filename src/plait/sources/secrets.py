"""The Secrets that proxies ask for, and no others.

Each is watched by its name, so that istiod reads nothing of a namespace but the certificates that a Gateway or a
DestinationRule refers to. Of a namespace with many of them all Secrets are watched at once and what nobody asks for is
dropped unread.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from plait.kube.kinds import SECRET
from plait.kube.reflect import Ref, ref_of, reflect
from plait.xds.engine import Change, Remove, Upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plait.kube.reflect import Batch, Source

#: From how many Secrets of a namespace on one watch of all is better than a watch of each.
_MANY: Final = 16


class SecretSource:
    """`want` says which Secrets are needed; `run` follows them and hands changes on.

    `changed` is also called, without changes, when it has become clear that a Secret does not exist.
    """

    def __init__(self, client: Source, changed: Callable[[tuple[Change, ...]], None]) -> None:
        self._client = client
        self._changed = changed
        self._wanted: frozenset[Ref] = frozenset()
        self._looked: set[Ref] = set()
        self._tasks: dict[Ref, asyncio.Task[None]] = {}
        self._signal = asyncio.Event()

    def want(self, secrets: Iterable[tuple[str, str]]) -> None:
        """The (namespace, name) of all Secrets that are needed from now on."""
        wanted = frozenset(Ref(*secret) for secret in secrets)
        if wanted != self._wanted:
            self._wanted = wanted
            self._signal.set()

    def known(self, secret: tuple[str, str]) -> bool:
        """Whether it has been looked for: it was handed on, or is not there."""
        return Ref(*secret) in self._looked

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._signal.wait()
                self._signal.clear()
                self._forget()
                followed = self._followed()
                for ref in self._tasks.keys() - followed:
                    self._tasks.pop(ref).cancel()
                for ref in followed - self._tasks.keys():
                    self._tasks[ref] = tasks.create_task(self._follow(ref), name=f"secrets of {ref.namespace}")

    def _followed(self) -> set[Ref]:
        """What to watch: Secrets, or whole namespaces (without a name)."""
        many = Counter(ref.namespace for ref in self._wanted)
        return {Ref(ref.namespace, ref.name if many[ref.namespace] < _MANY else "") for ref in self._wanted}

    def _forget(self) -> None:
        gone = self._looked - self._wanted
        self._looked -= gone
        if gone:
            self._changed(tuple(Remove(SECRET.group, SECRET.kind, ref.namespace, ref.name) for ref in gone))

    async def _follow(self, ref: Ref) -> None:
        fields = f"metadata.name={ref.name}" if ref.name else None
        async with aclosing(reflect(self._client, [SECRET], namespace=ref.namespace, fields=fields)) as batches:
            async for batch in batches:
                self._take(ref, batch)

    def _take(self, ref: Ref, batch: Batch) -> None:
        here = {each for each in self._wanted if each.namespace == ref.namespace and ref.name in {"", each.name}}
        changes: list[Change] = [Upsert(obj) for obj in batch.upserts if ref_of(obj) in here]
        changes += [Remove(SECRET.group, SECRET.kind, *gone) for gone in batch.deletes if gone in here]
        self._looked |= here
        if changes or batch.synced:
            self._changed(tuple(changes))
