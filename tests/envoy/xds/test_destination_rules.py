"""DestinationRules at work: a real Envoy between a caller and small servers on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import destination_rule, endpoint, istio, pod, service
from tests.serving import served

pytestmark = pytest.mark.envoy


class Application:
    """An HTTP server that says its name; `failing` makes it answer 500, `held` makes it wait."""

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        self.failing = False
        self.calls = 0
        self.connections = 0
        self.arrived = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def setup(self) -> None:
                application.connections += 1
                super().setup()

            def do_GET(self) -> None:
                application.calls += 1
                application.arrived.release()
                application.go.wait(60)
                body = f"{name} {self.headers['host']}".encode()
                self.send_response(500 if application.failing else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that went away, or did not pass TLS, is part of the tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            # Each connection's handshake in its own thread: one that stands still holds up nobody else.
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.server.server_port


@contextmanager
def serving(*names: str, context: ssl.SSLContext | None = None) -> Iterator[list[Application]]:
    made = [Application(name, context) for name in names]
    with served(*(each.server for each in made)):
        try:
            yield made
        finally:
            for each in made:
                each.go.set()


def world(
    ports: dict[str, int], policy: dict[str, Any], *more: dict[str, Any], port_name: str = "http"
) -> list[dict[str, Any]]:
    """A Service `web` with one pod for each of `ports`; a name like `west.a` is in the region `west`."""
    objects = [service(port_name=port_name), destination_rule("web", policy), *more]
    for name, port in ports.items():
        region = name.partition(".")[0] if "." in name else ""
        place = {"istio_locality": f"{region}.1"} if region else {}
        objects += [pod(name, **place), endpoint(f"web-{name}", port, port_name=port_name, pod=name)]
    return objects


def routed(**http: Any) -> dict[str, Any]:
    rule = {"route": [{"destination": {"host": "web"}}], **http}
    return istio("VirtualService", "web", {"hosts": ["web"], "http": [rule]})


class Caller:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, host: str = "web") -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", "/", headers={"host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def who(self) -> str:
        return self.ask()[1].partition(" ")[0]

    def ask_until_settled(self, row: int = 8) -> tuple[list[int], str]:
        """Ask until `row` answers in succession are 200: their statuses, and who gave the last one.

        Envoy leaves an endpoint out by way of its main thread: calls that come sooner still go there.
        """
        statuses: list[int] = []
        while statuses[-row:] != [200] * row:
            assert len(statuses) < 500, statuses
            status, body = self.ask()
            statuses.append(status)
        return statuses, body.partition(" ")[0]


@pytest.fixture
def calling(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]]) -> Any:
    def start(objects: list[dict[str, Any]], listener: str = "0.0.0.0_80", **labels: str) -> Caller:
        found = tuple(sorted((key.replace("_", "-"), value) for key, value in labels.items()))
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop", labels=found)
        return Caller(run_envoy(mesh.proxy(objects, node), [listener])[listener])

    return start


DETECT = {"outlierDetection": {"consecutive5xxErrors": 2, "interval": "0.1s", "baseEjectionTime": "60s",
                               "maxEjectionPercent": 100}}  # fmt: skip
NO_RETRIES = routed(retries={"attempts": 0})


def test_calls_stay_in_their_region_until_it_fails(calling: Any) -> None:
    with serving("west", "east") as (west, east):
        objects = world({"west.a": west.port, "east.b": east.port}, DETECT, NO_RETRIES)
        caller = calling(objects, istio_locality="west.1")
        assert {caller.who() for _ in range(10)} == {"west"}
        west.failing = True
        statuses, who = caller.ask_until_settled()
        assert statuses[:2] == [500, 500]
        assert who == "east"
        assert {caller.ask() for _ in range(6)} == {(200, "east web")}


def test_zone_awareness_keeps_calls_in_the_region_without_looking_for_failures(calling: Any) -> None:
    with serving("west", "east") as (west, east):
        policy = {"loadBalancer": {"zoneAwareLbSetting": {"minClusterSize": 1}}}
        caller = calling(world({"west.a": west.port, "east.b": east.port}, policy, NO_RETRIES), istio_locality="west.2")
        assert {caller.who() for _ in range(10)} == {"west"}


def test_shares_of_localities_are_kept(calling: Any) -> None:
    with serving("west", "east", "south") as (west, east, south):
        shares = [{"from": "west/*", "to": {"west/*": 80, "east/*": 20}}]
        policy = {"loadBalancer": {"localityLbSetting": {"distribute": shares}}}
        objects = world({"west.a": west.port, "east.b": east.port, "south.c": south.port}, policy, NO_RETRIES)
        caller = calling(objects, istio_locality="west.1")
        found = [caller.who() for _ in range(100)]
        assert south.calls == 0
        assert 65 <= found.count("west") <= 92


def test_an_endpoint_that_fails_is_left_out(calling: Any) -> None:
    with serving("a", "b") as (a, b):
        a.failing = True
        caller = calling(world({"a": a.port, "b": b.port}, DETECT, NO_RETRIES))
        statuses, who = caller.ask_until_settled()
        assert statuses.count(500) >= 2
        assert who == "b"


def test_a_retry_budget_of_nothing_forbids_retries(calling: Any) -> None:
    rule = routed(retries={"attempts": 3, "retryOn": "5xx"})
    with serving("a") as (a,):
        a.failing = True
        assert (
            calling(world({"a": a.port}, {"retryBudget": {"percent": 0, "minRetryConcurrency": 0}}, rule)).ask()[0]
            == 500
        )
        assert a.calls == 1
        a.calls = 0
        generous = {"retryBudget": {"percent": 100, "minRetryConcurrency": 10}}
        assert calling(world({"a": a.port}, generous, rule)).ask()[0] == 500
        assert a.calls == 4


def test_what_overflows_the_pool_is_refused_at_once(calling: Any) -> None:
    pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}
    with serving("a") as (a,):
        caller = calling(world({"a": a.port}, {"connectionPool": pool}, NO_RETRIES))
        a.go.clear()
        statuses: list[int] = []
        refused = threading.Semaphore(0)

        def ask() -> None:
            status, _ = caller.ask()
            statuses.append(status)
            if status == 503:
                refused.release()

        first = threading.Thread(target=ask)
        first.start()
        assert a.arrived.acquire(timeout=60)
        others = [threading.Thread(target=ask) for _ in range(4)]
        for thread in others:
            thread.start()
        # One call is under way and one waits: nobody else gets in, however late they come.
        assert all(refused.acquire(timeout=60) for _ in range(3))
        a.go.set()
        for thread in (first, *others):
            thread.join(60)
        assert a.connections == 1
        assert statuses.count(503) == 3
        assert statuses.count(200) == 2


def test_a_connection_serves_so_many_requests_and_no_more(calling: Any) -> None:
    with serving("a") as (a,):
        caller = calling(world({"a": a.port}, {"connectionPool": {"http": {"maxRequestsPerConnection": 2}}}))
        assert {caller.ask()[0] for _ in range(6)} == {200}
        assert a.connections == 3


def server_context(folder: Path, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.example.pem", folder / "api.example.key")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "authority.pem")
    return context


def test_tls_begins_in_the_proxy_and_the_server_is_verified(calling: Any, certificates: Path) -> None:
    trust = {"mode": "SIMPLE", "caCertificates": str(certificates / "authority.pem"), "sni": "api.example"}
    with serving("a", context=server_context(certificates)) as (a,):
        good = {"tls": {**trust, "subjectAltNames": ["api.example"]}}
        assert calling(world({"a": a.port}, good, NO_RETRIES)).ask() == (200, "a web")
        wrong = {"tls": {**trust, "subjectAltNames": ["other.example"]}}
        assert calling(world({"a": a.port}, wrong, NO_RETRIES)).ask()[0] == 503
        careless = {"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}}
        assert calling(world({"a": a.port}, careless, NO_RETRIES)).ask() == (200, "a web")


def test_the_name_that_is_asked_for_is_verified_where_none_is_given(calling: Any, certificates: Path) -> None:
    trust = {"tls": {"mode": "SIMPLE", "caCertificates": str(certificates / "authority.pem")}}
    with serving("a", context=server_context(certificates)) as (a,):
        assert calling(world({"a": a.port}, trust, NO_RETRIES)).ask()[0] == 503
        renamed = routed(rewrite={"authority": "api.example"}, retries={"attempts": 0})
        assert calling(world({"a": a.port}, trust, renamed)).ask() == (200, "a api.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_may_insist_on_a_version_of_tls(calling: Any, certificates: Path, version: ssl.TLSVersion) -> None:
    context = server_context(certificates)
    context.minimum_version = context.maximum_version = version
    trust = {"mode": "SIMPLE", "caCertificates": str(certificates / "authority.pem"), "sni": "api.example"}
    with serving("a", context=context) as (a,):
        assert calling(world({"a": a.port}, {"tls": trust}, NO_RETRIES)).ask() == (200, "a web")


def test_requests_to_a_port_of_https_ask_for_the_name_of_the_call(calling: Any, certificates: Path) -> None:
    asked: list[str] = []
    context = server_context(certificates)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    trust = {"mode": "SIMPLE", "caCertificates": str(certificates / "authority.pem")}
    hosts = ["api.example", "other.example"]
    with serving("a", context=context) as (a,):
        ports = [
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 443, "name": "https", "protocol": "HTTPS"},
        ]
        spec = {
            "hosts": hosts,
            "ports": ports,
            "resolution": "STATIC",
            "endpoints": [{"address": "127.0.0.1", "ports": {"https": a.port}}],
        }
        objects = [istio("ServiceEntry", "api", spec)]
        for host in hosts:
            level = {"portLevelSettings": [{"port": {"number": 443}, "tls": trust}]}
            objects.append(destination_rule(host, level))
            route = [{"destination": {"host": host, "port": {"number": 443}}}]
            rule = {"match": [{"port": 80}], "route": route, "retries": {"attempts": 0}}
            objects.append(istio("VirtualService", host, {"hosts": [host], "http": [rule]}))
        caller = calling(objects)
        assert caller.ask("api.example") == (200, "a api.example")
        assert caller.ask("other.example")[0] == 503
    assert asked == hosts


def test_the_names_of_a_service_entry_are_verified(calling: Any, certificates: Path) -> None:
    trust = {"tls": {"mode": "SIMPLE", "caCertificates": str(certificates / "authority.pem"), "sni": "api.example"}}
    with serving("a", context=server_context(certificates)) as (a,):
        for name, status in (("api.example", 200), ("other.example", 503)):
            spec = {
                "hosts": ["web.example"],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "127.0.0.1", "ports": {"http": a.port}}],
                "subjectAltNames": [name],
            }
            objects = [istio("ServiceEntry", "web", spec), destination_rule("web.example", trust)]
            assert calling(objects).ask("web.example")[0] == status


def test_the_proxy_shows_a_certificate_of_its_own(calling: Any, certificates: Path) -> None:
    own = {
        "mode": "MUTUAL",
        "caCertificates": str(certificates / "authority.pem"),
        "clientCertificate": str(certificates / "caller.example.pem"),
        "privateKey": str(certificates / "caller.example.key"),
        "sni": "api.example",
    }
    with serving("a", context=server_context(certificates, mutual=True)) as (a,):
        assert calling(world({"a": a.port}, {"tls": own}, NO_RETRIES)).ask()[0] == 200
        without = {**own, "mode": "SIMPLE", "clientCertificate": "", "privateKey": ""}
        assert calling(world({"a": a.port}, {"tls": without}, NO_RETRIES)).ask()[0] == 503


@contextmanager
def listening() -> Iterator[tuple[int, Callable[[bytes], bytes]]]:
    """A server that takes one connection: its port, and what it got up to some text."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def received(end: bytes) -> bytes:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                found = b""
                while end not in found and (more := connection.recv(4096)):
                    found += more
                return found

        yield server.getsockname()[1], received


