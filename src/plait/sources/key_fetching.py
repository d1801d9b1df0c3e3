"""Sets of keys over HTTP and HTTPS, by way of the environment's proxies, from no address that must not be asked."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec

from plait.api.jwks import KeysError, keys_in
from plait.api.web_keys import usable_set
from plait.sources.keys import Fetched, FetchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from plait.snapshot.tokens import KeySource

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Never asked, as in Istio: link-local addresses, where cloud metadata services answer, and one that does elsewhere.
NEVER: Final[tuple[Network, ...]] = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"))
)
#: No set of keys is larger, in bytes.
_LARGEST: Final = 1 << 20
_REDIRECTS: Final = 5
_PIECE: Final = 1 << 16


class _BlockedError(OSError):
    """An address that must not be asked."""


class KeyFetcher:
    """One HTTP client for all sources. `roots` answers the PEM of further authorities that servers may have
    certificates of, beside the system's; `blocked` are addresses that are not asked, beside `NEVER`.
    """

    def __init__(self, *, roots: Callable[[], str] = str, blocked: Iterable[Network] = ()) -> None:
        self._roots = roots
        self._blocked = (*NEVER, *blocked)
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The client, for as long as the block."""
        connector = aiohttp.TCPConnector(limit=16, socket_factory=self._socket, force_close=True)
        headers = {"Accept": "application/json"}
        async with aiohttp.ClientSession(connector=connector, headers=headers, trust_env=True) as self._session:
            yield

    async def __call__(self, source: KeySource, *, within: float) -> Fetched:
        """See `Fetch`."""
        try:
            async with asyncio.timeout(within):
                return await self._fetch(source)
        except TimeoutError:
            raise FetchError(f"{source.url} did not answer within {within:g} s") from None

    async def _fetch(self, source: KeySource) -> Fetched:
        url = source.url
        if source.discovery:
            url = _keys_url(url, (await self._get(url))[0])
        text, fresh = await self._get(url)
        try:
            keys_in(text)
        except KeysError as error:
            raise FetchError(f"what {url} answers is no JSON Web Key Set: it {error}") from None
        keys = usable_set(text)
        if not keys:
            raise FetchError(f"what {url} answers has no key that a proxy can use")
        return Fetched(keys=keys, fresh=fresh)

    async def _get(self, url: str) -> tuple[str, float | None]:
        if self._session is None:
            raise FetchError("the client is not open")
        try:
            async with self._session.get(
                url, ssl=self._tls(), max_redirects=_REDIRECTS, middlewares=(_own_credentials(url),)
            ) as response:
                if not 200 <= response.status < 300:
                    raise FetchError(f"{url} answered {response.status} {response.reason or ''}".rstrip())
                body = bytearray()
                async for piece in response.content.iter_chunked(_PIECE):
                    body += piece
                    if len(body) > _LARGEST:
                        raise FetchError(f"{url} answered more than {_LARGEST >> 20} MiB")
                return body.decode(), _fresh(response.headers.get("Cache-Control", ""))
        except UnicodeDecodeError:
            raise FetchError(f"what {url} answers is not text") from None
        except aiohttp.ClientConnectorError as error:
            raise FetchError(f"{url} cannot be reached: {_reason(error.os_error)}") from None
        except aiohttp.TooManyRedirects:
            raise FetchError(f"{url} redirects too often") from None
        except aiohttp.InvalidURL:
            raise FetchError(f"{url} is no URL") from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError(f"{url} cannot be read: {_reason(error)}") from None

    def _tls(self) -> ssl.SSLContext:
        roots = self._roots()
        known = self._contexts.get(roots)
        if known is None:
            known = ssl.create_default_context()
            if roots:
                known.load_verify_locations(cadata=roots)
            self._contexts = {roots: known}
        return known

    def _socket(self, place: Any) -> socket.socket:
        """A socket for an address as it was resolved: names, redirects and proxies come to this."""
        family, kind, protocol, _, address = place
        with suppress(ValueError):
            found = ipaddress.ip_address(address[0])
            inner = getattr(found, "ipv4_mapped", None) or found
            if any(inner in network for network in self._blocked if network.version == inner.version):
                raise _BlockedError(f"{address[0]} is an address that istiod does not ask for keys")
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setblocking(False)
        return made


def _own_credentials(url: str) -> aiohttp.ClientMiddlewareType:
    """Send to the host of `url` the credentials that stand in it, and no others to anybody.

    With the environment's proxies the client takes passwords of `~/.netrc` too: those of whoever runs istiod, which
    who writes a RequestAuthentication must not have sent about.
    """
    said = urlsplit(url)

    async def handle(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if said.username is None or request.url.host != said.hostname:
            request.headers.pop("Authorization", None)
        return await handler(request)

    return handle


def _keys_url(url: str, text: str) -> str:
    """The place of the keys by a discovery document (OpenID Connect Discovery 1.0, section 3)."""
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise FetchError(f"what {url} answers is not JSON") from None
    found = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith(("http://", "https://")):
        raise FetchError(f"what {url} answers has no jwks_uri")
    return found


def _fresh(said: str) -> float | None:
    """`max-age` of a Cache-Control header (RFC 9111, 5.2.2.1)."""
    for part in said.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.strip('"').isdigit():
            return float(value.strip('"'))
    return None


def _reason(error: BaseException) -> str:
    """What a person can do something with."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        # An event loop puts words of its own there.
        return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__
