"""A connection to a scratch Envoy: a PROXY header that says whom the caller meant, then bytes, or TLS and bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from plait.simulate.call import Call
from plait.trial.certificates import Certificates, Realm

_CHUNK = 65536
#: First bytes of TLS records: alert and handshake. All else is an answer in the clear.
_TLS = (0x15, 0x16)


class RefusedError(Exception):
    """The connection ended before it could be used, or its TLS failed."""


class Connection:
    """Bytes to and from Envoy. `protocol` is what ALPN agreed on.

    What is sent goes out with the next `receive`, all at once: an end that has said what it has to say closes, and what
    is sent to it after that is nobody's loss.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._waiting = b""
        self._back = b""
        self.protocol: str | None = None

    async def shake_hands(self, context: ssl.SSLContext, name: str) -> None:
        """Become TLS; raises RefusedError. An end that answers in the clear is left in the clear."""
        tls = context.wrap_bio(self._in, self._out, server_hostname=name or None)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._waiting += self._out.read()
                data = await self._raw()
                if not data:
                    raise RefusedError("closed during the handshake") from None
                if data[0] not in _TLS and tls.version() is None:
                    self._back = data
                    return
                self._in.write(data)
            except (ssl.SSLError, ValueError) as error:
                raise RefusedError(str(error)) from error
        self._tls, self.protocol = tls, tls.selected_alpn_protocol()
        self._waiting += self._out.read()

    @property
    def in_the_clear(self) -> bool:
        """Whether an answer has come without TLS."""
        return bool(self._back) and self._tls is None

    def send(self, data: bytes) -> None:
        """Have bytes sent with the next `receive`."""
        if self._tls is None:
            self._waiting += data
        else:
            self._tls.write(data)
            self._waiting += self._out.read()

    def give_back(self, data: bytes) -> None:
        """Have the next `receive` return these again."""
        self._back = data + self._back

    async def receive(self) -> bytes:
        """Some bytes, empty at the end. Raises RefusedError if TLS breaks, as it does for a certificate refused."""
        if self._back:
            data, self._back = self._back, b""
            return data
        if self._tls is None:
            return await self._raw()
        while True:
            try:
                return bytes(self._tls.read(_CHUNK))
            except ssl.SSLWantReadError:
                more = await self._raw()
                if not more:
                    return b""
                self._in.write(more)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise RefusedError(str(error)) from error

    async def _raw(self) -> bytes:
        if self._waiting:
            data, self._waiting = self._waiting, b""
            with suppress(ConnectionError):  # closed already; what it said before is still to be read
                await self._loop.sock_sendall(self._link, data)
        try:
            return await self._loop.sock_recv(self._link, _CHUNK)
        except ConnectionError:
            return b""


@asynccontextmanager
async def connect(path: Path, call: Call, certificates: Certificates) -> AsyncIterator[Connection]:
    """A connection as the caller would have it. Raises RefusedError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as link:
        try:
            await asyncio.get_running_loop().sock_connect(link, str(path))
        except OSError as error:
            raise RefusedError(str(error)) from error
        connection = Connection(link)
        connection.send(_introduction(call))
        if call.tls == "mtls":
            await connection.shake_hands(
                certificates.caller("mesh", strict=True, alpn=call.alpn, identity=call.peer), call.sni
            )
        elif call.tls == "tls":
            shows: Realm | None = "other" if call.certificate else None
            await connection.shake_hands(
                certificates.caller(shows, strict=False, alpn=call.alpn, identity=call.peer), call.sni
            )
        yield connection


def _introduction(call: Call) -> bytes:
    """The PROXY header, whose two addresses must be of one family."""
    wide = ":" in call.address
    source = call.source if (":" in call.source) == wide else "fd00::1" if wide else "10.0.0.1"
    return f"PROXY {'TCP6' if wide else 'TCP4'} {source} {call.address} 40000 {call.port}\r\n".encode()
