"""The cluster's DNS server: UDP and TCP on one address, answering from `Names` without waiting for anything.

What is not of the cluster goes to the host's server where the host gives sockets to it, and is REFUSED where it does
not: a fast "no" beats the resolver's five seconds of waiting.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from typing import Final, Protocol

from plait.machine.services.dns_entries import EntryNames
from plait.machine.services.dns_follow import addresses_of, completed, labels_of, open_end, query
from plait.machine.services.dns_message import TCP_LIMIT, Answer, Code, Malformed, Question, decode, encode, refusal
from plait.machine.services.dns_names import Names, resolve

log = logging.getLogger(__name__)

#: Open TCP connections, and questions that wait for the upstream server; what comes on top is turned away.
_MOST_CONNECTIONS: Final = 128
_MOST_FORWARDED: Final = 256
_IDLE_SECONDS: Final = 10.0
_UPSTREAM_SECONDS: Final = 4.0
_BATCH: Final = 64
#: Seconds until a connection is accepted again when that has failed.
_ACCEPT_AGAIN: Final = 0.25


def bind(address: str, port: int = 53) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket on one port; port 0 takes a free one. Raises OSError."""
    for _ in range(16):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((address, port))
            tcp.bind(udp.getsockname())
            tcp.listen(_MOST_CONNECTIONS)
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
            continue
        udp.setblocking(False)
        tcp.setblocking(False)
        return udp, tcp
    raise OSError(f"no port is free for both UDP and TCP on {address}")


class Upstream(Protocol):
    """Gives sockets that are connected to another server; `host_sockets.HostSockets` does."""

    async def resolver(self, *, tcp: bool = False) -> socket.socket:
        """A non-blocking socket. Raises OSError, TimeoutError."""
        ...


