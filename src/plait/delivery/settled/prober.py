"""Asks proxies, through their data plane, whether they run with what they acknowledged."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from plait.delivery.settled.probe import CONCURRENCY, GAUGES, QUERY, TOKEN, WARMING
from plait.xds.names import PROBE

#: No answer of a probe is as long as this.
_LIMIT = 1 << 16


class ProbeError(Exception):
    """A proxy gave no answer that could be understood; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where one proxy is asked, and with which secret."""

    address: str
    port: int
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one probe found: `ready` when every worker answers with the token and nothing is warming."""

    ready: bool
    warming: int = 0
    workers: int = 1


async def probe(door: Door, token: str, *, workers: int = 1, timeout: float = 1.0) -> Finding:  # noqa: ASYNC109
    """Ask once. `workers` is what an earlier probe found. Raises ProbeError.

    The gauges come before the token on one connection: what was warm when they were read is in effect when the token
    is answered. Connections are open at once and balanced evenly, so twice as many as workers reach every worker, even
    should one of a probe before still be counted.
    """
    loop, opened = asyncio.get_running_loop(), []
    try:
        async with asyncio.timeout(timeout):
            for _ in range(1 if workers == 1 else 2 * workers):
                opened.append(await loop.create_connection(_Exchange, door.address, door.port))  # noqa: PERF401 (close all)
            questions = ((f"{GAUGES}{QUERY}", TOKEN), *((TOKEN,) for _ in opened[1:]))
            for (transport, _), paths in zip(opened, questions, strict=True):
                transport.write(b"".join(_request(door, path, last=path == paths[-1]) for path in paths))
            answers = [await exchange.answer for _, exchange in opened]
    except TimeoutError as error:
        raise ProbeError(f"no answer within {timeout:g} s on port {door.port}") from error
    except OSError as error:
        raise ProbeError(f"port {door.port}: {error.strerror or error}") from error
    finally:
        for transport, _ in opened:
            transport.abort()
    first, *others = answers
    gauges, _, rest = first.partition(b"\r\nHTTP/1.1 ")
    if gauges.startswith(b"HTTP/1.1 404"):
        # The route with this secret has not arrived yet.
        return Finding(ready=False, workers=workers)
    found = _gauges(gauges)
    warming = sum(found[name] for name in WARMING)
    proved = all(body.endswith(f"\r\n\r\n{token}".encode()) for body in (rest, *others))
    enough = workers >= found[CONCURRENCY]
    return Finding(ready=proved and enough and not warming, warming=warming, workers=max(1, found[CONCURRENCY]))


def _request(door: Door, path: str, *, last: bool) -> bytes:
    close = "Connection: close\r\n" if last else ""
    return f"GET /{door.secret}/{path} HTTP/1.1\r\nHost: {PROBE}\r\n{close}\r\n".encode()


class _Exchange(asyncio.Protocol):
    """Collects what comes until the other end closes."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []
        self._size = 0

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > _LIMIT and not self.answer.done():
            self.answer.set_exception(ProbeError("answered far too much: something else listens there"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self.answer.done():
            return
        if exc is not None:
            self.answer.set_exception(exc)
            # Nobody may wait any more.
            self.answer.exception()
        else:
            self.answer.set_result(b"".join(self._parts))


def _gauges(answer: bytes) -> dict[str, int]:
    """What Envoy says of itself. Raises ProbeError when it does not say all of it."""
    text = answer.decode(errors="replace")
    found = {name: re.search(rf"^{re.escape(name)}: (\d+)", text, re.MULTILINE) for name in (*WARMING, CONCURRENCY)}
    if missing := [name for name, match in found.items() if match is None]:
        head = text.partition("\r")[0] or "nothing"
        raise ProbeError(f"answered {head!r} without {', '.join(missing)}")
    return {name: int(match[1]) for name, match in found.items() if match is not None}
