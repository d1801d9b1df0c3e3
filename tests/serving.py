"""Servers of the standard library, run beside a test."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(*servers: socketserver.BaseServer) -> Iterator[None]:
    """They answer, each from a thread of its own, until the block ends; then they are closed."""
    threads = [
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True) for each in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in servers:
            each.shutdown()
            each.server_close()
        for thread in threads:
            thread.join()


def with_tls(server: socketserver.TCPServer, certificate: Path, key: Path) -> None:
    """Let a server speak TLS with this certificate.

    The handshake is that of who reads first, which is the thread of the connection: one that stands still holds up
    nobody else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
