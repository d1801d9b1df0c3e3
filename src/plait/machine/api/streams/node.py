"""The node's stream socket: logs and raw connections into pods."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from plait.machine.api.errors import StatusError, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_HEAD_LIMIT = 64 * 1024
_CONNECT_SECONDS = 30.0
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """A raw connection into a pod."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class NodeSocket:
    """HTTP/1.1 over the node's unix socket. Refusals of the node come back as they are; no node is a 503."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def connect(self, namespace: str, pod: str, port: int) -> Pipe:
        """A connection to a port on 127.0.0.1 inside the pod; raises StatusError."""
        return await self._upgrade(f"/connect/{quote(namespace)}/{quote(pod)}/{port}", "tcp")

    async def remote(
        self, verb: str, namespace: str, pod: str, container: str, query: Sequence[tuple[str, str]]
    ) -> Pipe:
        """A connection that carries frames to a program (`verb` is exec or attach); raises StatusError."""
        place = "/".join(quote(word, safe="") for word in (verb, namespace, pod, container))
        return await self._upgrade(f"/{place}?{urlencode(query)}", "frames")

    async def usage(self) -> dict[str, Any]:
        """What containers use, as the node's `usage.Usage`; raises StatusError."""
        async with _Answer(self._path, "/usage", {}) as pieces:
            return msgspec.json.decode(b"".join([piece async for piece in pieces]), type=dict[str, Any])

    async def _upgrade(self, target: str, protocol: str) -> Pipe:
        head = f"GET {target} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_HEAD_LIMIT)
                try:
                    writer.write(head.encode())
                    await self._expect_upgrade(reader)
                except BaseException:
                    writer.close()
                    raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as problem:
            raise unavailable(f"the node does not answer: {problem or 'timed out'}") from None
        return Pipe(reader=reader, writer=writer)

    @staticmethod
    async def _expect_upgrade(reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        code = int(head[0].split(" ", 2)[1])
        if code == 101:
            return
        fields = {name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in head[1:])}
        length = int(fields.get("content-length", "0") or 0)
        raise _refusal(code, await reader.readexactly(min(length, _HEAD_LIMIT)))

    def logs(
        self, namespace: str, pod: str, container: str, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The text of a container's log, piece by piece, for as long as the node sends; raises StatusError."""
        return _Answer(self._path, f"/logs/{quote(namespace)}/{quote(pod)}/{quote(container)}", dict(query))


class _Answer:
    def __init__(self, path: str, target: str, query: dict[str, str]) -> None:
        self._path = path
        self._target = target
        self._query = query
        self._session: aiohttp.ClientSession | None = None
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._path), timeout=timeout)
        try:
            url = f"http://node{self._target}"
            self._response = await self._session.get(url, params=self._query, allow_redirects=False)
            refused = self._response.status != 200
            text = await self._response.content.read(_HEAD_LIMIT) if refused else b""
        except aiohttp.ClientError as problem:
            await self._session.close()
            raise unavailable(f"the node does not answer: {problem}") from None
        except BaseException:
            await self._session.close()
            raise
        if refused:
            await self._session.close()
            raise _refusal(self._response.status, text)
        return self._response.content.iter_any()

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        if self._session is not None:
            await self._session.close()


def _refusal(code: int, body: bytes) -> StatusError:
    try:
        status = msgspec.json.decode(body, type=dict)
    except msgspec.DecodeError:
        status = {}
    message = str(status.get("message") or body.decode("utf-8", "replace").strip() or f"the node answered {code}")
    return StatusError(code, str(status.get("reason") or "InternalError"), message, details=status.get("details"))


async def pieces_of(pipe: Pipe) -> AsyncIterator[bytes]:
    """What the pod sends, piece by piece, until it closes."""
    while piece := await pipe.reader.read(_PIECE):
        yield piece