@pytest.mark.parametrize(("version", "start"), [("V1", b"PROXY TCP4 127.0.0.1 "), ("V2", b"\r\n\r\n\0\r\nQUIT\n")])
def test_the_proxy_protocol_tells_who_called(calling: Any, version: str, start: bytes) -> None:
    with listening() as (port, received):
        policy = {"proxyProtocol": {"version": version}}
        caller = calling(world({"a": port}, policy, port_name="tcp"), "10.42.128.1_80")
        with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as connection:
            connection.sendall(b"hello")
            assert received(b"hello").startswith(start)


@pytest.mark.parametrize("protocol", ["CONNECT", "POST"])
def test_connections_go_through_a_tunnel(calling: Any, protocol: str) -> None:
    with listening() as (port, received):
        policy = {"tunnel": {"protocol": protocol, "targetHost": "far.example", "targetPort": 443}}
        caller = calling(world({"a": port}, policy, port_name="tcp"), "10.42.128.1_80")
        with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as connection:
            connection.sendall(b"hello")
            request = received(b"\r\n\r\n").decode()
        assert request.startswith(f"{protocol} ")
        assert "far.example:443" in request


def test_a_route_of_another_host_leads_through_the_tunnel(calling: Any) -> None:
    with listening() as (port, received):
        policy = {"tunnel": {"protocol": "CONNECT", "targetHost": "far.example", "targetPort": 443}}
        route = [{"destination": {"host": "web", "port": {"number": 80}}}]
        rule = {"hosts": ["far"], "tcp": [{"route": route}]}
        far = service("far", 9000, port_name="tcp", clusterIP="10.42.128.2")
        more = (far, istio("VirtualService", "far", rule))
        caller = calling(world({"a": port}, policy, *more, port_name="tcp"), "10.42.128.2_9000")
        with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as connection:
            connection.sendall(b"hello")
            assert received(b"\r\n\r\n").startswith(b"CONNECT far.example:443 ")
