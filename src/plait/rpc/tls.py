"""TLS between a connection and the network, as asyncio's own but for what a thousand connections cost.

asyncio allocates and clears 256 KiB for each connection, and encrypts a large message into a buffer that stays as large
as it was. Here all connections of a loop receive in one place, and what is sent is encrypted record by record.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from plait.rpc.connection import Connection

log = logging.getLogger(__name__)

#: Bytes of plain text in a record (RFC 8446, 5.1); OpenSSL's buffer stays as large as the largest that was written.
_RECORD: Final = 16_384
#: Seconds for a handshake.
_HANDSHAKE: Final = 30.0


class Secured(asyncio.BufferedProtocol, asyncio.Transport):
    """The protocol of a socket, and the transport of `connection`, which begins when the handshake is over."""

    def __init__(self, context: ssl.SSLContext, connection: Connection, into: memoryview) -> None:
        super().__init__()
        self._into = into
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._socket: asyncio.Transport | None = None
        self._begun = False
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None

    # from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake can begin."""
        self._socket = cast("asyncio.Transport", transport)
        self._patience = asyncio.get_running_loop().call_later(_HANDSHAKE, self.abort)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- it is large enough for most
        """Where to receive."""
        return self._into

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self._incoming.write(self._into[:nbytes])
        try:
            if self._begun or self._shake_hands():
                self._receive()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            log.debug("TLS: %s", error)
            # The alert that says why.
            self._flush()
            if self._socket is not None:
                self._socket.close()

    def pause_writing(self) -> None:
        """The network has to catch up."""
        if self._begun:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It has."""
        if self._begun:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._socket = None
        if self._patience is not None:
            self._patience.cancel()
        self._connection.connection_lost(exc)

    def _shake_hands(self) -> bool:
        self._tls.do_handshake()
        self._begun = True
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._flush()
        self._connection.connection_made(self)
        return True

    def _receive(self) -> None:
        """Hand over what has come."""
        while self._incoming.pending or self._tls.pending():
            data = self._tls.read(_RECORD)
            if not data:
                # The peer says goodbye.
                self.close()
                return
            if not self._closing:
                self._connection.data_received(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._socket is not None:
            self._socket.write(self._outgoing.read())

    # for the connection

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send."""
        if self._socket is None or self._closing:
            return
        if len(data) <= _RECORD:
            self._tls.write(data)
            self._socket.write(self._outgoing.read())
            return
        plain, records = memoryview(data), []
        for at in range(0, len(plain), _RECORD):
            self._tls.write(plain[at : at + _RECORD])
            records.append(self._outgoing.read())
        self._socket.write(b"".join(records))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio."""
        if self._socket is not None:
            self._socket.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio; `ssl_object` is that of the connection."""
        if name == "ssl_object":
            return self._tls
        return self._socket.get_extra_info(name, default) if self._socket is not None else default

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._closing or self._socket is None

    def close(self) -> None:
        """Say goodbye; what is written still goes out."""
        if self._socket is None or self._closing:
            return
        self._closing = True
        # It would wait for the peer's goodbye, which nobody needs.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._socket.close()

    def abort(self) -> None:
        """The peer is not there."""
        if self._socket is not None:
            self._socket.abort()
