"""Ask a scratch Envoy what it would do with calls: unprivileged, on unix sockets, without calling anybody."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from plait.proxy.envoy import run_envoy
from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import listening_at
from plait.trial import http1, http2
from plait.trial.certificates import Certificates
from plait.trial.connection import Connection, RefusedError, connect
from plait.trial.http1 import Answer
from plait.trial.scratch import Scratch, scratch
from plait.trial.scratch_http import CHAIN, CLUSTER, HOST, PATH, ROUTE
from plait.xds import names

#: Connections under way at a time, and requests on one of them.
_AT_ONCE: Final = 32
_AHEAD: Final = 32
_PATIENCE: Final = 60.0
#: What a caller says that speaks neither HTTP nor TLS.
_BYTES: Final = b"\x00plait\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a call arrived, all empty where nothing took it.

    `route` counts from 0; `status` and `location` are those of the proxy's own answer, `status` 0 for bytes and for a
    request that goes on, as `host` and `path`, to `cluster`.
    """

    listener: str = ""
    filter_chain: str = ""
    route_configuration: str = ""
    virtual_host: str = ""
    route: int | None = None
    cluster: str = ""
    status: int = 0
    location: str = ""
    host: str = ""
    path: str = ""


class Trial:
    """A scratch Envoy with the configuration of one proxy."""

    def __init__(
        self, made: Scratch, configuration: Configuration, certificates: Certificates, *, gateway: bool
    ) -> None:
        self._made = made
        self._configuration = configuration
        self._certificates = certificates
        self._gateway = gateway

    async def ask(self, calls: Iterable[Call]) -> list[Place]:
        """What becomes of each call, in order. Requests that could share a connection do."""
        asked = list(calls)
        groups: defaultdict[object, list[int]] = defaultdict(list)
        for number, call in enumerate(asked):
            groups[_connection_of(call) if call.protocol != "tcp" and call.method != "CONNECT" else number].append(
                number
            )
        pieces = [group[at : at + _AHEAD] for group in groups.values() for at in range(0, len(group), _AHEAD)]
        limit = asyncio.Semaphore(_AT_ONCE)
        found: dict[int, Place] = {}

        async def one(piece: list[int]) -> None:
            async with limit, asyncio.timeout(_PATIENCE):
                found.update(zip(piece, await self._converse([asked[number] for number in piece]), strict=True))

        async with asyncio.TaskGroup() as tasks:
            for piece in pieces:
                tasks.create_task(one(piece))
        return [found[number] for number in range(len(asked))]

    def _entry(self, call: Call) -> Path | None:
        """The socket where the kernel would have the connection arrive, or Envoy itself hand it to."""
        sockets = self._made.entries
        if call.inbound:
            bound = listening_at(self._configuration, call.port)
            return sockets.get(bound.name if bound is not None else names.VIRTUAL_INBOUND)
        for wanted in (call.address, names.ANY_ADDRESS):
            here = [
                name
                for name, each in self._configuration.listeners.items()
                if (place := each.address.socket_address).address == wanted and place.port_value == call.port
            ]
            bound = next((sockets[name] for name in here if name in sockets), None)
            if bound is not None:
                return bound
            if here:
                break
        return None if self._gateway else sockets.get(names.VIRTUAL_OUTBOUND)

    async def _converse(self, calls: list[Call]) -> list[Place]:
        """Calls that may share a connection. What one call's end leaves unanswered is asked on another connection."""
        socket = self._entry(calls[0])
        if socket is None:
            return [Place()] * len(calls)
        found: list[Place] = []
        while len(found) < len(calls):
            rest = calls[len(found) :]
            try:
                async with connect(socket, calls[0], self._certificates) as connection:
                    found += await self._talk(connection, rest)
            except RefusedError:
                found.append(Place())
        return found

    async def _talk(self, connection: Connection, calls: list[Call]) -> list[Place]:
        """The places of at least the first of the calls."""
        second = connection.protocol == "h2" or (connection.protocol is None and calls[0].protocol == "http2")
        clear = connection.in_the_clear
        if not clear:
            if calls[0].protocol == "tcp":
                connection.send(_BYTES)
            else:
                connection.send((http2 if second else http1).requests(calls))
        first = await connection.receive()
        if clear or calls[0].protocol == "tcp" or first[:1].isdigit():
            # The end of a chain of bytes says its number.
            while data := await connection.receive():
                first += data
            return [self._said(first)]
        connection.give_back(first)
        if second:
            return [self._place(answer) for answer in await http2.answers(connection, calls)]
        return [self._place(answer) for answer in await http1.answers(connection, calls)] or [Place()]

    def _said(self, data: bytes) -> Place:
        """What the end of a chain of bytes says; HTTP that is no answer to a request is a complaint about bytes."""
        if data.startswith(b"HTTP/"):
            return self._place(http1.read_head(data.partition(b"\r\n\r\n")[0]))
        number, tab, cluster = data.decode("latin-1").partition("\t")
        if not tab or not number.isdigit():
            return Place()
        listener, chain = self._made.places.chains[int(number)]
        return Place(listener=listener, filter_chain=chain, cluster=cluster)

    def _place(self, answer: Answer | None) -> Place:
        if answer is None or CHAIN not in answer.headers:
            return Place(status=answer.status if answer is not None else 0)
        headers = answer.headers
        listener, chain = self._made.places.chains[int(headers[CHAIN])]
        passed = PATH in headers
        place = Place(
            listener=listener,
            filter_chain=chain,
            status=0 if passed else answer.status,
            location=headers.get("location", ""),
            host=headers.get(HOST, ""),
            path=headers.get(PATH, ""),
        )
        if ROUTE not in headers:
            return place
        routes, host, number = self._made.places.routes[int(headers[ROUTE])]
        cluster = headers.get(CLUSTER, "") if passed else ""
        return replace(place, route_configuration=routes, virtual_host=host, route=number, cluster=cluster)


def _connection_of(call: Call) -> object:
    """What calls must have in common to share a connection."""
    return (
        call.inbound, call.address, call.port, call.source, call.protocol,
        call.tls, call.certificate, call.alpn, call.sni, call.peer,
    )  # fmt: skip


@asynccontextmanager
async def trial(
    configuration: Configuration, *, gateway: bool = False, mesh_certificate: str = names.WORKLOAD_CERTIFICATE
) -> AsyncIterator[Trial]:
    """A scratch Envoy for as long as the block; raises EnvoyError if it does not take the configuration.

    `mesh_certificate` is the secret of the certificate that callers of mutual TLS take for the mesh's own.
    """
    with TemporaryDirectory(prefix="plait-trial-") as name:
        folder = Path(name)
        certificates = Certificates(folder)
        made = scratch(configuration, folder, certificates.pairs, mesh_certificate)
        async with AsyncExitStack() as stack:
            for path, words in made.ends.items():
                await stack.enter_async_context(await asyncio.start_unix_server(_saying(words), str(path)))
            await stack.enter_async_context(run_envoy(made.bootstrap, folder))
            yield Trial(made, configuration, certificates, gateway=gateway)


def _saying(words: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # Envoy has what it wanted to know
            # Who is refused is so by its first bytes: an end that spoke first would have spoken to it.
            if await reader.read(1):
                writer.write(words.encode())
                writer.write_eof()
                # An end that closes before it has read all takes its own words back.
                await reader.read()
        writer.close()

    return answer
