"""Gateways against one another: of two that want one port for different things, the older gets it."""

from __future__ import annotations

from collections.abc import Iterator

from plait.api.gateway import Gateway, Server
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.mesh.check_destinations import warning
from plait.mesh.gateways import is_tcp
from plait.snapshot.reader import Reader


def check_gateway(reader: Reader, key: ObjectKey, gateway: Gateway) -> Iterator[Problem]:
    """The problems of one Gateway with older ones that select the same pods."""
    older: list[tuple[ObjectKey, Server]] = []
    for entry in reader.gateways():
        if entry.key == key:
            break
        other = reader.gateway(entry.key)
        if other is not None and other.spec.selector == gateway.spec.selector:
            older.extend((entry.key, server) for server in other.spec.servers)
    for index, server in enumerate(gateway.spec.servers):
        yield from _rivals(key, f"spec.servers[{index}]", server, older)


def _rivals(key: ObjectKey, path: str, server: Server, older: list[tuple[ObjectKey, Server]]) -> Iterator[Problem]:
    if server.port is None or (mine := is_tcp(server.port.protocol)) is None:
        return
    number = server.port.number
    first: bool | None = None
    for other, rival in older:
        if rival.port is None or (rival.port.number, rival.bind) != (number, server.bind):
            continue
        theirs = is_tcp(rival.port.protocol)
        first = theirs if first is None else first
        if first is not None and first != mine:
            message = (
                f"port {number} is not served as {server.port.protocol}: "
                f"{other} is older and serves {rival.port.protocol} there"
            )
            yield warning(key, f"{path}.port", message, "another port", number)
            return
        common = sorted(set(server.hosts) & set(rival.hosts)) if theirs == mine else []
        if common:
            message = f"{other} serves {', '.join(common)} on port {number} too: what is bound to either is merged"
            yield warning(key, f"{path}.hosts", message, "one Gateway, or hosts of its own", common)
