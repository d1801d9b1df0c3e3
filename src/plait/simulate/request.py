"""A request as Envoy sees it when it looks for a route: the path made plain, headers joined, Envoy's own added."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.simulate.call import Call

#: Headers that Envoy keeps in a place of their own, where several lines become one.
_JOINED: Final = frozenset(
    {
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "authorization",
        "cache-control",
        "content-length",
        "content-type",
        "expect",
        "origin",
        "referer",
        "te",
        "upgrade",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    }
)
_DOT: Final = re.compile("%2e", re.IGNORECASE)
#: Escapes of letters, digits and `-_~`, which mean the same with and without (RFC 3986, 6.2.2.2).
_ESCAPE: Final = re.compile("%([0-9a-fA-F]{2})")
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` has no query, which is None where there is no question mark; `target` is both.

    `scheme` is that of the client's connection, or what a proxy before this one says.
    """

    method: str
    host: str
    path: str
    query: str | None
    scheme: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path + self.question

    @property
    def question(self) -> str:
        """The query with its question mark, empty where there is none."""
        return f"?{self.query}" if self.query is not None else ""

    def values(self, name: str) -> tuple[str, ...]:
        """What a header has, line by line: each is compared by itself. Envoy joins those that it has a place for."""
        match name:
            case ":authority" | "host":
                return (self.host,) if self.host else ()
            case ":method":
                return (self.method,)
            case ":path":
                return (self.target,)
            case ":scheme":
                return (self.scheme,)
        return self.headers.get(name, ())

    def header(self, name: str) -> str | None:
        """All its values in one text; None where it is absent."""
        values = self.values(name)
        return ",".join(values) if values else None

    def parameter(self, name: str) -> str | None:
        """The first of that name in the query, as it is written: Envoy decodes nothing when it looks for a route."""
        for piece in self.query.split("&") if self.query else ():
            key, _, value = piece.partition("=")
            if key == name:
                return value
        return None

    @property
    def is_grpc(self) -> bool:
        """Whether Envoy takes it for gRPC: by the content type, `application/grpc` or `application/grpc+json`."""
        kind = self.header("content-type") or ""
        return kind == "application/grpc" or kind.startswith("application/grpc+")


def _without_dot(host: str) -> str:
    """A host without the dot at the end of its name, which may have a port."""
    name, colon, port = host.rpartition(":")
    return f"{name.removesuffix('.')}:{port}" if colon and port.isdigit() else host.removesuffix(".")


def request_of(manager: HttpConnectionManager, call: Call) -> Request:
    """What a connection manager makes of a call before it looks for a route."""
    path, mark, query = call.path.partition("?")
    if manager.normalize_path.value:
        path = normalized(path)
    if manager.merge_slashes:
        path = re.sub("/{2,}", "/", path)
    headers = {name.lower(): _placed(name.lower(), values, call) for name, values in call.headers.items()}
    headers = {name: values for name, values in headers.items() if values}
    edge = manager.use_remote_address.value
    # What proxies in front say is believed if there are any to be trusted (Istio: gatewayTopology).
    trusts = not edge or manager.xff_num_trusted_hops > 0
    told = headers.get("x-forwarded-proto", ())
    scheme = "http" if call.tls == "plaintext" else "https"
    if not trusts or not told:
        headers["x-forwarded-proto"] = (scheme,)
    elif call.protocol == "http" and told[0] in {"http", "https"}:
        # HTTP/2 names the scheme by itself.
        scheme = told[0]
    headers.setdefault("x-request-id", ("made-up",))
    if edge:
        headers["x-forwarded-for"] = (",".join((*headers.get("x-forwarded-for", ()), call.source)),)
    return Request(
        method=call.method,
        host=_without_dot(call.host) if manager.strip_trailing_host_dot else call.host,
        path=path,
        query=query if mark else None,
        scheme=scheme,
        headers=headers,
    )


def client_of(manager: HttpConnectionManager, call: Call) -> str:
    """Whose address a request counts as coming from: what trusted proxies say of it, else the caller's own (Envoy)."""
    hops = manager.xff_num_trusted_hops
    if manager.use_remote_address.value:
        if not hops:
            return call.source
        hops -= 1
    told = ",".join(call.headers.get("x-forwarded-for", ())).split(",")
    place = len(told) - 1 - hops
    try:
        return str(ip_address(told[place].strip())) if place >= 0 else call.source
    except ValueError:
        return call.source


def _placed(name: str, values: Sequence[str], call: Call) -> tuple[str, ...]:
    if name in _JOINED:
        return (",".join(values),)
    if name == "cookie" and call.protocol == "http2":
        # Cookies may come in crumbs, which are put together again (RFC 9113, 8.2.3).
        whole = ""
        for value in values:
            whole += f"; {value}" if whole else value
        return (whole,) if whole else ()
    return tuple(values)


def normalized(path: str) -> str:
    """A path without `.` and `..`, with plain letters instead of their escapes and `/` for a backslash.

    Slashes that are written as `%2F` stay so, and several in a row stay several.
    """

    def plain(found: re.Match[str]) -> str:
        letter = chr(int(found[1], 16))
        return letter if letter in _PLAIN else found[0]

    segments = _ESCAPE.sub(plain, _DOT.sub(".", path)).replace("\\", "/").split("/")
    kept: list[str] = []
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/".join(kept) or "/"