class DnsServer:
    """Answers from `names` as they are at that moment; `upstream` leads to another server.

    `entries` are answered to programs behind a sidecar: `behind` tells the namespace of the one at an address, None
    where there is no sidecar.
    """

    def __init__(
        self,
        names: Names,
        *,
        upstream: Upstream | None = None,
        entries: EntryNames | None = None,
        behind: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._names = names
        self._upstream = upstream
        self._entries = entries
        self._behind = behind
        self._turn = 0
        self._forwarded = 0
        self._connections = 0

    async def run(self, udp: socket.socket, tcp: socket.socket, *, started: Callable[[], None] = lambda: None) -> None:
        """Serve on non-blocking sockets (`bind` makes them) until cancelled; closes them."""
        with closing(udp), closing(tcp):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._serve_tcp(tcp, tasks), name="dns tcp")
                self._serve_udp(udp, tasks)
                started()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    asyncio.get_running_loop().remove_reader(udp)

    def answer(self, question: Question, client: str = "") -> Answer | None:
        """The cluster's own answer to `client` (an address), or None where the name is not of the cluster."""
        self._turn += 1
        own = resolve(question, self._names, turn=self._turn)
        if own is not None and own.code is not Code.NXDOMAIN:
            name = open_end(question, own)
            found = self._of_entries(replace(question, labels=_labels(name)), client) if name is not None else None
            return completed(own, name, found) if name is not None and found is not None else own
        return self._of_entries(question, client) or own

    def _of_entries(self, question: Question, client: str) -> Answer | None:
        """What ServiceEntries say to `client`; None: nothing."""
        if self._entries is None or not self._entries.knows(question.name):
            return None
        namespace = self._behind(client)
        return self._entries.resolve(question, namespace) if namespace is not None else None

    def _serve_udp(self, udp: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Answer datagrams in the reader callback: no task, no queue, nothing that could fill up."""

        def readable() -> None:
            # A bounded batch: a flood of questions must not keep the loop from its other work.
            for _ in range(_BATCH):
                try:
                    message, client = udp.recvfrom(4096)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError:
                    # An ICMP error of an answer sent before: that client is gone.
                    continue
                self._datagram(message, client, udp, tasks)

        asyncio.get_running_loop().add_reader(udp, readable)

    def _datagram(self, message: bytes, client: tuple[str, int], udp: socket.socket, tasks: asyncio.TaskGroup) -> None:
        question = decode(message)
        if question is None:
            return
        if isinstance(question, Malformed):
            _send(udp, refusal(question), client)
        elif (answer := self.answer(question, client[0])) is not None:
            name = open_end(question, answer)
            if name is None or self._upstream is None or self._forwarded >= _MOST_FORWARDED:
                _send(udp, self._encode(question, answer, limit=question.udp_limit), client)
                return

            async def follow() -> None:
                whole = await self._follow(question, answer, name, _ask_udp)
                _send(udp, self._encode(question, whole, limit=question.udp_limit), client)

            tasks.create_task(follow(), name="dns follow")
        elif self._upstream is None or self._forwarded >= _MOST_FORWARDED:
            _send(udp, self._refuse(question, limit=question.udp_limit), client)
        else:

            async def forward() -> None:
                _send(udp, await self._forward(message, question, _ask_udp), client)

            tasks.create_task(forward(), name="dns forward")

    async def _serve_tcp(self, tcp: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, client = await loop.sock_accept(tcp)
            except ConnectionError:
                continue  # the client went before it was accepted
            except OSError as error:
                # Descriptors ran out, which may pass.
                log.warning("DNS over TCP: no connection can be accepted: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            if self._connections >= _MOST_CONNECTIONS:
                connection.close()
                continue
            self._connections += 1
            tasks.create_task(self._connection(connection, client[0]), name="dns connection")

    async def _connection(self, connection: socket.socket, client: str) -> None:
        try:
            with closing(connection):
                while True:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        reply = await self._exchange(await _read_message(connection), client)
                        if reply is None:
                            return
                        await _write_message(connection, reply)
        except (OSError, EOFError, TimeoutError):
            # The client's end of the conversation: there is nobody to tell.
            return
        finally:
            self._connections -= 1

    async def _exchange(self, message: bytes, client: str) -> bytes | None:
        question = decode(message)
        if question is None:
            return None
        if isinstance(question, Malformed):
            return refusal(question)
        if (answer := self.answer(question, client)) is not None:
            name = open_end(question, answer)
            if name is not None and self._upstream is not None and self._forwarded < _MOST_FORWARDED:
                answer = await self._follow(question, answer, name, _ask_tcp)
            return self._encode(question, answer, limit=TCP_LIMIT)
        if self._upstream is None or self._forwarded >= _MOST_FORWARDED:
            return self._refuse(question, limit=TCP_LIMIT)
        return await self._forward(message, question, _ask_tcp)

    async def _follow(
        self, question: Question, answer: Answer, name: str, ask: Callable[[Upstream, bytes], Awaitable[bytes]]
    ) -> Answer:
        """An answer that ends with a name outside the cluster, with the addresses that the upstream server has."""
        reply = await self._forward(query(question, name), question, ask)
        return completed(answer, name, addresses_of(reply))

    async def _forward(
        self,
        message: bytes,
        question: Question,
        ask: Callable[[Upstream, bytes], Awaitable[bytes]],
    ) -> bytes:
        """The upstream server's own answer; SERVFAIL where it gives none."""
        assert self._upstream is not None  # noqa: S101 - callers ask first
        self._forwarded += 1
        try:
            async with asyncio.timeout(_UPSTREAM_SECONDS):
                return await ask(self._upstream, message)
        except (OSError, EOFError, TimeoutError):
            failed = Answer(code=Code.SERVFAIL, authoritative=False)
            return self._encode(question, failed, limit=question.udp_limit)
        finally:
            self._forwarded -= 1

    def _encode(self, question: Question, answer: Answer, *, limit: int) -> bytes:
        return encode(question, answer, limit=limit, recursion=self._upstream is not None)

    def _refuse(self, question: Question, *, limit: int) -> bytes:
        return self._encode(question, Answer(code=Code.REFUSED, authoritative=False), limit=limit)


def _labels(name: str | None) -> tuple[bytes, ...]:
    return tuple(label.encode("latin-1", "replace") for label in labels_of(name or ""))


def _send(udp: socket.socket, message: bytes, client: tuple[str, int]) -> None:
    try:
        udp.sendto(message, client)
    except OSError:
        # A full buffer or a client that is gone: UDP may lose answers, the client asks again.
        return


async def _ask_udp(upstream: Upstream, message: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    # Connected, so that the kernel drops what comes from anybody else.
    with closing(await upstream.resolver()) as server:
        await loop.sock_sendall(server, message)
        while True:
            reply = await loop.sock_recv(server, 65535)
            if reply[:2] == message[:2]:
                return reply


async def _ask_tcp(upstream: Upstream, message: bytes) -> bytes:
    with closing(await upstream.resolver(tcp=True)) as server:
        await _write_message(server, message)
        return await _read_message(server)


async def _read_message(connection: socket.socket) -> bytes:
    (length,) = struct.unpack("!H", await _read_exactly(connection, 2))
    return await _read_exactly(connection, length)


async def _read_exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(connection, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


async def _write_message(connection: socket.socket, message: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, struct.pack("!H", len(message)) + message)
