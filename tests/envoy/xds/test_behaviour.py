"""Generated configuration at work: a real Envoy over loopback, with applications that say their version."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

ISTIO = "networking.istio.io/v1"
pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def versions() -> Iterator[dict[str, int]]:
    """Two applications on loopback: version -> port. They answer `version path host`."""
    servers = {name: ThreadingHTTPServer(("127.0.0.1", 0), application(name)) for name in ("v1", "v2")}
    threads = [threading.Thread(target=server.serve_forever) for server in servers.values()]
    for thread in threads:
        thread.start()
    yield {name: server.server_port for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


def application(version: str) -> type[BaseHTTPRequestHandler]:
    class Application(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment, or the client's delayed ACK adds 40 ms

        def do_GET(self) -> None:
            body = f"{version} {self.path} {self.headers['host']} {self.headers.get('x-added')}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Application


def shop(versions: dict[str, int]) -> list[dict[str, Any]]:
    spec = {"clusterIP": "10.42.128.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}
    objects = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}]
    for version, port in versions.items():
        name = {"name": f"web-{version}", "namespace": "shop"}
        owner = {"kubernetes.io/service-name": "web"}
        target = {"kind": "Pod", **name}
        objects.append(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**name, "labels": {"version": version}}, "status": {}}
        )
        objects.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**name, "labels": owner},
                "endpoints": [{"addresses": ["127.0.0.1"], "targetRef": target}],
                "ports": [{"name": "http", "port": port}],
            }
        )
    subsets = [{"name": version, "labels": {"version": version}} for version in versions]
    rule = {"host": "web", "subsets": subsets}
    objects.append(istio("DestinationRule", "web", rule))
    return objects


def istio(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": ISTIO, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def to(subset: str, weight: int = 0) -> dict[str, Any]:
    return {"destination": {"host": "web", "subset": subset}, "weight": weight}


class Caller:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str = "/", host: str = "web", **headers: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"host": host, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def sidecar(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]) -> Any:
    """sidecar(http rules) -> a caller behind a sidecar."""

    def start(http: list[dict[str, Any]]) -> Caller:
        rule = istio("VirtualService", "web", {"hosts": ["web"], "http": http})
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
        proxy = mesh.proxy([*shop(versions), rule], node)
        return Caller(run_envoy(proxy, ["0.0.0.0_80"])["0.0.0.0_80"])

    return start


def test_rules_choose_by_header_path_query_and_method(sidecar: Any) -> None:
    caller = sidecar(
        [
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": [to("v2")]},
            {"match": [{"withoutHeaders": {"x-seen": {}}, "uri": {"exact": "/without"}}], "route": [to("v2")]},
            {"match": [{"queryParams": {"debug": {"exact": "1"}}}], "route": [to("v2")]},
            {"match": [{"uri": {"regex": "/v[0-9]/.*"}}], "rewrite": {"uri": "/re"}, "route": [to("v2")]},
            {"match": [{"uri": {"prefix": "/CASE"}, "ignoreUriCase": True}], "route": [to("v2")]},
            {
                "match": [{"uri": {"prefix": "/old"}}],
                "rewrite": {"uri": "/new", "authority": "fresh"},
                "headers": {"request": {"set": {"x-added": "yes"}}},
                "route": [to("v1")],
            },
            {"match": [{"uri": {"exact": "/moved"}}], "redirect": {"uri": "/here"}},
            {"match": [{"uri": {"exact": "/teapot"}}], "directResponse": {"status": 418, "body": {"string": "short"}}},
            {"route": [to("v1")]},
        ]
    )
    assert caller.get() == (200, "v1 / web None")
    assert caller.get(**{"end-user": "jason"})[1].startswith("v2 ")
    assert caller.get("/without")[1].startswith("v2 ")
    assert caller.get("/without", **{"x-seen": "1"})[1].startswith("v1 ")
    assert caller.get("/?debug=1")[1].startswith("v2 ")
    assert caller.get("/v7/x")[1].startswith("v2 /re ")
    assert caller.get("/case/x")[1].startswith("v2 ")
    assert caller.get("/old/x") == (200, "v1 /new/x fresh yes")
    assert caller.get("/moved")[0] == 301
    assert caller.get("/teapot") == (418, "short")


def test_names_of_a_service_all_lead_to_it_with_or_without_a_port(sidecar: Any) -> None:
    caller = sidecar([{"route": [to("v2")]}])
    for host in ("web", "web:80", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "10.42.128.1", "WEB.shop"):
        assert caller.get(host=host)[1].startswith("v2 "), host


def test_weights_share_the_traffic(sidecar: Any) -> None:
    caller = sidecar([{"route": [to("v1", 80), to("v2", 20)]}])
    seen = Counter(caller.get()[1].split()[0] for _ in range(300))
    # Binomial with p = 0.2: outside 30..95 once in many thousand runs.
    assert 30 <= seen["v2"] <= 95
    assert seen["v1"] + seen["v2"] == 300


def test_an_unknown_subset_answers_503_and_spoils_nothing_else(sidecar: Any) -> None:
    caller = sidecar([{"match": [{"uri": {"prefix": "/bad"}}], "route": [to("v9")]}, {"route": [to("v1")]}])
    assert caller.get("/bad")[0] == 503
    assert caller.get("/good")[0] == 200


def test_faults_hit_their_share(sidecar: Any) -> None:
    caller = sidecar([{"fault": {"abort": {"httpStatus": 418, "percent": 100}}, "route": [to("v1")]}])
    assert caller.get()[0] == 418


def test_a_gateway_routes_by_host_and_answers_404_for_the_rest(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": [server]})
    spec = {"hosts": ["shop.example"], "gateways": ["edge"], "http": [{"route": [to("v2")]}]}
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    proxy = mesh.proxy([*shop(versions), gateway, istio("VirtualService", "edge", spec)], node)
    caller = Caller(run_envoy(proxy, ["0.0.0.0_80"])["0.0.0.0_80"])
    assert caller.get(host="shop.example")[1].startswith("v2 ")
    assert caller.get(host="shop.example:8080")[1].startswith("v2 ")
    assert caller.get(host="other.example")[0] == 404
