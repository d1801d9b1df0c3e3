"""The processes around `push.py`: a delivery that believes everybody, an echo server, and clients that acknowledge.

python benchmarks/push_peers.py delivery CHANNEL | echo | clients PORT COUNT OFFSET METHOD
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from plait.delivery.auth import Identity
from plait.delivery.child import run_delivery
from plait.delivery.frames import Channel, Down
from plait.delivery.grpc_transport import GrpcTransport
from plait.xds.resource import CDS, EDS, LDS, RDS

NAMESPACE = "shop"
WORKLOADS = 10
ECHO = "/echo.Echo/Broadcast"


class Everybody:
    """Authenticator of a closed benchmark."""

    async def identify(self, _token: str) -> Identity:
        return Identity(namespace=NAMESPACE, service_account="default")


async def serve_delivery(channel: int) -> None:
    """The real delivery process."""
    async with await Channel.over(socket.socket(fileno=channel), Down) as builder:
        await run_delivery(builder, GrpcTransport("127.0.0.1:0"), Everybody())


async def serve_echo() -> None:
    """Sends what it reads from standard input (length, bytes) to all streams; prints its port first."""
    streams: set[Any] = set()

    async def call(_requests: object, context: Any) -> None:
        await context.read()
        await context.write(b"")
        streams.add(context)
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
    """`count` clients. Prints `ready` when all have their first configuration.

    Then a line for each response that all have acknowledged: when the last ACK was written (CLOCK_MONOTONIC), and its
    size.
    """

    port: int
    count: int
    offset: int
    method: str
    ready: int = 0
    acknowledged: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.offset, self.offset + self.count):
                tasks.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        call = channel.stream_stream(self.method)(metadata=(("authorization", "Bearer x"),), wait_for_ready=True)
        workload = f"w{number % WORKLOADS}"
        first = DeltaDiscoveryRequest(type_url=CDS)
        pod = f"{workload}-{number}.{NAMESPACE}"
        first.node.id = f"sidecar~10.0.{number // 250}.{number % 250}~{pod}~{NAMESPACE}.svc.cluster.local"
        first.node.metadata.update({"NAMESPACE": NAMESPACE, "LABELS": {"app": workload}})
        await call.write(first.SerializeToString())
        if self.method == ECHO:
            # The server's first message is its greeting.
            await call.read()
            self._is_ready()
        started: set[str] = set()
        while (message := await call.read()) is not grpc.aio.EOF:
            response = DeltaDiscoveryResponse.FromString(message)
            ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            await call.write(ack.SerializeToString())
            if response.type_url in started or self.method == ECHO:
                self._count(response.type_url, len(message))
            else:
                started.add(response.type_url)
                await self._follow(call, response)
                if len(started) == 4:
                    self._is_ready()

    async def _follow(self, call: Any, response: DeltaDiscoveryResponse) -> None:
        """Subscribe to what the first response of a type leads to, as Envoy does."""
        if response.type_url == CDS:
            names = [r.name for r in response.resources if r.name.startswith("outbound|")]
            await call.write(DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=names).SerializeToString())
            await call.write(DeltaDiscoveryRequest(type_url=LDS).SerializeToString())
        elif response.type_url == LDS:
            await call.write(DeltaDiscoveryRequest(type_url=RDS, resource_names_subscribe=["80"]).SerializeToString())

    def _count(self, type_url: str, size: int) -> None:
        if type_url in {CDS, LDS}:
            return
        self.acknowledged += 1
        if self.acknowledged == self.count:
            self.acknowledged = 0
            print(time.monotonic(), size, flush=True)

    def _is_ready(self) -> None:
        self.ready += 1
        if self.ready == self.count:
            print("ready", flush=True)


def main() -> None:
    match sys.argv[1:]:
        case ["delivery", channel]:
            asyncio.run(serve_delivery(int(channel)))
        case ["echo"]:
            asyncio.run(serve_echo())
        case ["clients", port, count, offset, method]:
            asyncio.run(Herd(int(port), int(count), int(offset), method).run())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
