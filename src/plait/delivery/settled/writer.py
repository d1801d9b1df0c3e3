"""Writes what is known of objects into their status, through the Kubernetes API."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from plait.delivery.settled.status import status_patch
from plait.kube import kinds
from plait.kube.backoff import Backoff
from plait.kube.errors import ApiError, NotFound, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.analyze.finding import Finding
    from plait.api.meta import ObjectKey
    from plait.delivery.objects import Objects
    from plait.delivery.settled.status import Told
    from plait.kube.client import Object
    from plait.kube.kinds import Kind

log = logging.getLogger(__name__)

#: What is not final is written when it lasts: an object that settles within this time is written once.
_PATIENCE = 0.25
_WORKERS = 4
_KINDS = {
    kind.kind: kind
    for kind in (
        kinds.VIRTUALSERVICE,
        kinds.DESTINATIONRULE,
        kinds.GATEWAY,
        kinds.SERVICEENTRY,
        kinds.WORKLOADENTRY,
        kinds.SIDECAR,
        kinds.ENVOYFILTER,
        kinds.PEERAUTHENTICATION,
        kinds.AUTHORIZATIONPOLICY,
        kinds.REQUESTAUTHENTICATION,
        kinds.WORKLOADGROUP,
        kinds.PROXYCONFIG,
    )
}


class Patches(Protocol):
    """The part of a client that is needed."""

    async def patch(
        self, kind: Kind, name: str, namespace: str | None, body: Object, *, subresource: str | None = None
    ) -> Object:
        """See `Client.patch`."""
        ...


class StatusWriter:
    """Only the newest word on each object waits to be written; what is final goes before the rest.

    `findings` says what analysis knows of an object, `unserved` what it lacks, `health` whether a program in no
    pod is ready; they are asked when it is written.
    """

    def __init__(
        self,
        client: Patches,
        objects: Objects,
        *,
        findings: Callable[[ObjectKey], tuple[Finding, ...] | None] = lambda _: None,
        unserved: Callable[[ObjectKey], tuple[Finding, ...]] = lambda _: (),
        health: Callable[[ObjectKey], Mapping[str, str] | None] = lambda _: None,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._objects = objects
        self._findings = findings
        self._unserved = unserved
        self._health = health
        self._patience = patience
        self._clock = clock
        self._now: dict[ObjectKey, Told] = {}
        self._later: dict[ObjectKey, tuple[float, Told]] = {}
        self._some = asyncio.Event()
        self._backoff, self._failures = Backoff(), 0
        #: Status writes that reached the API.
        self.written = 0

    def put(self, key: ObjectKey, told: Told) -> None:
        """Note what is to be said."""
        if told.final or key in self._now:
            self._later.pop(key, None)
            self._now[key] = told
        else:
            due = self._later[key][0] if key in self._later else self._clock() + self._patience
            self._later[key] = due, told
        self._some.set()

    def remove(self, key: ObjectKey) -> None:
        """An object is deleted."""
        self._now.pop(key, None)
        self._later.pop(key, None)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_WORKERS):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            found = self._next()
            if found is not None:
                await self._write(*found)
                continue
            self._some.clear()
            first = next(iter(self._later.values()), None)
            try:
                async with asyncio.timeout(None if first is None else max(0.0, first[0] - self._clock())):
                    await self._some.wait()
            except TimeoutError:
                continue  # the first is due

    def _next(self) -> tuple[ObjectKey, Told] | None:
        if self._now:
            key = next(iter(self._now))
            return key, self._now.pop(key)
        # All wait equally long, so the first is due first.
        first = next(iter(self._later.items()), None)
        if first is None or first[1][0] > self._clock():
            return None
        key, (_, told) = first
        del self._later[key]
        return key, told

    async def _write(self, key: ObjectKey, told: Told) -> None:
        obj = self._objects.find(str(key))
        if obj is None:
            return
        words = told._replace(findings=self._findings(key), unserved=self._unserved(key), health=self._health(key))
        body = status_patch(obj, words, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if body is None:
            return
        try:
            answer = await self._client.patch(_KINDS[key.kind], key.name, key.namespace, body, subresource="status")
        except NotFound:
            return
        except Unreachable as error:
            self._failures += 1
            log.warning("status of %s: %s", key, error)
            await asyncio.sleep(self._backoff.wait(self._failures))
            # What came meanwhile is newer.
            if key not in self._now and key not in self._later:
                self.put(key, told)
            return
        except ApiError as error:
            # It will not get better by itself; the next change of the object tries anew.
            log.warning("status of %s: %s", key, error)
            return
        self._failures = 0
        self.written += 1
        self._note(key, answer)

    def _note(self, key: ObjectKey, answer: dict[str, Any]) -> None:
        """Take over the answer: the watch may take a moment, and the next status is compared with this one."""
        known = self._objects.find(str(key))
        if known is not None and answer.get("metadata", {}).get("uid") == known["metadata"].get("uid"):
            self._objects.note({**known, "status": answer.get("status")})
