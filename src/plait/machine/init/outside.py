"""Carries pods' connections to addresses outside the mesh over sockets that the host gives.

The node's rules turn every TCP connection that leaves the mesh range to `PORT` on the bridge; where it was going is
kept by the kernel (SO_ORIGINAL_DST). What a sidecar's policy forbids never gets here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from plait.machine.host_sockets import HostSockets, host_alias
from plait.machine.init.relay import Half, reset
from plait.machine.settings import MachineSettings

log = logging.getLogger(__name__)

PORT: Final = 15190
_SO_ORIGINAL_DST: Final = 80
_BACKLOG: Final = 1024


def rules(settings: MachineSettings) -> str:
    """The node's nft text; empty where nothing may leave."""
    if settings.outside == "off":
        return ""
    own = f"ip daddr {host_alias(settings.pod_network)} meta l4proto tcp redirect to :{PORT}\n"
    return (
        "add table ip plait_outside\n"
        "delete table ip plait_outside\n"
        "table ip plait_outside {\n"
        " chain leave { type nat hook prerouting priority -90; policy accept;\n"
        f"  {own if settings.outside == 'host' else ''}"
        f"  ip daddr {settings.network} return\n"
        f'  iifname "plait0" meta l4proto tcp redirect to :{PORT}\n'
        " }\n"
        "}\n"
    )


def listen(settings: MachineSettings) -> socket.socket:
    """Where the node's rules lead. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((str(settings.bridge_ip), PORT))
    listener.listen(_BACKLOG)
    return listener


async def carry_out(client: socket.socket, host: HostSockets) -> None:
    """Join an accepted client with a connection from the host to where it was going; without one, reset it."""
    try:
        address, port = _wanted(client)
    except OSError:
        # It came here by itself, not by the rules.
        reset(client)
        return
    try:
        outer = await host.connect(address, port)
    except (OSError, TimeoutError) as error:
        log.info("outside: %s:%d: %s", address, port, getattr(error, "strerror", None) or "timed out")
        reset(client)
        return
    for each in (client, outer):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    _, outer_side = await loop.connect_accepted_socket(Half, outer)
    _, client_side = await loop.connect_accepted_socket(Half, client)
    outer_side.join(client_side)


def _wanted(client: socket.socket) -> tuple[str, int]:
    port, address = struct.unpack_from("!2xH4s", client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    return str(IPv4Address(address)), port
