"""What a service remembers of each request: its duration in a histogram and, if wanted, a line of JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, TextIO

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sockshop.service.histogram import Histogram


class Journal:
    """Measures every request; writes an access log only when asked to, because a sidecar writes one already.

    `route` names the request for the histogram. A request whose handler raised is counted as 500.
    """

    def __init__(
        self,
        histogram: Histogram,
        *,
        labels: Callable[[web.Request, int], tuple[str, ...]],
        access_log: TextIO | None = None,
    ) -> None:
        self._histogram = histogram
        self._labels = labels
        self._access_log = access_log

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Goes round every request that is to be measured."""
        started = time.perf_counter()
        status = 500
        size = 0
        try:
            response = await handler(request)
            status = response.status
            size = response.content_length or 0
        except web.HTTPException as error:
            status = error.status
            raise
        else:
            return response
        finally:
            seconds = time.perf_counter() - started
            self._histogram.observe(self._labels(request, status), seconds)
            if self._access_log is not None:
                self._write(self._access_log, request, status, size, seconds)

    def _write(self, log: TextIO, request: web.Request, status: int, size: int, seconds: float) -> None:
        now = time.time()
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z",
            "method": request.method,
            "path": request.raw_path,
            "status": status,
            "bytes": size,
            "ms": round(seconds * 1000, 3),
            "request_id": request.headers.get("x-request-id", ""),
        }
        log.write(json.dumps(line, separators=(",", ":")) + "\n")
        log.flush()


def access_log(wanted: bool) -> TextIO | None:
    """Where access log lines go: stdout, as one line of JSON each, or nowhere."""
    return sys.stdout if wanted else None
