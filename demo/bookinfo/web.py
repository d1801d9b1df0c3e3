"""HTTP for all services of this package: the standard library's server, a thread for each connection.

A service is one function from a request to a reply. That is all the samples need, in half the memory of a framework.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"

DRAIN_SECONDS = 5.0
"""Longest wait for requests in flight after SIGTERM."""

PASSED_ON = (
    "x-request-id", "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
    "x-b3-sampled", "x-b3-flags", "x-ot-span-context", "x-cloud-trace-context", "x-datadog-trace-id",
    "x-datadog-parent-id", "x-datadog-sampling-priority", "grpc-trace-bin", "sw8", "end-user", "user-agent",
    "cookie", "authorization", "jwt",
)  # fmt: skip
"""Headers that go along with every call made for a request: those of traces, and those that rules may look at."""


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case, `target` is path and query as they came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    peer: str = ""

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the query; of one that is repeated the last."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def passed_on(self) -> dict[str, str]:
        """The headers for calls made on behalf of this request."""
        return {name: self.headers[name] for name in PASSED_ON if name in self.headers}


@dataclass(frozen=True)
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


Service = Callable[[Request], Reply]


def document(value: object, status: int = 200) -> Reply:
    """`value` as JSON."""
    return Reply(json.dumps(value).encode(), status)


def text(words: str, status: int = 200) -> Reply:
    """Plain text."""
    return Reply(words.encode(), status, TEXT)


def not_found(request: Request) -> Reply:
    """What an unknown path is answered."""
    return document({"error": f"nothing is at {request.path}"}, 404)


def call(url: str, headers: Mapping[str, str], *, seconds: float) -> tuple[int, object] | None:
    """GET a document: its status and, of one that is JSON, the value; None without an answer in time."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request("GET", target, headers={**headers, "accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        say(f"{url}: {error!r}")
        return None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(body)
    except ValueError:
        return answer.status, None


def say(line: str) -> None:
    """A line of the log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """Serves on all addresses, and knows how many requests are in flight."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.calm = threading.Condition()
        self.busy = 0
        super().__init__(("", port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that leaves is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Between the wire and the service."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def __getattr__(self, name: str) -> Callable[[], None]:
        """`do_GET` and the like: every method goes to the service."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        with self.server.calm:
            self.server.busy += 1
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self._body(), self.client_address[0])
            self._write(self.server.service(request))
        finally:
            with self.server.calm:
                self.server.busy -= 1
                self.server.calm.notify_all()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def log_message(self, template: str, *values: object) -> None:
        """In the form that web servers share, on stdout."""
        say(f"{self.client_address[0]} - - [{self.log_date_time_string()}] {template % values}")


def serve(service: Service, *, port: int, name: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return. Raises OSError if the port cannot be had."""
    server = Server(service, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    say(f"{name} {socket.gethostname()} listening on port {server.server_port}")
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    with server.calm:
        server.calm.wait_for(lambda: not server.busy, DRAIN_SECONDS)
