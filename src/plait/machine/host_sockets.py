"""Sockets of the host's network for the node namespace, which has none: asked for over a channel, given as descriptors.

A socket belongs for good to the network namespace it was made in. The launcher, on the host, makes one, starts the
connection and hands the descriptor over; the bytes then never pass the launcher, and the node namespace needs no link,
route or address translation to the outside. A channel is one end of a socket pair that is inherited: it is no file that
anybody could open.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import closing
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, Literal

import msgspec

#: `off`: nothing leaves. `network`: what the host itself reaches, its own loopback excepted. `host`: that too, by the
#: address of `host_alias`.
Reach = Literal["off", "network", "host"]

#: Name of the host in the mesh's DNS, where pods may reach it.
HOST_NAME: Final = "host.plait.internal"

#: Kubernetes' range of node ports; no other port of the host is given away.
NODE_PORTS: Final = range(30000, 32768)

#: Of the host's loopback: each Service of type LoadBalancer has an address of its own there.
LOAD_BALANCERS: Final = IPv4Network("127.42.0.0/16")

_BACKLOG: Final = 1024
_RESOLVER_FILE: Final = Path("/etc/resolv.conf")
_MESSAGE: Final = 4096
_SECONDS: Final = 10.0
#: What a link-local address reaches is the host's own business: cloud metadata services answer there.
_NEVER: Final = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked for.

    `tcp`: a connection to `address` and `port`. `resolver-…`: a socket connected to the host's DNS server. `listen`:
    one that listens on the host's loopback: on a node port of 127.0.0.1, or on an `address` of LOAD_BALANCERS.
    """

    number: int
    want: Literal["tcp", "resolver-udp", "resolver-tcp", "listen"]
    address: str = ""
    port: int = 0


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to the request of that number: a descriptor travels with it, unless `error` says why none does."""

    number: int
    error: int = 0
    reason: str = ""


def host_alias(pods: IPv4Network) -> IPv4Address:
    """The address by which pods reach the host's loopback; no pod gets it."""
    return pods.network_address + 2


def channel() -> tuple[socket.socket, socket.socket]:
    """The two ends: the launcher's, which never blocks, and the one to inherit."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Giver:
    """The host's side. `mesh` is the range of pods and Services, `alias` the host's address in it."""

    reach: Reach
    mesh: IPv4Network
    alias: IPv4Address
    resolver_file: Path = _RESOLVER_FILE

    def serve(self, end: socket.socket) -> bool:
        """Answer one request that is waiting on `end`; False when the other side has closed it."""
        try:
            message = end.recv(_MESSAGE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not message:
            return False
        try:
            request = msgspec.json.decode(message, type=Request)
        except msgspec.DecodeError:
            return True  # no request of ours: whoever is in the node namespace gets no answer to that
        try:
            with closing(self._open(request)) as made:
                _answer(end, Reply(request.number), made.fileno())
        except OSError as error:
            _answer(end, Reply(request.number, error.errno or errno.EIO, error.strerror or str(error)))
        return True

    def _open(self, request: Request) -> socket.socket:
        """A socket whose connection has been started: waiting for it is for the one who asked."""
        if request.want == "listen":
            return _listening(request.address, request.port)
        if self.reach == "off":
            raise OSError(errno.EACCES, "this mesh does not let pods out (plait up --outside)")
        if request.want == "tcp":
            return _connecting(socket.SOCK_STREAM, (str(self._destination(request.address)), request.port))
        kind = socket.SOCK_DGRAM if request.want == "resolver-udp" else socket.SOCK_STREAM
        return _connecting(kind, (self._resolver(), 53))

    def _destination(self, text: str) -> IPv4Address:
        try:
            address = IPv4Address(text)
        except AddressValueError as error:
            raise OSError(errno.EINVAL, f"not an IPv4 address: {text!r}") from error
        if address == self.alias and self.reach == "host":
            return IPv4Address("127.0.0.1")
        if address in self.mesh or any(address in network for network in _NEVER):
            raise OSError(errno.EACCES, f"{address} is not outside")
        return address

    def _resolver(self) -> str:
        """The first IPv4 nameserver of the host. Read each time: laptops move."""
        for line in self.resolver_file.read_text(errors="replace").splitlines():
            match line.split():
                case ["nameserver", address, *_] if ":" not in address:
                    return address
        raise OSError(errno.ENOENT, f"{self.resolver_file} names no IPv4 nameserver")


def load_balancer_address(vip: IPv4Address) -> IPv4Address:
    """The address of a LoadBalancer Service on the host's loopback, from its ClusterIP: as lasting as that is."""
    return LOAD_BALANCERS[int(vip) % LOAD_BALANCERS.num_addresses]


