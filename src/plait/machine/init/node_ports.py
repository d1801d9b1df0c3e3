"""Ports of Services on the host's loopback, NodePort and LoadBalancer: opened and closed as the node's file says."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from plait.machine.host_sockets import HostSockets
from plait.machine.init.relay import Targets, accept, carry

log = logging.getLogger(__name__)


class NodePorts:
    """Names of `targets` that are `PORT` or `ADDRESS:PORT` are to be opened. `look` again when the file has changed."""

    def __init__(self, targets: Targets, host: HostSockets, tasks: asyncio.TaskGroup) -> None:
        self._targets = targets
        self._host = host
        self._tasks = tasks
        self._open: dict[str, asyncio.Task[None]] = {}

    def look(self) -> None:
        """Open what is new, close what is gone. Connections that stand go on."""
        wanted = {name for name in self._targets.names if name.rpartition(":")[2].isdigit()}
        for name in self._open.keys() - wanted:
            self._open.pop(name).cancel()
        for name in wanted - self._open.keys():
            self._open[name] = self._tasks.create_task(self._serve(name), name=f"node port {name}")

    async def _serve(self, name: str) -> None:
        try:
            address, _, port = name.rpartition(":")
            listener = await self._host.listen(int(port), address)
        except (OSError, TimeoutError) as error:
            # The node has told whoever made the Service; the next change of any of them tries again.
            log.warning("node port %s: %s", name, getattr(error, "strerror", None) or "timed out")
            self._open.pop(name, None)
            return
        with listener:
            await accept(name, listener, partial(carry, name, targets=self._targets), self._tasks)
