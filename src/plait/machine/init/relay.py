"""Carries connections to host ports on to pods.

The launcher bound the ports on the host; a socket stays in the network namespace it was made in, so accepting on it
here and connecting to a pod needs no route, no address translation and no right on the host. Where a port leads stands
in a file that the node rewrites whenever the endpoints behind it change.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from plait.machine.settings import RUN

TARGETS = RUN / "relay.json"
#: Seconds that a client is kept waiting where a port led somewhere a moment ago: a gateway that starts again.
PATIENCE = 10.0
_POLL = 0.05
#: Bytes taken from one side before the other side has to catch up.
HIGH_WATER = 256 * 1024


class Targets:
    """Where each port leads: `{"http": ["10.42.0.7:80"], …}`, read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._targets: dict[str, list[str]] = {}
        self._led: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """The ports that lead, or will lead, somewhere."""
        self._look()
        return frozenset(self._targets)

    def of(self, name: str) -> list[tuple[str, int]]:
        """Addresses behind a port in random order, so that one that refuses is followed by another."""
        self._look()
        addresses = [(host, int(port)) for host, _, port in (t.rpartition(":") for t in self._targets.get(name, []))]
        random.shuffle(addresses)
        return addresses

    def led(self, name: str) -> bool:
        """Whether a port has ever led somewhere."""
        self._look()
        return name in self._led

    def _look(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        if self._seen != (status.st_mtime_ns, status.st_ino):
            self._targets = json.loads(self._path.read_bytes())
            self._led = {name for name in self._targets if self._targets[name] or name in self._led}
            self._seen = (status.st_mtime_ns, status.st_ino)


class Half(asyncio.Protocol):
    """One side of a carried connection: what it reads it writes to `peer`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Half | None = None
        self.early = bytearray()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- TCP transports are
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.transport = transport

    def join(self, peer: Half) -> None:
        """Tie two sides together; what came early goes first."""
        self.peer, peer.peer = peer, self
        for source, sink in ((self, peer), (peer, self)):
            if sink.transport and source.early:
                sink.transport.write(bytes(source.early))
                source.early.clear()

    def data_received(self, data: bytes) -> None:
        """Pass on; a client that talks before the pod answered waits its turn in a bounded buffer."""
        if self.peer and self.peer.transport:
            self.peer.transport.write(data)
            return
        self.early += data
        if len(self.early) > HIGH_WATER and self.transport:
            self.transport.abort()

    def eof_received(self) -> bool:
        """Half-close the other side and stay open for its answer; when both have ended, both are closed."""
        self.ended = True
        if self.peer is None or self.peer.transport is None or self.peer.ended:
            return False
        self.peer.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """An end on one side is an end on both; a reset stays a reset."""
        if self.peer and self.peer.transport:
            if exc:
                self.peer.transport.abort()
            else:
                self.peer.transport.close()

    def pause_writing(self) -> None:
        """The pod or client here is slow: stop reading from the other side."""
        if self.peer and self.peer.transport:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.peer and self.peer.transport and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()


async def carry(name: str, client: socket.socket, targets: Targets) -> None:
    """Connect one accepted client to the first address that answers.

    While none does the client waits, unless the port has never led anywhere; in the end it is reset.
    """
    loop = asyncio.get_running_loop()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end = loop.time() + PATIENCE
    while True:
        for host, port in targets.of(name):
            try:
                _, server_side = await asyncio.wait_for(loop.create_connection(Half, host, port), 5)
            except (OSError, TimeoutError):
                continue  # this address does not answer, perhaps the next does; the client is told in the end
            _, client_side = await loop.connect_accepted_socket(Half, client)
            server_side.join(client_side)
            return
        if not targets.led(name) or loop.time() >= end or hung_up(client):
            break
        await asyncio.sleep(_POLL)
    reset(client)


def hung_up(client: socket.socket) -> bool:
    """Whether a client whose bytes nobody has taken yet is gone."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def reset(client: socket.socket) -> None:
    """Close so that the peer sees an error and not an empty answer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()


async def accept(
    name: str,
    listener: socket.socket,
    each: Callable[[socket.socket], Coroutine[None, None, None]],
    tasks: asyncio.TaskGroup,
) -> None:
    """Give every client of a listening socket to `each`, until cancelled."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        try:
            client, _ = await loop.sock_accept(listener)
        except OSError as error:
            # Out of descriptors, or the client left already: the next one may fare better.
            sys.stderr.write(f"relay: {name}: accept: {error}\n")
            await asyncio.sleep(0.05)
            continue
        tasks.create_task(_alone(name, client, each), name=f"{name} connection")


async def _alone(
    name: str, client: socket.socket, each: Callable[[socket.socket], Coroutine[None, None, None]]
) -> None:
    """What goes wrong with one connection ends that one, and not all that are carried here."""
    try:
        await each(client)
    except OSError as error:
        sys.stderr.write(f"relay: {name}: {error}\n")
        client.close()
