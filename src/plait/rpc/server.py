"""The listening server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from plait.rpc.call import STATUS, Call, RefusedError
from plait.rpc.connection import RECEIVED, Connection

if TYPE_CHECKING:
    import ssl

    from plait.rpc.stream import Handler

log = logging.getLogger(__name__)

#: Seconds between two looks at all connections.
_ROUND: Final = 10.0
#: After so many rounds without a byte a peer is asked for a sign of life, and after one more it is gone.
_ASK_AFTER: Final = 2
#: So many rounds a connection may carry no call.
_IDLE: Final = 6


class Http2Transport:
    """A server on one address, for example `0.0.0.0:15010` or `unix:/path`; `host:0` takes a free port.

    With `tls` the context must offer `h2` by ALPN.
    """

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._tls = tls
        self._connections: dict[Connection, _Quiet] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, handlers: Mapping[str, Handler], *, started: Callable[[int], None]) -> None:
        """See Transport; raises OSError when the address cannot be bound."""
        loop = asyncio.get_running_loop()
        into = memoryview(bytearray(RECEIVED))

        def start(call: Call) -> None:
            task = loop.create_task(_serve(handlers[call.method], call), name=f"call {call.number}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def connect() -> Connection:
            made = Connection(handlers, start, closed, into)
            self._connections[made] = _Quiet()
            return made

        def closed(connection: Connection) -> None:
            del self._connections[connection]

        if self._address.startswith("unix:"):
            server = await loop.create_unix_server(connect, self._address.removeprefix("unix:"), ssl=self._tls)
            port = 0
        else:
            host, _, number = self._address.rpartition(":")
            server = await loop.create_server(connect, host or None, int(number), ssl=self._tls, backlog=1024)
            port = server.sockets[0].getsockname()[1]
        try:
            started(port)
            while True:
                await asyncio.sleep(_ROUND)
                self._look()
        finally:
            server.close()
            for connection in (*self._connections,):
                connection.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look(self) -> None:
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
