"""The processes around `push.py`: a delivery that believes everybody, an echo server, and clients that acknowledge.

python benchmarks/push_peers.py delivery grpc|http2 CHANNEL [TLS] | echo
python benchmarks/push_peers.py clients PORT COUNT OFFSET METHOD [NAMESPACES [CREDENTIAL [TLS]]]

TLS is a folder with the certificates of `push_identities.py`: the proxies show theirs and no token.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from push_identities import SERVER, client_context, server_context

from plait.app.istiod.delivery import transport as istiod_transport
from plait.delivery.auth import Identity, Prover
from plait.delivery.child import run_delivery
from plait.delivery.frames import Channel, Down
from plait.rpc.frames import DEFAULT_WINDOW, LARGEST_FRAME, PREFACE, Flag, Setting, Type, settings
from plait.rpc.framing import PREFIX, frame, prefixed
from plait.rpc.tls import Secured, Workbench
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS
from plait.xds.slots import SLOTS

if TYPE_CHECKING:
    import ssl

NAMESPACE = "shop"
WORKLOADS = 10
ECHO = "/echo.Echo/Broadcast"


class Everybody:
    """Authenticator of a closed benchmark: the token is the namespace."""

    async def identify(self, token: str) -> Identity:
        return Identity(namespace=token, service_account="default")


async def serve_delivery(channel: int, transport: str, tls: str = "") -> None:
    """The real delivery process."""
    context = server_context(Path(tls)) if tls else None
    async with await Channel.over(socket.socket(fileno=channel), Down) as builder:
        await run_delivery(builder, istiod_transport(transport, "127.0.0.1:0", context), Prover(Everybody()))


async def serve_echo() -> None:
    """Sends what it reads from standard input (length, bytes) to all streams; prints its port first."""
    import grpc  # noqa: PLC0415 -- 20 MB that the other processes do not need
    import grpc.aio  # noqa: PLC0415

    streams: set[Any] = set()

    async def call(_requests: object, context: Any) -> None:
        await context.read()
        streams.add(context)
        await context.write(b"")
        while await context.read() is not grpc.aio.EOF:
            pass
        streams.discard(context)

    service, _, method = ECHO.removeprefix("/").partition("/")
    server = grpc.aio.server()
    handlers = {method: grpc.stream_stream_rpc_method_handler(call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while size := await reader.read(4):
        body = await reader.readexactly(int.from_bytes(size, "little"))
        await asyncio.gather(*(context.write(body) for context in streams))
    await server.stop(None)


@dataclass
class Herd:
    """`count` clients on bare HTTP/2, so that a thousand of them cost less than what they measure.

    Prints `ready` when all have their first configuration. Then a line for each response that all have acknowledged:
    when the last ACK was written (CLOCK_MONOTONIC), its size, and its type. On standard input, `again` breaks all
    connections and makes them anew, with what the clients hold; `expect N` says how many will be concerned from now on.
    With a `credential` they are gateways that ask for it.
    """

    port: int
    count: int
    offset: int
    method: str
    namespaces: int = 0
    credential: str = ""
    tls: str = ""
    expected: int = 0
    ready: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    clients: dict[int, Client] = field(default_factory=dict)
    #: The latest responses to each namespace: its proxies are mostly sent the same bytes, and only those are read anew
    #: that differ.
    responses: dict[str, deque[Response]] = field(default_factory=dict)
    #: What came in one piece, as it was on the wire, and the messages in it: for who is sent the same to the byte.
    pieces: dict[str, deque[Piece]] = field(default_factory=dict)
    bench: Workbench = field(default_factory=lambda: Workbench(memoryview(bytearray(256 << 10))))

    async def run(self) -> None:
        numbers = range(self.offset, self.offset + self.count)
        for number in numbers:
            await self.connect(Client(self, number))
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            self.acknowledged.clear()
            if line.startswith(b"expect"):
                self.expected = int(line.split()[1])
                continue
            for number in numbers:
                self.clients[number].transport.abort()
            for number in numbers:
                await self.connect(Client(self, number, self.clients[number].held))

    async def connect(self, client: Client) -> None:
        self.clients[client.number] = client

        def protocol() -> asyncio.BufferedProtocol:
            if not self.tls:
                return client
            return Secured(identity(self.tls, client.namespace), client, self.bench, server=SERVER)

        await asyncio.get_running_loop().create_connection(protocol, "127.0.0.1", self.port)

    def read(self, namespace: str, data: bytearray) -> Response:
        """A message with its prefix."""
        latest = self.responses.setdefault(namespace, deque(maxlen=4))
        for response in latest:
            if response.data == data:
                return response
        read = DeltaDiscoveryResponse.FromString(bytes(data[PREFIX:]))
        ack = DeltaDiscoveryRequest(type_url=read.type_url, response_nonce=read.nonce)
        versions = {resource.name: resource.version for resource in read.resources}
        latest.append(Response(bytes(data), read.type_url, versions, prefixed(ack.SerializeToString())))
        return latest[-1]

    def count_ack(self, kind: str, size: int) -> None:
        self.acknowledged[kind] += 1
        if self.acknowledged[kind] == (self.expected or self.count):
            self.acknowledged[kind] = 0
            print(time.monotonic(), size, kind, flush=True)

    def is_ready(self) -> None:
        self.ready += 1
        if self.ready == self.count:
            print("ready", flush=True)


@cache
def identity(folder: str, namespace: str) -> ssl.SSLContext:
    return client_context(Path(folder), namespace)


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


@dataclass(frozen=True, slots=True)
class Response:
    """As it came, with its prefix; what it says; and what acknowledges it, with its prefix."""

    data: bytes
    type_url: str
    versions: dict[str, str]
    ack: bytes

    @property
    def size(self) -> int:
        return len(self.data) - PREFIX


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole DATA frames with whole messages, of `size` without the frames' heads."""

    wire: bytes
    responses: tuple[Response, ...]
    size: int


