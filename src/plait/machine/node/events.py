"""Events about pods, as `kubectl describe` shows them: counted, not repeated."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

from plait.kube.errors import ApiError, NotFound
from plait.kube.kinds import EVENT
from plait.machine.node.record import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.kube.client import Client

Field = Literal["containers", "initContainers", "ephemeralContainers"]
"""Where in a pod's spec a container is."""

log = logging.getLogger(__name__)

_WAITING = 1000
_REMEMBERED = 4096


class Events:
    """Writes events in the background; the callers never wait. When the API is slow the newest are dropped, loudly."""

    def __init__(self, client: Client, *, node: str) -> None:
        self._client = client
        self._node = node
        self._queue: asyncio.Queue[tuple[tuple[str, ...], dict[str, Any]]] = asyncio.Queue(_WAITING)
        self._written: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    def pod(
        self,
        pod: Mapping[str, Any],
        reason: str,
        message: str,
        *,
        kind: Literal["Normal", "Warning"] = "Normal",
        container: str | None = None,
        field: Field = "containers",
        component: str = "kubelet",
    ) -> None:
        """Something happened to a pod or, if named, to one of its containers."""
        meta = pod["metadata"]
        involved = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if container is not None:
            involved["fieldPath"] = f"spec.{field}{{{container}}}"
        self._put(involved, reason, message, kind=kind, component=component, namespace=meta["namespace"])

    def node(self, node: Mapping[str, Any], reason: str, message: str) -> None:
        """Something happened to the node; such events live in the namespace `default`."""
        name = node["metadata"]["name"]
        involved = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"].get("uid", name)}
        self._put(involved, reason, message)

    def _put(
        self,
        involved: dict[str, str],
        reason: str,
        message: str,
        *,
        kind: str = "Normal",
        component: str = "kubelet",
        namespace: str = "default",
    ) -> None:
        now = time.time()
        key = (involved.get("uid", ""), involved.get("fieldPath", ""), reason, message, kind)
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{involved['name']}.{time.time_ns():x}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": component, "host": self._node}
            if component == "kubelet"
            else {"component": component},
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
            "reportingComponent": component,
            "reportingInstance": self._node if component == "kubelet" else "",
        }
        try:
            self._queue.put_nowait((key, event))
        except asyncio.QueueFull:
            log.warning("%d events wait for the API: %s of %s is dropped", _WAITING, reason, involved["name"])

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            key, event = await self._queue.get()
            try:
                await self._write(key, event)
            except ApiError as error:
                log.debug("event %s of %s: %s", event["reason"], event["involvedObject"]["name"], error)

    async def _write(self, key: tuple[str, ...], event: dict[str, Any]) -> None:
        if (known := self._written.get(key)) is not None:
            name, count = known
            change = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENT, name, event["metadata"]["namespace"], change)
            except NotFound:  # forgotten by the API: begin anew
                pass
            else:
                self._written[key] = (name, count + 1)
                self._written.move_to_end(key)
                return
        await self._client.create(EVENT, event)
        self._written[key] = (event["metadata"]["name"], 1)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
