"""What the API server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Sockets, files and ranges.

    `sockets` are bound already. `certificate` (PEM, with intermediates) and `key` serve TLS; `ca` is the root that
    clients of pods get as kube-root-ca.crt. `tokens` is the tokens file, `account_key` the PEM key (EC P-256) that
    signs ServiceAccount tokens. `store` is the SQLite file, whose folder must exist. `address` is where the Service
    `kubernetes` leads to; `drop_to` the uid and gid to serve as, None to stay who we are. `unlimited` are resources
    whose limits cannot be enforced on this machine, each with the reason.
    """

    sockets: tuple[socket.socket, ...]
    certificate: Path
    key: Path
    ca: Path
    tokens: Path
    account_key: Path
    store: Path
    node_socket: Path
    service_network: IPv4Network
    api_vip: IPv4Address
    address: tuple[IPv4Address, int]
    version: str
    drop_to: int | None = None
    unlimited: Mapping[str, str] = field(default_factory=dict)
