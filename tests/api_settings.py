"""Settings of an API server of the machine, run in a test."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from plait.machine.api.settings import ApiSettings


def api_settings(listening: socket.socket, *, pki: Path, folder: Path) -> ApiSettings:
    """It serves from the store in `folder`; `pki` holds what `plait.app.pki.ensure` makes."""
    return ApiSettings(
        sockets=(listening,),
        certificate=pki / "server.crt",
        key=pki / "server.key",
        ca=pki / "ca.crt",
        tokens=pki / "tokens.json",
        account_key=pki / "sa.key",
        store=folder / "store.db",
        node_socket=folder / "node.sock",
        service_network=IPv4Network("10.42.128.0/17"),
        api_vip=IPv4Address("10.42.128.1"),
        address=(IPv4Address("10.42.0.1"), 6443),
        version="0.0.0",
    )
