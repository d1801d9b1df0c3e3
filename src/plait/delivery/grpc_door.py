"""TLS before gRPC's server. Of gRPC for Python a server either asks for no certificate or lets nobody in without one;
istiod's port has callers of both kinds. So TLS ends here, and what is in it goes on over loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE: Final = 256 << 10
#: Seconds that a client has for its part of TLS's end.
_GOODBYE: Final = 1.0


class Door:
    """Certificates of those who are in, by the address under which gRPC's server sees them (`ipv4:127.0.0.1:PORT`)."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._certificates: dict[str, bytes] = {}

    def certificate(self, peer: str) -> bytes | None:
        """What a peer has shown (DER)."""
        return self._certificates.get(peer)

    @contextlib.asynccontextmanager
    async def open(self, address: str, behind: int) -> AsyncIterator[int]:
        """Listen, carry what comes to a port on loopback, and give the port that is listened on. Raises OSError."""
        under_way: set[asyncio.Task[None]] = set()

        def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._carry(reader, writer, behind), name="carry")
            under_way.add(task)
            task.add_done_callback(under_way.discard)

        host, _, number = address.rpartition(":")
        server = await asyncio.start_server(
            enter,
            host or None,
            int(number),
            ssl=self._tls,
            ssl_shutdown_timeout=_GOODBYE,
            limit=_PIECE,
            backlog=1024,
        )
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int) -> None:
        """Both ways of one connection, until either side ends it."""
        try:
            onward, back = await asyncio.open_connection("127.0.0.1", behind, limit=_PIECE)
        except OSError:
            await _close(writer)
            return
        peer = f"ipv4:127.0.0.1:{back.get_extra_info('sockname')[1]}"
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if shown is not None:
            self._certificates[peer] = shown
        ways = [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(onward, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First: the end of the server may come while the rest is waited for.
            back.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._certificates.pop(peer, None)
            await _close(writer, back)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()


async def _close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(OSError, TimeoutError):
            await writer.wait_closed()
