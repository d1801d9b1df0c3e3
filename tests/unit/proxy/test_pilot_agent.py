"""`pilot-agent`, against a server in Envoy's place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.serving import served

from plait.proxy.pilot_agent import main


class Admin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        known = {"/stats?filter=over": 200, "/logging?level=debug": 200, "/healthz/ready": self.server.ready.pop(0)}
        status = known.get(self.path, 404)
        body = f"{self.command} {self.path}".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Admin)
    server.ready = [503, 503, 200]
    with served(server):
        yield server


@pytest.mark.parametrize(("method", "path"), [("GET", "stats?filter=over"), ("post", "/logging?level=debug")])
def test_a_request_prints_the_answer(admin, capfdbinary, method: str, path: str) -> None:
    assert main(["request", method, path, "--debug-port", str(admin.server_port)]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{method.upper()} /{path.removeprefix('/')}"


def test_what_envoy_refuses_is_told(admin, capsys) -> None:
    assert main(["request", "GET", "nothing", "--debug-port", str(admin.server_port)]) == 1
    assert "Envoy answered 404 to GET /nothing" in capsys.readouterr().err


def test_a_path_that_is_none_is_told(admin, capsys) -> None:
    assert main(["request", "GET", "stats?filter=a b", "--debug-port", str(admin.server_port)]) == 2
    assert "write %20 for a blank" in capsys.readouterr().err


def test_who_reads_may_stop(admin) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "plait.proxy.pilot_agent", "request", "GET", "stats?filter=over"]
    done = subprocess.run(
        [*command, "--debug-port", str(admin.server_port)], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_where_no_envoy_is_it_says_so(admin, capsys) -> None:
    admin.shutdown()
    admin.server_close()
    assert main(["request", "GET", "stats", "--debug-port", str(admin.server_port)]) == 1
    assert "Envoy does not answer on 127.0.0.1" in capsys.readouterr().err


def test_it_waits_until_envoy_is_ready(admin, capsys) -> None:
    url = f"http://127.0.0.1:{admin.server_port}/healthz/ready"
    assert main(["wait", "--url", url, "--periodMillis", "1", "--requestTimeoutMillis", "5000"]) == 0
    assert admin.ready == []
    admin.ready += [503] * 3
    assert main(["wait", "--url", url, "--timeoutSeconds", "0", "--requestTimeoutMillis", "5000"]) == 5
    assert "not ready after 0 s" in capsys.readouterr().err


def test_what_is_done_elsewhere_is_told(capsys) -> None:
    assert main(["istio-iptables", "-p", "15001"]) == 2
    assert "rules that the node loads" in capsys.readouterr().err
