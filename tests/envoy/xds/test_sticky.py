"""Sticky sessions at work: a real Envoy and applications that say their name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import destination_rule, endpoint, service
from tests.serving import served

pytestmark = pytest.mark.envoy
NAMES = ("a", "b", "c", "d")


@contextmanager
def serving(name: str) -> Iterator[int]:
    class Application(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = name.encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    with served(server):
        yield server.server_port


@pytest.fixture(scope="module")
def applications() -> Iterator[dict[str, int]]:
    with serving("a") as a, serving("b") as b, serving("c") as c, serving("d") as d:
        yield dict(zip(NAMES, (a, b, c, d), strict=True))


def world(applications: dict[str, int], policy: dict[str, Any] | None, **spec: Any) -> list[dict[str, Any]]:
    web = service(**spec)
    (port,) = web["spec"]["ports"]
    slices = [endpoint(f"web-{name}", number, port_name=port["name"]) for name, number in applications.items()]
    return [web, *slices, *([destination_rule("web", policy)] if policy is not None else [])]


class Caller:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str = "/", **headers: str) -> tuple[str, str]:
        """Who answered, and the cookie that was set."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"host": "web", **headers})
            answer = connection.getresponse()
            return answer.read().decode(), answer.getheader("set-cookie") or ""
        finally:
            connection.close()

    def who(self, path: str = "/", **headers: str) -> str:
        return self.ask(path, **headers)[0]


@pytest.fixture
def calling(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], applications: dict[str, int]) -> Any:
    """calling(policy) -> a caller behind a sidecar of which that policy holds."""

    def start(policy: dict[str, Any] | None, listener: str = "0.0.0.0_80", **service: Any) -> Caller:
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
        proxy = mesh.proxy(world(applications, policy, **service), node)
        return Caller(run_envoy(proxy, [listener])[listener])

    return start


def hashing(**by: Any) -> dict[str, Any]:
    return {"loadBalancer": {"consistentHash": by}}


@pytest.mark.parametrize("table", [{}, {"maglev": {"tableSize": 1009}}, {"ringHash": {"minimumRingSize": 64}}])
def test_equal_headers_reach_one_endpoint_and_others_spread(calling: Any, table: dict[str, Any]) -> None:
    caller = calling(hashing(httpHeaderName="x-user", **table))
    assert len({caller.who(**{"x-user": "jason"}) for _ in range(8)}) == 1
    assert len({caller.who(**{"x-user": f"user-{n}"}) for n in range(40)}) > 1


def test_a_cookie_is_made_and_then_obeyed(calling: Any) -> None:
    cookie = {"name": "shop", "path": "/", "ttl": "60s", "attributes": [{"name": "SameSite", "value": "Strict"}]}
    caller = calling(hashing(httpCookie=cookie))
    first, made = caller.ask()
    assert made.startswith("shop=")
    assert "Max-Age=60" in made
    assert "Path=/" in made
    assert "SameSite=Strict" in made
    value = made.partition(";")[0]
    assert {caller.who(cookie=value) for _ in range(8)} == {first}
    assert len({caller.who(cookie=f"shop={n}") for n in range(40)}) > 1
    assert caller.ask(cookie=value)[1] == ""


def test_a_query_parameter_sticks(calling: Any) -> None:
    caller = calling(hashing(httpQueryParameterName="user"))
    assert len({caller.who("/?user=jason") for _ in range(8)}) == 1
    assert len({caller.who(f"/?user={n}") for n in range(40)}) > 1


def test_the_callers_address_sticks(calling: Any) -> None:
    caller = calling(hashing(useSourceIp=True))
    assert len({caller.who() for _ in range(12)}) == 1


def test_the_callers_address_sticks_for_connections_too(calling: Any) -> None:
    caller = calling(hashing(useSourceIp=True), "10.42.128.1_80", ports=[{"name": "tcp", "port": 80}])
    assert len({caller.who() for _ in range(12)}) == 1


def test_session_affinity_of_a_service_is_the_callers_address(calling: Any) -> None:
    caller = calling(None, sessionAffinity="ClientIP")
    assert len({caller.who() for _ in range(12)}) == 1
