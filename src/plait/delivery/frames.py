"""What builder and delivery say to each other over a socket pair: msgpack frames with a length before each.

The builder is the master: delivery holds nothing that the builder cannot send again. `since` is CLOCK_MONOTONIC, which
processes of one machine share.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from plait.delivery.splices import Spliced, Woven
from plait.delivery.standing import TypeStatus
from plait.delivery.wire import Caller
from plait.xds.resource import ViewUpdate

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_LENGTH = 4
_BUFFER = 1 << 20


class Fill(msgspec.Struct, frozen=True, tag=True):
    """Builder: views changed. The first for a view is complete.

    A large publication comes in pieces, of which the last has its number (`batch`), and `assigns`: proxies whose views
    became others with it. `spliced` and `woven` are further resources, as they differ from those before; `fresh` are
    parts of these.
    """

    updates: tuple[ViewUpdate, ...]
    since: float | None = None
    batch: int = 0
    assigns: tuple[Assign, ...] = ()
    spliced: tuple[Spliced, ...] = ()
    woven: tuple[Woven, ...] = ()
    fresh: tuple[bytes, ...] = ()


class Assign(msgspec.Struct, frozen=True, tag=True):
    """Builder: what a proxy sees, and resources (as a view of its own) that no other has."""

    connection: int
    views: tuple[str, ...]
    own: tuple[ViewUpdate, ...] = ()


class Own(msgspec.Struct, frozen=True, tag=True):
    """Builder: a proxy's own resources changed."""

    connection: int
    updates: tuple[ViewUpdate, ...]


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Builder: views no proxy has any more."""

    views: tuple[str, ...]


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Builder: everything is known, let proxies in."""


class Certify(msgspec.Struct, frozen=True, tag=True):
    """Builder: the mesh's authority, as files in PEM, and the trust domains whose workloads are ours, the first being
    the one that certificates are signed for.
    """

    certificate: bytes
    key: bytes
    chain: bytes
    roots: bytes
    domains: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Certify(domains={self.domains!r}, key=[redacted])"


class Serving(msgspec.Struct, frozen=True, tag=True):
    """Delivery: proxies are accepted on this port; `secure`: by TLS."""

    port: int
    secure: bool = False


class Certified(msgspec.Struct, frozen=True, tag=True):
    """Delivery: what became of signing requests since it started; see `citadel.desk.Counts`."""

    asked: int = 0
    unauthenticated: int = 0
    unreadable: int = 0
    refused: int = 0
    issued: int = 0


class Connected(msgspec.Struct, frozen=True, tag=True):
    """Delivery: a proxy has identified itself and waits for an Assign."""

    connection: int
    caller: Caller


class Disconnected(msgspec.Struct, frozen=True, tag=True):
    """Delivery: a stream is over."""

    connection: int


class Counters(msgspec.Struct, frozen=True):
    """Since delivery started, by type URL; `convergence` counts ACKs per upper bound of `metrics.BUCKETS` and above."""

    pushes: dict[str, int] = {}
    rejects: dict[str, int] = {}
    convergence: tuple[int, ...] = ()
    convergence_sum: float = 0.0


class Alike(msgspec.Struct, frozen=True):
    """Streams that stand the same: a status for each type, and the batch that all of them have acknowledged."""

    status: tuple[TypeStatus, ...]
    level: int
    connections: tuple[int, ...]


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Delivery: where streams stand whose status may have changed."""

    streams: tuple[Alike, ...]
    counters: Counters


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Delivery: a proxy sent a NACK about these resources, in these versions."""

    connection: int
    type_url: str
    names: tuple[str, ...]
    message: str
    versions: tuple[str, ...] = ()


class Reported(msgspec.Struct, frozen=True, tag=True):
    """Delivery: a client said how the program beside it is; empty: well."""

    connection: int
    fault: str


Down = Fill | Assign | Own | Drop | Certify | Serve
Up = Serving | Certified | Connected | Disconnected | Progress | Refused | Reported


class Channel:
    """One end of the socket pair; `incoming` is the union of frames the other end sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: object) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._waiting: deque[object] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(incoming)

    @classmethod
    async def over(cls, end: socket.socket, incoming: object) -> Channel:
        """Take over a connected socket."""
        end.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=end, limit=_BUFFER)
        return cls(reader, writer, incoming)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close our end; the other one reads its end of file."""
        self._waiting.clear()
        self._writer.close()

    def post(self, frame: object) -> None:
        """Send without waiting; follow a large frame with `drain`. What is sent to a closed end is lost.

        What the other end is not ready for is not encoded before it is: frames are large, what they are made of is
        mostly there anyway.
        """
        if self._writer.is_closing():
            return
        if self._sending is None and self._writer.transport.get_write_buffer_size() == 0:
            self._write(frame)
            return
        self._waiting.append(frame)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_waiting(), name="frames")

    def _write(self, frame: object) -> None:
        body = self._encoder.encode(frame)
        self._writer.write(len(body).to_bytes(_LENGTH, "little"))
        self._writer.write(body)

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._writer.drain()
                if self._waiting:
                    self._write(self._waiting.popleft())
        except ConnectionError:
            self._waiting.clear()
        finally:
            self._sending = None

    async def drain(self) -> None:
        """Wait until the other end has read enough; a lost end is no error here, `receive` tells."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    async def receive(self) -> object | None:
        """The next frame, None when the other end is gone. Raises msgspec.DecodeError."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_LENGTH), "little")
            body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return self._decoder.decode(body)
