"""Calls to the services behind the front-end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from sockshop.front_end.shopfault import ShopError, cut_off, not_json, unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTIONS = 256
"""Most connections to one backend; a slow one holds up its own callers only."""
IDLE_SECONDS = 15.0
NAME_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a backend said. `source` names it in errors."""

    source: str
    status: int
    body: bytes

    def json(self) -> Any:
        """Raises ShopError when the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise not_json(self.source, self.status, self.body) from error

    def json_or_text(self) -> Any:
        """The body as JSON if it is, else as a string, else None: for answers that are only passed on."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode("utf-8", "replace") or None


class Backends:
    """One pool of connections to all backends. No timeouts: as in the original, a fault is waited for."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the pool; nothing is connected yet."""
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=NAME_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self, method: str, address: str, *, headers: Mapping[str, str], body: object | None = None
    ) -> Answer:
        """The whole answer, whatever its status. Raises ShopError when there is none."""
        try:
            async with self.stream(method, address, headers=headers, body=body) as response:
                return Answer(source=response.url.host or address, status=response.status, body=await response.read())
        except aiohttp.ClientError as error:
            raise failure(address, error) from error

    def stream(
        self, method: str, address: str, *, headers: Mapping[str, str], body: object | None = None
    ) -> aiohttp.client._RequestContextManager:
        """The answer as it comes, to be passed on; raises aiohttp.ClientError, which `failure` translates."""
        if self._session is None:
            raise RuntimeError("the connections to the backends are not open")
        sent = None if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        if sent is not None:
            headers = {**headers, "Content-Type": "application/json"}
        # encoded: the path goes on as it came, escapes and all.
        return self._session.request(method, URL(address, encoded=True), headers=headers, data=sent)


def failure(address: str, error: aiohttp.ClientError) -> ShopError:
    """An error of the HTTP client in the original's words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return unreachable(error.host or address, error.port or 80, error.os_error)
    if isinstance(error, aiohttp.InvalidURL):
        return ShopError(f"Invalid URI {address!r}")
    return cut_off()