def _listening(address: str, port: int) -> socket.socket:
    try:
        own = bool(address) and IPv4Address(address) in LOAD_BALANCERS
    except AddressValueError as error:
        raise OSError(errno.EINVAL, f"not an IPv4 address: {address!r}") from error
    if not own and (address or port not in NODE_PORTS):
        raise OSError(errno.EACCES, f"{address or '127.0.0.1'}:{port} is not for Services")
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address or "127.0.0.1", port))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _connecting(kind: socket.SocketKind, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setblocking(False)
    code = made.connect_ex(address)
    if code in {0, errno.EINPROGRESS}:
        return made
    made.close()
    raise OSError(code, os.strerror(code))


def _answer(end: socket.socket, reply: Reply, *descriptors: int) -> None:
    try:
        socket.send_fds(end, [msgspec.json.encode(reply)], list(descriptors))
    except OSError:
        # The other side is gone or does not read: it gives up by itself.
        return


class HostSockets:
    """The node namespace's side, used in one event loop."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        # A process that takes over a channel may find answers to its predecessor: its numbers are its own.
        self._number = int.from_bytes(os.urandom(4))
        self._waiting: dict[int, asyncio.Future[socket.socket]] = {}
        asyncio.get_running_loop().add_reader(end, self._readable)

    def close(self) -> None:
        """Ask no more."""
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()

    async def connect(self, address: str, port: int) -> socket.socket:
        """A TCP connection from the host's network. Raises OSError, TimeoutError."""
        return await _established(await self._given(Request(self._next(), "tcp", address, port)))

    async def resolver(self, *, tcp: bool = False) -> socket.socket:
        """A non-blocking socket connected to the host's DNS server. Raises OSError, TimeoutError."""
        return await _established(await self._given(Request(self._next(), "resolver-tcp" if tcp else "resolver-udp")))

    async def listen(self, port: int, address: str = "") -> socket.socket:
        """A socket that listens on a node port of the host's loopback, or on an address of LOAD_BALANCERS.

        Raises OSError, TimeoutError.
        """
        return await self._given(Request(self._next(), "listen", address, port))

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _given(self, request: Request) -> socket.socket:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[socket.socket] = loop.create_future()
        self._waiting[request.number] = future
        try:
            async with asyncio.timeout(_SECONDS):
                await loop.sock_sendall(self._end, msgspec.json.encode(request))
                return await future
        finally:
            del self._waiting[request.number]

    def _readable(self) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._end, _MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        if not message:
            asyncio.get_running_loop().remove_reader(self._end)
            for future in self._waiting.values():
                _fail(future, OSError(errno.EPIPE, "the launcher has ended"))
            return
        given = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        reply = msgspec.json.decode(message, type=Reply)
        waiting = self._waiting.get(reply.number)
        if waiting is None or waiting.done():
            for each in given:
                each.close()
        elif given:
            waiting.set_result(given[0])
        else:
            _fail(waiting, OSError(reply.error, reply.reason))


def _fail(future: asyncio.Future[socket.socket], error: OSError) -> None:
    if not future.done():
        future.set_exception(error)


async def _established(made: socket.socket) -> socket.socket:
    """Wait until the connection that the host started stands."""
    try:
        async with asyncio.timeout(_SECONDS):
            await _writable(made)
        code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        made.close()
        raise
    if code:
        made.close()
        raise OSError(code, os.strerror(code))
    return made


async def _writable(made: socket.socket) -> None:
    loop, writable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(made, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(made)
