"""TLS between a connection and the network, as asyncio's own but for what a thousand connections cost.

asyncio allocates and clears 256 KiB for each connection, and has two buffers of OpenSSL's for each, which stay as large
as the largest message that went through. Here all connections of a loop receive in one place and share one pair.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol, cast

log = logging.getLogger(__name__)

#: Bytes of plain text in a record (RFC 8446, 5.1).
_RECORD: Final = 16_384
#: Seconds for a handshake.
_HANDSHAKE: Final = 30.0


class Carried(Protocol):
    """What speaks through TLS: as asyncio's Protocol."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        ...

    def data_received(self, data: bytes) -> None:
        """Plain text."""
        ...

    def pause_writing(self) -> None:
        """The network has to catch up."""
        ...

    def resume_writing(self) -> None:
        """It has."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, or never was."""
        ...


class Workbench:
    """What all connections of a loop use in turn: where they receive, and where OpenSSL takes what came and leaves what
    goes out. Between two turns both are empty: the beginning of a record OpenSSL keeps itself, and what it leaves is
    sent at once.
    """

    def __init__(self, into: memoryview) -> None:
        self.into = into
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()


class Secured(asyncio.BufferedProtocol, asyncio.Transport):
    """The protocol of a socket, and the transport of `connection`, which begins when the handshake is over. `server` is
    whom a client calls; without it this is the server.
    """

    def __init__(
        self, context: ssl.SSLContext, connection: Carried, bench: Workbench, *, server: str | None = None
    ) -> None:
        super().__init__()
        self._bench = bench
        self._connection = connection
        self._tls = context.wrap_bio(bench.incoming, bench.outgoing, server_side=server is None, server_hostname=server)
        self._socket: asyncio.Transport | None = None
        self._begun = False
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None

    # from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake can begin."""
        self._socket = cast("asyncio.Transport", transport)
        self._patience = asyncio.get_running_loop().call_later(_HANDSHAKE, self.abort)
        # A client has the first word.
        self.buffer_updated(0)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- it is large enough for most
        """Where to receive."""
        return self._bench.into

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        bench, first = self._bench, not self._begun
        came: list[bytes] = []
        ended = False
        bench.incoming.write(bench.into[:nbytes])
        try:
            if first:
                self._tls.do_handshake()
                self._begin()
            while not ended and (bench.incoming.pending or self._tls.pending()):
                came.append(self._tls.read(_RECORD))
                # The peer says goodbye.
                ended = not came[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            log.debug("TLS: %s", error)
            ended = True
        if bench.incoming.pending:
            # What follows a goodbye or a fault is not for the next connection.
            bench.incoming.read()
        # An alert says what the fault was.
        self._flush()
        # The bench is clear: whoever is told may use it.
        if first and self._begun:
            self._connection.connection_made(self)
        if any(came) and not self._closing:
            self._connection.data_received(b"".join(came))
        if ended:
            self.close()

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

    def _begin(self) -> None:
        self._begun = True
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _flush(self) -> None:
        """Send what OpenSSL has left."""
        if self._bench.outgoing.pending:
            data = self._bench.outgoing.read()
            if self._socket is not None:
                self._socket.write(data)

    # for the connection

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send."""
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Encrypt and send, as one write."""
        if self._socket is None or self._closing:
            return
        for data in list_of_data:
            self._tls.write(data)
        self._flush()

    def pause_reading(self) -> None:
        """See asyncio."""
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio."""
        if self._socket is not None:
            self._socket.resume_reading()

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
