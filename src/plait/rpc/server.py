"""What listens: any number of sockets, served together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from plait.rpc.call import STATUS, Call, RefusedError
from plait.rpc.connection import RECEIVED, Connection
from plait.rpc.tls import Secured, Workbench

if TYPE_CHECKING:
    import socket
    import ssl

    from plait.rpc.stream import Handler

log = logging.getLogger(__name__)

#: Seconds between two looks at all connections.
_ROUND: Final = 10.0
#: After so many rounds without a byte a peer is asked for a sign of life, and after one more it is gone.
_ASK_AFTER: Final = 2
#: So many rounds a connection may carry no call.
_IDLE: Final = 6


class Server:
    """Serves doors, which are opened and closed as one likes; `watch` is to run meanwhile."""

    def __init__(self) -> None:
        self._bench = Workbench(memoryview(bytearray(RECEIVED)))
        self._doors: set[Door] = set()

    async def open(
        self, address: str | socket.socket, handlers: Mapping[str, Handler], *, tls: ssl.SSLContext | None = None
    ) -> Door:
        """Listen and serve methods (`/service/Name`). Raises OSError.

        The address is for example `0.0.0.0:15010`, with `host:0` for a free port, or a socket that listens already.
        With `tls` the context must offer `h2` by ALPN.
        """
        loop = asyncio.get_running_loop()
        door = Door(handlers, self._bench, self._doors.discard, tls)
        if not isinstance(address, str):
            door.listener = await loop.create_server(door.connect, sock=address)
        elif address.startswith("unix:"):
            door.listener = await loop.create_unix_server(door.connect, address.removeprefix("unix:"))
        else:
            host, _, number = address.rpartition(":")
            door.listener = await loop.create_server(door.connect, host or None, int(number), backlog=1024)
            door.port = door.listener.sockets[0].getsockname()[1]
        self._doors.add(door)
        return door

    async def watch(self) -> None:
        """Look after the peers of all doors until cancelled."""
        while True:
            await asyncio.sleep(_ROUND)
            for door in (*self._doors,):
                door.look()


class Door:
    """One listening socket, its connections and their calls. `port` is 0 where it has none."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        bench: Workbench,
        closed: Callable[[Door], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.listener: asyncio.Server | None = None
        self.port = 0
        self._handlers = handlers
        self._bench = bench
        self._closed = closed
        self._tls = tls
        self._connections: dict[Connection, _Quiet] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def connect(self) -> asyncio.BaseProtocol:
        """A connection has come."""
        made = Connection(self._handlers, self._start, self._forget, self._bench.into)
        self._connections[made] = _Quiet()
        return made if self._tls is None else Secured(self._tls, made, self._bench)

    def look(self) -> None:
        """Ask peers that are silent, and part with those that do not answer or have nothing to do."""
        for connection, quiet in (*self._connections.items(),):
            quiet.idle = 0 if connection.busy else quiet.idle + 1
            quiet.silent = 0 if connection.heard else quiet.silent + 1
            connection.heard = False
            if quiet.silent > _ASK_AFTER or (not connection.greeted and quiet.idle > 1):
                connection.abort()
            elif quiet.idle > _IDLE:
                connection.close()
            elif quiet.silent == _ASK_AFTER:
                connection.ping()

    async def close(self) -> None:
        """Listen no more, and end all calls."""
        self._closed(self)
        if self.listener is not None:
            self.listener.close()
        for connection in (*self._connections,):
            connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, call: Call) -> None:
        task = asyncio.get_running_loop().create_task(
            _serve(self._handlers[call.method], call), name=f"call {call.number}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection]


class Http2Transport:
    """A server on one address; see `Server.open`."""

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._tls = tls

    async def serve(self, handlers: Mapping[str, Handler], *, started: Callable[[int], None]) -> None:
        """See Transport; raises OSError when the address cannot be bound."""
        server = Server()
        door = await server.open(self._address, handlers, tls=self._tls)
        try:
            started(door.port)
            await server.watch()
        finally:
            await door.close()


class _Quiet:
    """For how many rounds a connection has been silent, and without a call."""

    __slots__ = ("idle", "silent")

    def __init__(self) -> None:
        self.silent = 0
        self.idle = 0


async def _serve(handler: Handler, call: Call) -> None:
    """Run the handler; how it ends is the status of the call."""
    code, message = STATUS["UNAVAILABLE"], "the server ends"
    try:
        await handler(call)
        code, message = STATUS["OK"], ""
    except RefusedError:
        return
    except Exception:
        log.exception("a stream's handler failed")
        code, message = STATUS["INTERNAL"], "internal error"
    finally:
        call.finish(code, message)
