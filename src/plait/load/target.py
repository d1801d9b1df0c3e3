"""What is asked of whom: a URL taken apart, the bytes of the request, and the addresses of its host."""

from __future__ import annotations

import base64
import random
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from plait.load.version import USER_AGENT

#: Replaced by a fresh UUID in each request, by way of a place of the size of one, so that lengths hold.
UUID_MARK: Final = "{uuid}"
_UUID_PLACE: Final = f"{{uuid{'-' * 30}}}"
FAMILIES: Final = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6, "ip": socket.AF_UNSPEC}
_CACHE_SECONDS: Final = 1.0


class TargetError(ValueError):
    """A target cannot be called; says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL taken apart; `authority` is host and port as the URL has them."""

    url: str
    https: bool
    authority: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Read `http://` and `https://` URLs; raises TargetError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise TargetError(f"parse {url!r}: {error}") from error
        if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
            raise TargetError(f"parse {url!r}: write http://host[:port][/path]")
        if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
            raise TargetError(f"parse {url!r}: a URL has no blanks and no control characters; write %20")
        https = parts.scheme.lower() == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            url=url,
            https=https,
            authority=parts.netloc.rpartition("@")[2],
            host=parts.hostname,
            port=(443 if https else 80) if port is None else port,
            path=path,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, before it is bytes. `headers` are as given by `-H`, in order."""

    method: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""
    content_type: str = ""
    credentials: str = ""
    keepalive: bool = True
    http10: bool = False
    compression: bool = False

    @property
    def verb(self) -> str:
        """The method: POST as soon as there is something to send, unless `-X` names another."""
        return self.method or ("POST" if self.payload or self.content_type else "GET")

    def render(self, target: Target) -> bytes:
        """The bytes of the request. Raises TargetError for what does not fit into a header."""
        path = target.path.replace(UUID_MARK, _UUID_PLACE)
        lines = [f"{self.verb} {path} HTTP/{'1.0' if self.http10 else '1.1'}"]
        hosts = [value for name, value in self.headers if name.lower() == "host"]
        if hosts or not self.http10:
            lines.append(f"Host: {hosts[-1] if hosts else target.authority}")
        if not self.keepalive and not self.http10:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in self._headers()]
        head = "\r\n".join([*lines, "", ""])
        try:
            return head.encode("latin-1") + self._body
        except UnicodeEncodeError as error:
            raise TargetError(
                f"{head[error.start : error.end]!r} cannot stand in a header; write it in ASCII"
            ) from error

    @property
    def _body(self) -> bytes:
        return self.payload.replace(UUID_MARK.encode(), _UUID_PLACE.encode())

    def _headers(self) -> list[tuple[str, str]]:
        """All headers but Host, by name, as Go writes them."""
        found: dict[str, list[str]] = {"User-Agent": [USER_AGENT]}
        for name, value in self.headers:
            if name.lower() != "host":
                found.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
        content = self.content_type or ("application/octet-stream" if self.payload else "")
        if self.content_type or (content and "Content-Type" not in found):
            found["Content-Type"] = [content]
        if content and "Content-Length" not in found:
            found["Content-Length"] = [str(len(self._body))]
        if self.credentials:
            found["Authorization"] = ["Basic " + base64.b64encode(self.credentials.encode()).decode()]
        if self.compression:
            found.setdefault("Accept-Encoding", ["gzip"])
        return [(name, value) for name in sorted(found) for value in found[name]]


def header(text: str) -> tuple[str, str]:
    """A header from `-H`; raises ValueError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"invalid extra header '{text}', expecting Key: Value")
    if any(char in text for char in "\r\n\0"):
        raise ValueError(f"invalid extra header {text!r}: it is one line")
    return name.strip(), value.strip()


def has_uuids(request: bytes) -> bool:
    """Whether a rendered request has places for UUIDs."""
    return _UUID_PLACE.encode() in request


def fresh_uuids(request: bytes) -> bytes:
    """A rendered request with a new UUID in each place for one."""
    place = _UUID_PLACE.encode()
    while place in request:
        request = request.replace(place, str(uuid.UUID(int=random.getrandbits(128), version=4)).encode(), 1)
    return request


@dataclass(slots=True, kw_only=True)
class Addresses:
    """The addresses of a host, resolved anew for new connections but not more than once a second."""

    host: str
    port: int
    family: str = "ip4"
    method: str = "cached-rr"
    once: bool = False
    _found: Sequence[tuple[int, tuple[str, int]]] = ()
    _at: float = 0.0
    _turn: int = field(default=0)

    def check(self) -> None:
        """Resolve for a first time; raises OSError where the host has no address."""
        self._found = self._resolved()
        self._at = time.monotonic()

    def _resolved(self) -> list[tuple[int, tuple[str, int]]]:
        known = socket.getaddrinfo(self.host, self.port, FAMILIES[self.family], socket.SOCK_STREAM)
        return [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in known]

    def next(self) -> tuple[int, tuple[str, int]]:
        """Family and address for the next connection; raises OSError where there is none."""
        now = time.monotonic()
        if not self._found or (not self.once and now - self._at > _CACHE_SECONDS):
            self._found, self._at = self._resolved(), now
        if self.method == "rnd":
            return random.choice(self._found)  # noqa: S311 -- spreads load, guards nothing
        chosen = self._found[0 if self.method == "first" else self._turn % len(self._found)]
        self._turn += 1
        return chosen


def shown(address: tuple[str, int] | str) -> str:
    """An address as the results name it."""
    if isinstance(address, str):
        return address
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
