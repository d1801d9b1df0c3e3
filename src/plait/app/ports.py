"""The host ports of a mesh: bound on loopback before anything else starts, so that a taken port is the first error."""

from __future__ import annotations

import socket
from collections.abc import Mapping

#: Host port by name: ingress HTTP and HTTPS, API server, console.
DEFAULT_PORTS = {"http": 8080, "https": 8443, "api": 6443, "console": 20001}


class PortTakenError(Exception):
    """A host port is in use by something else."""


def bind(ports: Mapping[str, int], *, auto: bool) -> dict[str, socket.socket]:
    """Listening sockets on 127.0.0.1 by name; with `auto` a taken port is replaced by a free one.

    Raises PortTakenError, with no socket left open.
    """
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in ports.items():
            sockets[name] = _listen(name, port, auto=auto)
    except PortTakenError:
        for opened in sockets.values():
            opened.close()
        raise
    return sockets


def _listen(name: str, port: int, *, auto: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        if not auto:
            listener.close()
            raise PortTakenError(
                f"port 127.0.0.1:{port} ({name}) cannot be bound: {error.strerror}. "
                f"Choose another with --port {name}=N, or free ones with --ports auto"
            ) from error
        listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener
