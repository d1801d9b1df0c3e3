"""TLS before gRPC's server. Of gRPC for Python a server either asks for no certificate or lets nobody in without one;
istiod's port has callers of both kinds. So TLS ends here, and what is in it goes on over loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

from plait.rpc.tls import Secured, Workbench

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

#: Bytes received at once.
_PIECE: Final = 64 << 10


class Door:
    """Certificates of those who are in, by the address under which gRPC's server sees them (`ipv4:127.0.0.1:PORT`)."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.bench = Workbench(memoryview(bytearray(_PIECE)))
        self.certificates: dict[str, bytes] = {}
        self.guests: set[_Guest] = set()
        self._tls = tls

    def certificate(self, peer: str) -> bytes | None:
        """What a peer has shown (DER)."""
        return self.certificates.get(peer)

    @contextlib.asynccontextmanager
    async def open(self, address: str, behind: int) -> AsyncIterator[int]:
        """Listen, carry what comes to a port on loopback, and give the port that is listened on. Raises OSError."""
        host, _, number = address.rpartition(":")
        server = await asyncio.get_running_loop().create_server(
            lambda: Secured(self._tls, _Guest(self, behind), self.bench), host or None, int(number), backlog=1024
        )
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for guest in (*self.guests,):
                guest.leave()


class _Guest:
    """Who has come through TLS, and what is said to the server behind for him."""

    def __init__(self, door: Door, behind: int) -> None:
        self.door = door
        self.transport: asyncio.Transport | None = None
        self._behind = behind
        self._onward: _Onward | None = None
        self._going: asyncio.Task[None] | None = None
        #: What came before there was a way onward.
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """He is in."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()
        self.door.guests.add(self)
        self._going = asyncio.get_running_loop().create_task(self._go_on(), name="go on behind TLS")

    async def _go_on(self) -> None:
        try:
            _, onward = await asyncio.get_running_loop().create_connection(
                lambda: _Onward(self), "127.0.0.1", self._behind
            )
        except OSError:
            self.leave()
            return
        if self.transport is None:
            onward.transport.close()
            return
        self._onward = onward
        for data in self._early:
            onward.transport.write(data)
        self._early.clear()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """He says something."""
        if self._onward is not None:
            self._onward.transport.write(data)
        else:
            self._early.append(data)

    def pause_writing(self) -> None:
        """He has to catch up."""
        if self._onward is not None:
            self._onward.transport.pause_reading()

    def resume_writing(self) -> None:
        """He has."""
        if self._onward is not None:
            self._onward.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- why it ended makes no difference
        """He is gone, or never came in."""
        self.transport = None
        self.door.guests.discard(self)
        if self._onward is not None:
            self._onward.transport.close()

    def leave(self) -> None:
        """He has to go; what was said to him still reaches him."""
        if self.transport is not None:
            self.transport.close()


class _Onward(asyncio.BufferedProtocol):
    """A guest's connection to the server behind, which knows him by its address."""

    transport: asyncio.Transport

    def __init__(self, guest: _Guest) -> None:
        self._guest = guest
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._peer = f"ipv4:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
        guest = self._guest.transport
        shown = guest.get_extra_info("ssl_object").getpeercert(binary_form=True) if guest is not None else None
        if shown is not None:
            self._guest.door.certificates[self._peer] = shown

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- it is large enough for most
        return self._guest.door.bench.into

    def buffer_updated(self, nbytes: int) -> None:
        if self._guest.transport is not None:
            self._guest.transport.write(self._guest.door.bench.into[:nbytes])

    def pause_writing(self) -> None:
        if self._guest.transport is not None:
            self._guest.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._guest.transport is not None:
            self._guest.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- why it ended makes no difference
        self._guest.door.certificates.pop(self._peer, None)
        self._guest.leave()
