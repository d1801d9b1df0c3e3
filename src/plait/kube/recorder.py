"""Events: what `kubectl describe` shows at its end.

Recording never waits and never fails: Events are a courtesy, the work they tell of is not held up by them.
An Event that repeats is counted, not written again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from plait.kube.backoff import Backoff
from plait.kube.errors import AlreadyExists, ApiError, NotFound, Unreachable
from plait.kube.kinds import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.kube.client import Object
    from plait.kube.kinds import Kind

log = logging.getLogger(__name__)

_REMEMBERED = 2048
_WAITING = 1000
_ATTEMPTS = 4
_MESSAGE_LIMIT = 1024


class Writes(Protocol):
    """The part of a client that a recorder needs."""

    async def create(self, kind: Kind, obj: Object) -> Object:
        """See `Client.create`."""
        ...

    async def patch(self, kind: Kind, name: str, namespace: str | None, body: Object) -> Object:
        """See `Client.patch`."""
        ...


class _Said(NamedTuple):
    """What makes two Events the same one."""

    namespace: str
    uid: str
    name: str
    field: str
    type: str
    reason: str
    message: str


class Recorder:
    """Writes Events in the name of `component`; `run` does the writing."""

    def __init__(
        self,
        client: Writes,
        component: str,
        *,
        host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._waiting: dict[_Said, tuple[Mapping[str, Any], datetime, int]] = {}
        self._written: OrderedDict[_Said, tuple[str, int]] = OrderedDict()
        self._signal = asyncio.Event()
        self._backoff = Backoff(first=0.2, most=5.0)

    def record(self, obj: Mapping[str, Any], *, reason: str, message: str, type: str, field: str = "") -> None:  # noqa: A002
        """Note an Event about `obj`, `type` being Normal or Warning; `field` names a part of it.

        When a thousand different ones wait, further ones are dropped: the API is away, and they would be stale.
        """
        meta = obj["metadata"]
        said = _Said(
            meta.get("namespace") or "default",
            meta.get("uid") or "",
            meta["name"],
            field,
            type,
            reason,
            message[:_MESSAGE_LIMIT],
        )
        _, _, count = self._waiting.get(said, (None, None, 0))
        if not count and len(self._waiting) >= _WAITING:
            log.warning("dropped an Event, %d wait: %s %s", len(self._waiting), reason, message)
            return
        self._waiting[said] = obj, self._clock(), count + 1
        self._signal.set()

    async def run(self) -> None:
        """Write Events as they come, until cancelled."""
        while True:
            await self._signal.wait()
            if not self._waiting:
                self._signal.clear()
                continue
            said = next(iter(self._waiting))
            obj, when, count = self._waiting.pop(said)
            # One name for all attempts: should only the answer get lost, the next attempt finds the Event there.
            name = f"{said.name[:230]}.{secrets.token_hex(8)}"
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    await self._write(said, obj, self._stamp(when), count=count, name=name)
                    break
                except Unreachable as error:
                    log.debug("cannot write an Event (attempt %d): %s", attempt, error)
                    await asyncio.sleep(self._backoff.wait(attempt))
                except ApiError as error:
                    # Usual in a namespace that is being deleted.
                    log.debug("the API refused an Event: %s", error)
                    break

    @staticmethod
    def _stamp(when: datetime) -> str:
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _write(self, said: _Said, obj: Mapping[str, Any], stamp: str, *, count: int, name: str) -> None:
        if said in self._written:
            known, before = self._written[said]
            try:
                body = {"count": before + count, "lastTimestamp": stamp}
                await self._client.patch(EVENT, known, said.namespace, body)
            except NotFound:
                del self._written[said]  # expired meanwhile
            else:
                self._written[said] = known, before + count
                self._written.move_to_end(said)
                return
        try:
            await self._client.create(EVENT, self._event(said, obj, name=name, stamp=stamp, count=count))
        except AlreadyExists:
            return  # the answer to an earlier attempt was lost, the Event was not
        self._written[said] = name, count
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, said: _Said, obj: Mapping[str, Any], *, name: str, stamp: str, count: int) -> Object:
        meta = obj["metadata"]
        involved = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": said.name,
            "uid": said.uid,
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        involved |= {"namespace": meta["namespace"]} if meta.get("namespace") else {}
        involved |= {"fieldPath": said.field} if said.field else {}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": said.namespace},
            "involvedObject": involved,
            "reason": said.reason,
            "message": said.message,
            "type": said.type,
            "source": {"component": self._component} | ({"host": self._host} if self._host else {}),
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": count,
        }
