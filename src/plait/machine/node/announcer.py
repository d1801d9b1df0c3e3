"""Tells the API the status of one pod, whenever it has changed and only then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError, Conflict, NotFound
from plait.kube.kinds import POD
from plait.machine.node.tries import Tries

if TYPE_CHECKING:
    from plait.kube.client import Client

log = logging.getLogger(__name__)


class Announcer:
    """`status` makes the status from the one told before and the time."""

    def __init__(
        self, client: Client, pod: Mapping[str, Any], status: Callable[[Mapping[str, Any], float], dict[str, Any]]
    ) -> None:
        self._client = client
        self._name, self._namespace, self._uid = (pod["metadata"][key] for key in ("name", "namespace", "uid"))
        self._status = status
        self._told: Mapping[str, Any] = pod.get("status") or {}
        self._dirty = asyncio.Event()
        #: Set once the API has been told, or knew already, what is true of this pod.
        self.told = asyncio.Event()

    def changed(self) -> None:
        """There may be something to tell."""
        self._dirty.set()

    async def run(self) -> None:
        """Tell until cancelled; changes that come while the API is slow become one."""
        tries = Tries()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            status = self._status(self._told, time.time())
            if all(self._told.get(key) == value for key, value in status.items()):
                self.told.set()
                continue
            body = {"metadata": {"uid": self._uid}, "status": status}
            try:
                await self._client.patch(POD, self._name, self._namespace, body, subresource="status")
            except (NotFound, Conflict):
                self.told.set()
                continue  # it is gone, or another one of that name is there: the watch will say so
            except ApiError as error:
                log.warning("status of pod %s/%s: %s", self._namespace, self._name, error)
                await tries.wait()
                self._dirty.set()
            else:
                tries.succeeded()
                self._told = {**self._told, **status}
                self.told.set()
