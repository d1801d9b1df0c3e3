"""`python -m plait.machine.init.edge NAME=FD … door=FD`: what crosses the edge of the mesh, in both directions.

The named descriptors are listening sockets of the host; `door` is the channel for sockets towards the outside.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from functools import partial

from plait.machine.host_sockets import HostSockets
from plait.machine.init import outside, relay
from plait.machine.init.node_ports import NodePorts
from plait.machine.settings import MachineSettings

DOOR = "door"


async def serve(
    ports: Mapping[str, socket.socket],
    targets: relay.Targets,
    *,
    host: HostSockets | None = None,
    leaving: socket.socket | None = None,
) -> None:
    """Carry connections until cancelled.

    `host` gives sockets for node ports, which are looked at again on SIGHUP, and for connections that arrive on
    `leaving`, where those to the outside come.
    """
    async with asyncio.TaskGroup() as tasks:
        for name, listener in ports.items():
            inward = partial(relay.carry, name, targets=targets)
            tasks.create_task(relay.accept(name, listener, inward, tasks), name=f"port {name}")
        if host is not None:
            node_ports = NodePorts(targets, host, tasks)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, node_ports.look)
            node_ports.look()
        if host is not None and leaving is not None:
            outward = partial(outside.carry_out, host=host)
            tasks.create_task(relay.accept("outside", leaving, outward, tasks), name="outside")


async def run(ports: Mapping[str, socket.socket], door: socket.socket | None) -> None:
    """Carry connections as the mesh's settings say."""
    settings = MachineSettings.read()
    host = HostSockets(door) if door else None
    leaving = outside.listen(settings) if settings.outside != "off" else None
    await serve(ports, relay.Targets(relay.TARGETS), host=host, leaving=leaving)


def main() -> None:
    """Serve the inherited sockets named on the command line."""
    # Until somebody listens to it: the node may have news before this process has begun.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="relay %(levelname)s: %(message)s", stream=sys.stderr)
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sockets = {name: socket.socket(fileno=int(number)) for name, number in given.items()}
    door = sockets.pop(DOOR, None)
    asyncio.run(run(sockets, door))


if __name__ == "__main__":
    main()
