"""A raw two-way connection out of an HTTP request that asked for an upgrade.

aiohttp has no public way to do this. What is used of it (`protocol.set_parser`, `protocol.keep_alive`) is what its own
WebSocket server uses; a test shows that it still works.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HIGH, _LOW = 1 << 20, 1 << 18


class RawConnection:
    """Bytes both ways after a 101. Reading pauses the socket while more than a megabyte waits."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._paused = False
        self._news = asyncio.Event()

    async def accept(self, protocol: str, headers: dict[str, str]) -> web.StreamResponse:
        """Answer 101 with the upgraded protocol's name; the handler must return the response in the end."""
        response = web.StreamResponse(status=101, headers={"Connection": "Upgrade", "Upgrade": protocol, **headers})
        inner: Any = self._request.protocol
        inner.keep_alive(False)
        inner.set_parser(self)
        await response.prepare(self._request)
        return response

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the other side is slow. Raises ConnectionError."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        transport.write(data)
        inner: Any = self._request.protocol
        await inner._drain_helper()  # noqa: SLF001 - see the module's docstring

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the client sends, until it closes."""
        while True:
            while self._pieces:
                piece = self._pieces.pop(0)
                self._size -= len(piece)
                if self._paused and self._size < _LOW:
                    self._pause(paused=False)
                yield piece
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp with what arrived."""
        self._pieces.append(bytes(data))
        self._size += len(data)
        if not self._paused and self._size > _HIGH:
            self._pause(paused=True)
        self._news.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp when the client closed."""
        self._ended = True
        self._news.set()

    def set_exception(self, *_: object) -> None:
        """Called by aiohttp when the connection broke."""
        self.feed_eof()

    def _pause(self, *, paused: bool) -> None:
        transport: Any = self._request.transport
        self._paused = paused
        if transport is not None and not transport.is_closing():
            (transport.pause_reading if paused else transport.resume_reading)()

    def close(self) -> None:
        """Close the connection; what is written already is still sent."""
        if self._request.transport is not None:
            self._request.transport.close()
