"""What is asked again, and where: real Envoys, as a caller's proxy and as a receiver's, and applications that fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import destination_rule, endpoint, istio, service

pytestmark = pytest.mark.envoy
MARK = "x-plait-ask-again"
# Every answer says that the connection ends with it: one that ended unsaid may be used for the next request, whose
# loss is no answer of 503 and not asked again.
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HARMLESS = BUSY.replace(b"\r\n\r\n", f"\r\n{MARK}: 1\r\n\r\n".encode())
FINE = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Application:
    """Reads a request and gives the answer it is told to; without one it hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.first: bytes | None = None
        self.calls = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                with connection, suppress(OSError):
                    while b"\r\n\r\n" not in (connection.recv(65536) or b"\r\n\r\n"):
                        pass
                    self.calls += 1
                    answer, self.first = self.first or self.answer, None
                    connection.sendall(answer)


@contextmanager
def serving(*answers: bytes) -> Iterator[list[Application]]:
    made = [Application(answer) for answer in answers]
    threads = [threading.Thread(target=each.serve, daemon=True) for each in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for each in made:
            with suppress(OSError):
                each.server.shutdown(socket.SHUT_RDWR)
            each.server.close()
        for thread in threads:
            thread.join(60)


def ask(port: int, method: str = "GET", **headers: str) -> tuple[int, str | None]:
    """The status, and what a proxy says of asking again."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, "/", headers={"host": "web", **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers[MARK]
    finally:
        connection.close()


@pytest.fixture
def calling(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]]) -> Any:
    """calling(applications, objects) -> the port of a caller's proxy for calls of `web`."""

    def start(applications: list[Application], *more: dict[str, Any]) -> int:
        slices = [endpoint(f"web-{each.port}", each.port) for each in applications]
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
        return int(run_envoy(mesh.proxy([service(), *slices, *more], node), ["0.0.0.0_80"])["0.0.0.0_80"])

    return start


def test_an_applications_own_503_is_its_answer(calling: Any) -> None:
    with serving(BUSY) as (busy,):
        assert ask(calling([busy])) == (503, None)
        assert busy.calls == 1


def test_what_a_receivers_proxy_calls_harmless_is_asked_again_and_nobody_sees_the_mark(calling: Any) -> None:
    with serving(FINE) as (application,):
        port = calling([application])
        application.first = HARMLESS
        assert ask(port) == (200, None)
        assert application.calls == 2
        application.answer = HARMLESS
        assert ask(port) == (503, None)
        assert application.calls == 5


@pytest.mark.parametrize(("more", "others"), [({}, False), ({"retryIgnorePreviousHosts": True}, True)])
def test_a_sticky_request_is_asked_again_where_it_belongs(calling: Any, more: dict[str, Any], others: bool) -> None:
    policy = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    retries = {"attempts": 3, "retryOn": "503", **more}
    route = {"route": [{"destination": {"host": "web"}}], "retries": retries}
    with serving(BUSY, BUSY, BUSY) as applications:
        port = calling(
            applications,
            destination_rule("web", policy),
            istio("VirtualService", "web", {"hosts": ["web"], "http": [route]}),
        )
        elsewhere = []
        for user in range(12):
            before = [each.calls for each in applications]
            assert ask(port, **{"x-user": str(user)})[0] == 503
            calls = [each.calls - known for each, known in zip(applications, before, strict=True)]
            assert sum(calls) == 4
            elsewhere.append(max(calls) < 4)
        # Envoy looks at six places of the ring at the most: of 240 users one finds the same application at all of them.
        assert any(elsewhere) is others


@pytest.fixture
def receiving(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]]) -> Any:
    """receiving(port of an application) -> the port of its proxy."""

    def start(application: int) -> int:
        port = {"number": 9080, "protocol": "HTTP", "name": "http"}
        own = {"captureMode": "NONE", "bind": "0.0.0.0"}
        ingress = {"port": port, **own, "defaultEndpoint": f"127.0.0.1:{application}"}
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="web", namespace="shop")
        proxy = mesh.proxy([istio("Sidecar", "web", {"ingress": [ingress]})], node)
        return int(run_envoy(proxy, ["0.0.0.0_9080"])["0.0.0.0_9080"])

    return start


def test_a_receivers_proxy_tells_what_harms_nobody_if_asked_again(receiving: Any, free_port: Callable[[], int]) -> None:
    nobody = receiving(free_port())
    assert {ask(nobody, method) for method in ("GET", "POST")} == {(503, "1")}


def test_what_was_lost_on_the_way_is_asked_again_only_if_it_reads(receiving: Any) -> None:
    with serving(b"") as (silent,):
        port = receiving(silent.port)
        assert ask(port) == (503, "1")
        assert ask(port, "POST") == (503, None)
        silent.answer = BUSY
        assert ask(port) == (503, None)
