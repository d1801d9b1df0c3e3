"""A connection with TLS on it."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from plait.load import log as levels
from plait.load.answer import Shapes
from plait.load.connection import Connection, Loop, Plan
from plait.load.log import Log

Given = TypeVar("Given")
Got = TypeVar("Got")


def context(*, verify: bool, ca: str = "", cert: str = "", key: str = "") -> ssl.SSLContext:
    """How to greet servers; paths of PEM files. Raises OSError (ssl.SSLError for what is not PEM)."""
    made = ssl.create_default_context(cafile=ca or None)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if cert and key:
        made.load_cert_chain(Path(cert), Path(key))
    return made


class TlsConnection(Connection):
    """Greets with TLS first. Reads on while OpenSSL holds data that epoll cannot see."""

    __slots__ = ("_context", "_name")

    def __init__(
        self, number: int, plan: Plan, loop: Loop, log: Log, shapes: Shapes, *, tls: ssl.SSLContext, name: str
    ) -> None:
        self._context, self._name = tls, name
        super().__init__(number, plan, loop, log, shapes)

    def _established(self) -> None:
        assert self._sock is not None  # noqa: S101 -- it is what was established
        self._loop.remove(self._fd)
        self._sock = self._context.wrap_socket(
            self._sock, server_hostname=self._name, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        self._fd = self._sock.fileno()
        self._loop.add(self._fd, select.EPOLLOUT, self._on_handshake)
        self._on_handshake(0)

    def _on_handshake(self, _events: int) -> None:
        sock = self._sock
        assert isinstance(sock, ssl.SSLSocket)  # noqa: S101
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.change(self._fd, select.EPOLLIN, self._on_handshake)
        except ssl.SSLWantWriteError:
            self._loop.change(self._fd, select.EPOLLOUT, self._on_handshake)
        except OSError as error:
            self._log.write(levels.ERROR, "Unable to TLS connect", err=str(error), **self._who())
            self.close()
            self._finish(-1, 0, 0)
        else:
            super()._established()

    def _calls(self, sock: socket.socket) -> tuple[Callable[[int], bytes], Callable[[bytes], int]]:
        return _patient(sock.recv), _patient(sock.send)

    def _on_read(self, events: int) -> None:
        super()._on_read(events)
        sock: socket.socket | None = self._sock
        while isinstance(sock, ssl.SSLSocket) and sock is self._sock and sock.pending():
            super()._on_read(events)


def _patient(call: Callable[[Given], Got]) -> Callable[[Given], Got]:
    """The same call, saying in the words of plain sockets that it has to wait."""

    def patient(argument: Given) -> Got:
        try:
            return call(argument)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    return patient
