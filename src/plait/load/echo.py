"""What fortio's server answers: an echo that can be told to be late, wrong, large or rude. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from plait.load.golang import parse_duration
from plait.load.version import FORTIO

T = TypeVar("T")

MOST_DELAY = 1.5
MOST_SIZE = 256 << 10
_PAGE = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>fortio (plait)</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}
code{{background:#eee;padding:.1em .3em;border-radius:.2em}}</style></head>
<body><h1>fortio</h1>
<p>This pod answers like fortio {FORTIO} and can load other services. Start a load in it:</p>
<p><code>kubectl exec deploy/fortio-deploy -c fortio -- /usr/local/bin/fortio load -c 3 -qps 0 -n 20 -loglevel Warning
http://front-end:80/index.html</code></p>
<p>Any other path echoes what is posted to it, and heeds <code>?delay=150us:10,2ms:5</code>, <code>?status=503:5</code>,
<code>?size=1024:10</code>, <code>?close=true</code> and <code>?header=Name:Value</code>.
<a href="../debug">/debug</a> shows the request as it arrives.</p></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has come whole."""

    method: str
    target: str
    version: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    peer: str = ""

    def header(self, name: str) -> str:
        """The first of a header's values, or nothing."""
        return next((value for known, value in self.headers if known.lower() == name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer, after `delay` seconds; `close` ends the connection then."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    body: bytes = b""
    delay: float = 0.0
    close: bool = False

    def render(self, *, method: str = "GET", date: str) -> bytes:
        """The bytes of the answer."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {self.status:03d} {phrase}", *(f"{name}: {value}" for name, value in self.headers)]
        lines += [f"Date: {date}", *(["Connection: close"] if self.close else [])]
        bodiless = self.status in {204, 304} or self.status < 200
        lines += [] if bodiless else [f"Content-Length: {len(self.body)}"]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return head if bodiless or method == "HEAD" else head + self.body


def answer(call: Call, *, up: float, host: str, defaults: str = "", most_delay: float = MOST_DELAY) -> Reply:
    """The answer to a call; `up` is how many seconds the server has run, `defaults` the query of calls without one."""
    parts = urlsplit(call.target)
    query = parse_qsl(parts.query or defaults, keep_blank_values=True)
    wanted = dict(query)
    delay = min(most_delay, max(0.0, pick(wanted.get("delay", ""), lambda text: parse_duration(text) / 1e9, 0.0)))
    close = wanted.get("close", "")
    shut = close.lower() == "true" or (bool(close) and random.uniform(0, 100) < _percent(close))  # noqa: S311
    extra = tuple(
        (name.strip(), value.strip())
        for key, text in query
        if key == "header"
        for name, colon, value in [text.partition(":")]
        if colon and name.strip() and "\r" not in text and "\n" not in text
    )
    if parts.path == "/debug":
        text = ("Content-Type", "text/plain; charset=UTF-8")
        return Reply(headers=(text, *extra), body=_described(call, up, host), delay=delay, close=shut)
    if parts.path in {"/fortio", "/fortio/"}:
        return Reply(headers=(("Content-Type", "text/html; charset=UTF-8"),), body=_PAGE.encode())
    status = pick(wanted.get("status", ""), int, 200)
    size = pick(wanted.get("size", ""), int, -1)
    kind = call.header("content-type")
    if size >= 0:
        body, kind = random.randbytes(min(size, MOST_SIZE)), "application/octet-stream"  # noqa: S311
    else:
        body = call.body
    headers = (("Content-Type", kind),) if kind else ()
    return Reply(
        status=status if 200 <= status <= 999 else 400, headers=(*headers, *extra), body=body, delay=delay, close=shut
    )


def pick(text: str, read: Callable[[str], T], default: T) -> T:
    """One of `value:percent,…`, or a single value; the default for the rest of the hundred and for what cannot be read.

    A sum above 100 makes the whole list void.
    """
    if not text:
        return default
    try:
        if ":" not in text:
            return read(text)
        parts = [part.rpartition(":") for part in text.split(",")]
        choices = [(read(value), float(percent)) for value, _, percent in parts]
    except ValueError:
        return default
    if sum(percent for _, percent in choices) > 100:
        return default
    point = random.uniform(0, 100)  # noqa: S311 -- chance, no secret
    for value, percent in choices:
        if point < percent:
            return value
        point -= percent
    return default


def _percent(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _described(call: Call, up: float, host: str) -> bytes:
    host_header = call.header("host")
    others = sorted((name, value) for name, value in call.headers if name.lower() != "host")
    lines = [
        f"fortio (plait) version {FORTIO} echo debug server up for {up:.1f}s on {host} - request from {call.peer}",
        "",
        f"{call.method} {call.target} {call.version}",
        "",
        "headers:",
        "",
        f"Host: {host_header}",
        *(f"{name}: {value}" for name, value in others),
        "",
        "body:",
        "",
        "",
    ]
    return "\n".join(lines).encode() + call.body + b"\n"