class Client(asyncio.BufferedProtocol):
    """One proxy. It reads whole messages of stream 1 and gives leave for more far ahead; it sends as much as the server
    gives leave for (gRPC's takes 64 KiB at first, which the versions of a thousand resources exceed). What answers one
    read is one write, as with Envoy.

    `held` are versions by type and name, from a connection before.
    """

    def __init__(self, herd: Herd, number: int, held: dict[str, dict[str, str]] | None = None) -> None:
        self.herd = herd
        self.number = number
        self.held: dict[str, dict[str, str]] = held if held is not None else {}
        self.resumed = held is not None
        self.frames = b""
        self.message = bytearray()
        self.started: set[str] = set()
        self.unseen = 0
        self.room = self.room_of_all = self.initial = DEFAULT_WINDOW
        self.unsent = b""
        self.corked: list[bytes] | None = None
        self.taken: list[Response] = []
        self.namespace = f"n{number % herd.namespaces}" if herd.namespaces else NAMESPACE
        if herd.credential:
            self.namespace = "istio-system"

    def write(self, data: bytes) -> None:
        if self.corked is None:
            self.transport.write(data)
        else:
            self.corked.append(data)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = b"\x83\x86" + literal(b":path", self.herd.method.encode()) + literal(b":authority", b"istiod")
        fields += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
        namespace = self.namespace
        if not self.herd.tls:
            fields += literal(b"authorization", f"Bearer {namespace}".encode())
        window = (1 << 30).to_bytes(4)
        hello = frame(Type.SETTINGS, 0, 0, (4).to_bytes(2) + window) + frame(Type.WINDOW_UPDATE, 0, 0, window)
        transport.write(PREFACE + hello + frame(Type.HEADERS, Flag.END_HEADERS, 1, fields))
        workload = f"w{self.number % WORKLOADS}"
        first = DeltaDiscoveryRequest(type_url=CDS)
        kind = "sidecar"
        if self.herd.credential:
            kind, workload = "router", "edge"
        pod = f"{workload}-{self.number}.{namespace}"
        first.node.id = f"{kind}~10.0.{self.number // 250}.{self.number % 250}~{pod}~{namespace}.svc.cluster.local"
        first.node.metadata.update({"NAMESPACE": namespace, "LABELS": {"app": workload, "istio": workload}})
        first.initial_resource_versions.update(self.held.get(CDS, {}))
        self.send(first)
        if self.resumed:
            self.resume()

    def resume(self) -> None:
        """Subscribe to everything as before the connection broke."""
        for kind in (EDS, LDS, RDS, ECDS):
            held = self.held.get(kind, {})
            names = () if kind == LDS else held
            request = DeltaDiscoveryRequest(type_url=kind, resource_names_subscribe=names)
            request.initial_resource_versions.update(held)
            self.send(request)
        self.started = {CDS, EDS, LDS, RDS}

    def send(self, request: DeltaDiscoveryRequest) -> None:
        self.say(prefixed(request.SerializeToString()))

    def say(self, message: bytes) -> None:
        """A message with its prefix."""
        size = len(message)
        if self.unsent or size > min(self.room, self.room_of_all, LARGEST_FRAME):
            self.unsent += message
            self.pump()
        else:
            self.room -= size
            self.room_of_all -= size
            self.write(frame(Type.DATA, 0, 1, message))

    def pump(self) -> None:
        while size := min(len(self.unsent), self.room, self.room_of_all, LARGEST_FRAME):
            if size < 0:
                return
            self.room -= size
            self.room_of_all -= size
            self.write(frame(Type.DATA, 0, 1, self.unsent[:size]))
            self.unsent = self.unsent[size:]

    def more_room(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == Type.WINDOW_UPDATE and stream:
            self.room += int.from_bytes(payload)
        elif kind == Type.WINDOW_UPDATE:
            self.room_of_all += int.from_bytes(payload)
        else:
            for key, value in settings(payload):
                if key == Setting.INITIAL_WINDOW_SIZE:
                    self.room += value - self.initial
                    self.initial = value
        self.pump()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self.herd.bench.into

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self.herd.bench.into[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        self.corked, self.taken = [], []
        if self.frames or self.message or self.herd.method == ECHO:
            self.received(memoryview(self.frames + data if self.frames else data))
        else:
            self.received_between(data)
        corked, self.corked = self.corked, None
        if corked:
            self.transport.write(corked[0] if len(corked) == 1 else b"".join(corked))

    def received_between(self, data: bytes | memoryview) -> None:
        """What begins with a frame and a message: most of it another client has been sent too."""
        latest = self.herd.pieces.setdefault(self.namespace, deque(maxlen=4))
        for piece in latest:
            if len(piece.wire) == len(data) and piece.wire == bytes(data):
                for response in piece.responses:
                    self.answer(response)
                self.unseen += piece.size
                return
        unseen = self.unseen
        if self.received(memoryview(data)) and not self.message and self.taken:
            latest.append(Piece(bytes(data), tuple(self.taken), self.unseen - unseen))

    def received(self, data: memoryview) -> bool:
        """Frames; whether they are whole, and DATA only."""
        plain = True
        at = 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3])
            if len(data) < end:
                break
            kind, flags = data[at + 3], data[at + 4]
            plain = plain and kind == Type.DATA
            if kind == Type.DATA:
                self.message += data[at + 9 : end]
                self.unseen += end - at - 9
                self.take_messages()
            elif kind == Type.WINDOW_UPDATE:
                self.more_room(kind, int.from_bytes(data[at + 5 : at + 9]), bytes(data[at + 9 : end]))
            elif kind in {Type.SETTINGS, Type.PING} and not flags & Flag.ACK:
                if kind == Type.SETTINGS:
                    self.more_room(kind, 0, bytes(data[at + 9 : end]))
                self.write(frame(Type(kind), Flag.ACK, 0, bytes(data[at + 9 : end]) if kind == Type.PING else b""))
            elif kind in {Type.GOAWAY, Type.RST_STREAM}:
                sys.exit(f"the server ended: {bytes(data[at:end])!r}")
            at = end
        self.frames = bytes(data[at:])
        if self.unseen > 1 << 24:
            size, self.unseen = self.unseen.to_bytes(4), 0
            self.write(frame(Type.WINDOW_UPDATE, 0, 0, size) + frame(Type.WINDOW_UPDATE, 0, 1, size))
            return False
        return plain and not self.frames

    def take_messages(self) -> None:
        message = self.message
        while len(message) >= PREFIX and len(message) >= (end := PREFIX + int.from_bytes(message[1:PREFIX])):
            if len(message) == end:
                self.take(message)
                message.clear()
            else:
                self.take(message[:end])
                del message[:end]

    def take(self, message: bytearray) -> None:
        if self.herd.method == ECHO and len(message) == PREFIX:
            # The server's first message is its greeting.
            self.herd.is_ready()
            return
        response = self.herd.read(self.namespace, message)
        self.taken.append(response)
        self.answer(response)

    def answer(self, response: Response) -> None:
        kind = response.type_url
        known = self.held.setdefault(kind, {})
        names = [name for name in response.versions if name not in known]
        known.update(response.versions)
        self.say(response.ack)
        if kind == ECDS:
            # Of slots nothing is changed here.
            return
        if kind in self.started or self.herd.method == ECHO:
            if kind == SDS:
                self.herd.count_ack("Secret", response.size)
            elif kind == CDS and (new := [name for name in names if name.startswith("outbound|")]):
                self.send(DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=new))
            elif kind != LDS:
                self.herd.count_ack(kind.rpartition(".")[2], response.size)
            return
        self.started.add(kind)
        self.follow(response)
        if len(self.started) == (3 if self.herd.credential else 4):
            self.herd.is_ready()

    def follow(self, response: Response) -> None:
        """Subscribe to what the first response of a type leads to, as Envoy does."""
        if response.type_url == CDS:
            names = [name for name in response.versions if name.startswith("outbound|")]
            if not self.herd.credential:
                self.send(DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=names))
            self.send(DeltaDiscoveryRequest(type_url=LDS))
        elif response.type_url == LDS:
            # Envoy asks for each by itself.
            for slot in SLOTS:
                self.send(DeltaDiscoveryRequest(type_url=ECDS, resource_names_subscribe=[slot.name]))
            self.follow_listeners()

    def follow_listeners(self) -> None:
        """And to what listeners lead to."""
        if self.herd.credential:
            self.send(DeltaDiscoveryRequest(type_url=SDS, resource_names_subscribe=[self.herd.credential]))
        else:
            self.send(DeltaDiscoveryRequest(type_url=RDS, resource_names_subscribe=["80"]))


def main() -> None:
    match sys.argv[1:]:
        case ["delivery", transport, channel, *more]:
            asyncio.run(serve_delivery(int(channel), transport, *more))
        case ["echo"]:
            asyncio.run(serve_echo())
        case ["clients", port, count, offset, method, *more]:
            namespaces = int(more[0]) if more else 0
            asyncio.run(Herd(int(port), int(count), int(offset), method, namespaces, *more[1:]).run())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
