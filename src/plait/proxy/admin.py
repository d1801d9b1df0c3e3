"""Envoy's admin interface over whatever connects to it: a port, a unix socket, or a port-forward into a pod."""

from __future__ import annotations

import asyncio
import http.client
import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from plait.proxy.dump import without_probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Connector = Callable[[], AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    """Makes one connection; it is closed on leaving."""


class AdminError(Exception):
    """The admin interface did not answer, or not with 200; the message names it and what it said."""


def tcp(host: str, port: int) -> Connector:
    """Connects to an address."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield reader, writer
        finally:
            writer.close()

    return connect


def unix(path: str) -> Connector:
    """Connects to a unix socket."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            yield reader, writer
        finally:
            writer.close()

    return connect


class Admin:
    """One request a connection; `name` is how messages call the proxy. All methods raise AdminError.

    What a connector of another kind raises for a connection that fails (an ApiError of a port-forward, say) passes
    through.
    """

    def __init__(self, connector: Connector, *, name: str = "envoy", timeout: float = 20.0) -> None:
        self._connector = connector
        self._name = name
        self._timeout = timeout

    async def get(self, path: str, *, method: str = "GET") -> bytes:
        """The body of a 200 answer."""
        status, body = await self.request(path, method=method)
        if status != http.client.OK:
            said = body[:200].decode("utf-8", "replace").strip()
            raise AdminError(f"admin of {self._name}: {method} {path}: HTTP {status} {said}")
        return body

    async def request(self, path: str, *, method: str = "GET") -> tuple[int, bytes]:
        """Status and body of any answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        try:
            async with asyncio.timeout(self._timeout), self._connector() as (reader, writer):
                writer.write(head.encode("latin-1"))
                await writer.drain()
                raw = await reader.read()
            response = http.client.HTTPResponse(_Bytes(raw), method=method)  # type: ignore[arg-type]
            response.begin()
            return response.status, response.read()
        except TimeoutError as error:
            raise AdminError(f"admin of {self._name}: {path}: no answer in {self._timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"admin of {self._name}: {path}: {error or type(error).__name__}") from error

    async def config_dump(self, *, endpoints: bool = True) -> dict[str, Any]:
        """The /config_dump without istiod's probe; endpoints only on demand, they can be large."""
        return without_probe(self._decode(await self.get(f"/config_dump{'?include_eds' if endpoints else ''}")))

    async def clusters(self) -> dict[str, Any]:
        """Clusters and their hosts with health and counters."""
        return self._decode(await self.get("/clusters?format=json"))

    async def stats(self, *, pattern: str = "", used_only: bool = False) -> dict[str, int]:
        """Counters and gauges by name; `pattern` is a regular expression of Envoy's (RE2)."""
        query = ["format=json", "type=All"]
        query += [f"filter={_quote(pattern)}"] if pattern else []
        query += ["usedonly"] if used_only else []
        answer = self._decode(await self.get("/stats?" + "&".join(query)))
        return {entry["name"]: entry["value"] for entry in answer.get("stats", ()) if "value" in entry}

    async def ready(self) -> bool:
        """Whether the server is LIVE: its first configuration is in and its listeners accept."""
        status, _ = await self.request("/ready")
        return status == http.client.OK

    def _decode(self, body: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise AdminError(f"admin of {self._name}: answer is not JSON: {error}") from error


def _quote(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.~" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


class _Bytes:
    """What `http.client` reads an answer from."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)
