"""Port-forward over WebSocket channels (`v4.channel.k8s.io`), as Python clients speak it.

Each forwarded port i has two channels: 2i for data, 2i+1 for an error text. A message's first byte is its channel; the
first message on each channel is the port as two bytes, little-endian.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from plait.machine.api.errors import StatusError, bad_request
from plait.machine.api.streams.node import Pipe, pieces_of

if TYPE_CHECKING:
    from plait.machine.api.streams.node import NodeSocket

PROTOCOLS = ("v4.channel.k8s.io", "portforward.k8s.io", "v4.base64.channel.k8s.io")


def parse_ports(values: list[str]) -> list[int]:
    """From `ports=80&ports=81` or `ports=80,81`; raises 400."""
    ports: list[int] = []
    for text in ",".join(values).split(","):
        if not text.strip():
            continue
        if not text.strip().isdigit() or not 0 < int(text) < 65536:
            raise bad_request(f"invalid value {text!r} for parameter ports: write a port number from 1 to 65535")
        ports.append(int(text))
    if not ports:
        raise bad_request("query parameter ports is required: the ports of the pod to connect to")
    return ports


async def serve_channels(
    request: web.Request, socket: web.WebSocketResponse, node: NodeSocket, namespace: str, pod: str
) -> web.WebSocketResponse:
    """Forward until the client closes; `socket` is not yet prepared. Raises 400."""
    ports = parse_ports(request.query.getall("ports", []))
    await socket.prepare(request)
    pipes: dict[int, Pipe] = {}
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
    try:
        async with asyncio.TaskGroup() as tasks:
            pumps: list[asyncio.Task[None]] = []
            for index, port in enumerate(ports):
                try:
                    pipes[index] = await node.connect(namespace, pod, port)
                except StatusError as problem:
                    await socket.send_bytes(bytes([2 * index + 1]) + problem.message.encode())
                    continue
                pumps.append(tasks.create_task(_outward(socket, pipes[index], 2 * index), name=f"forward {pod}:{port}"))
            await _inward(socket, pipes)
            for pump in pumps:
                pump.cancel()
    finally:
        for pipe in pipes.values():
            pipe.writer.close()
        await socket.close()
    return socket


async def _outward(socket: web.WebSocketResponse, pipe: Pipe, channel: int) -> None:
    try:
        async for piece in pieces_of(pipe):
            await socket.send_bytes(bytes([channel]) + piece)
        await socket.send_bytes(bytes([channel]))
    except ConnectionError:
        return  # one of the two sides went away; the reader of the socket ends the rest
    await socket.close()


async def _inward(socket: web.WebSocketResponse, pipes: dict[int, Pipe]) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY or len(message.data) < 2:
            continue
        index, is_error = divmod(message.data[0], 2)
        pipe = pipes.get(index)
        if is_error or pipe is None:
            continue
        pipe.writer.write(message.data[1:])
        try:
            await pipe.writer.drain()
        except ConnectionError:
            pipes.pop(index).writer.close()
