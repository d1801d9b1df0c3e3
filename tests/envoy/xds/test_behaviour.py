"""Generated configuration at work: a real Envoy over loopback, with applications that say their version."""

from __future__ import annotations

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import endpoint, istio, pod, service
from tests.serving import served

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def versions() -> Iterator[dict[str, int]]:
    """Two applications on loopback: version -> port. They answer `version path host`."""
    servers = {name: ThreadingHTTPServer(("127.0.0.1", 0), application(name)) for name in ("v1", "v2")}
    with served(*servers.values()):
        yield {name: server.server_port for name, server in servers.items()}


def application(version: str) -> type[BaseHTTPRequestHandler]:
    class Application(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment, or the client's delayed ACK adds 40 ms

        def do_GET(self) -> None:
            if self.path.endswith("/slow"):
                time.sleep(3)  # an application that takes its time, more than a busy machine adds to a timeout
            body = f"{version} {self.path} {self.headers['host']} {self.headers.get('x-added')}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_expect_100(self) -> bool:
            if self.path != "/unwanted":
                return super().handle_expect_100()
            self.send_error(417)
            self.wfile.flush()
            return False

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Application


def shop(versions: dict[str, int]) -> list[dict[str, Any]]:
    subsets = [{"name": version, "labels": {"version": version}} for version in versions]
    objects = [service(), istio("DestinationRule", "web", {"host": "web", "subsets": subsets})]
    for version, port in versions.items():
        name = f"web-{version}"
        objects += [pod(name, version=version), endpoint(name, port, pod=name)]
    return objects


def to(subset: str, weight: int = 0) -> dict[str, Any]:
    return {"destination": {"host": "web", "subset": subset}, "weight": weight}


class Caller:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str = "/", host: str = "web", **headers: str) -> tuple[int, str]:
        status, _, body = self.ask(path, host, **headers)
        return status, body

    def ask(
        self, path: str = "/", host: str = "web", method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers (in lower case) and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers={"host": host, **headers})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def sidecar(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]) -> Any:
    """sidecar(http rules) -> a caller behind a sidecar."""

    def start(http: list[dict[str, Any]], *more: dict[str, Any]) -> Caller:
        rule = istio("VirtualService", "web", {"hosts": ["web"], "http": http})
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
        proxy = mesh.proxy([*shop(versions), rule, *more], node)
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
    full = "web.shop.svc.cluster.local"
    for host in (
        "web",
        "web:80",
        "web.shop",
        "web.shop.svc",
        full,
        "10.42.128.1",
        "WEB.shop",
        f"{full}.",
        f"{full}.:80",
    ):
        assert caller.get(host=host)[1].startswith("v2 "), host


def test_weights_share_the_traffic(sidecar: Any) -> None:
    caller = sidecar([{"route": [to("v1", 80), to("v2", 20)]}])
    seen = Counter(caller.get()[1].split()[0] for _ in range(600))
    # Binomial with p = 0.2: outside 50..190 once in 10^11 runs.
    assert 50 <= seen["v2"] <= 190
    assert seen["v1"] + seen["v2"] == 600


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


def policy(**spec: Any) -> dict[str, Any]:
    """A DestinationRule for the host whose subsets another one names."""
    return istio("DestinationRule", "policy", {"host": "web", "trafficPolicy": spec})


def test_an_abort_by_grpc_status_is_a_grpc_answer(sidecar: Any) -> None:
    abort = {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}
    caller = sidecar([{"fault": {"abort": abort}, "route": [to("v1")]}])
    status, headers, _ = caller.ask(**{"content-type": "application/grpc"})
    assert (status, headers["grpc-status"]) == (200, "14")


def test_a_fault_without_a_percentage_hits_nobody(sidecar: Any) -> None:
    caller = sidecar([{"fault": {"abort": {"httpStatus": 500}}, "route": [to("v1")]}])
    assert {caller.get()[0] for _ in range(20)} == {200}


def test_a_preflight_is_answered_by_the_proxy_for_allowed_origins_only(sidecar: Any) -> None:
    cors = {
        "allowOrigins": [{"exact": "https://shop.example"}],
        "allowMethods": ["GET", "POST"],
        "allowHeaders": ["x-token"],
        "maxAge": "24h",
        "allowCredentials": True,
        "unmatchedPreflights": "IGNORE",
    }
    caller = sidecar([{"corsPolicy": cors, "route": [to("v1")]}])
    asking = {"access-control-request-method": "GET"}
    status, headers, _ = caller.ask(method="OPTIONS", origin="https://shop.example", **asking)
    assert status == 200
    allowed = {name.removeprefix("access-control-"): text for name, text in headers.items() if "access-control" in name}
    assert allowed == {
        "allow-origin": "https://shop.example",
        "allow-methods": "GET,POST",
        "allow-headers": "x-token",
        "allow-credentials": "true",
        "max-age": "86400",
    }
    _, headers, _ = caller.ask(method="OPTIONS", origin="https://other.example", **asking)
    assert "access-control-allow-origin" not in headers
    _, headers, body = caller.ask(origin="https://shop.example")
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert body.startswith("v1 ")


def test_redirects_keep_or_derive_their_port_and_replace_prefixes(sidecar: Any) -> None:
    caller = sidecar(
        [
            {
                "match": [{"uri": {"prefix": "/port"}}],
                "redirect": {"authority": "x", "derivePort": "FROM_REQUEST_PORT"},
            },
            {
                "match": [{"uri": {"prefix": "/number"}}],
                "redirect": {"authority": "x", "port": 8443, "scheme": "https"},
            },
            {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "%PREFIX()%/new", "redirectCode": 308}},
            {"match": [{"uri": {"prefix": "/a"}}], "redirect": {"prefixRewrite": "/b"}},
        ]
    )
    assert caller.ask("/port/1")[1]["location"] == "http://x/port/1"
    assert caller.ask("/number/1")[1]["location"] == "https://x:8443/number/1"
    status, headers, _ = caller.ask("/old/1?q=2")
    assert (status, headers["location"]) == (308, "http://web/new/1?q=2")
    assert caller.ask("/a/1")[1]["location"] == "http://web/b/1"


def test_headers_change_for_a_route_and_for_a_share_of_it(sidecar: Any) -> None:
    response = {"response": {"set": {"x-share": "v2", "server": "ours"}}}
    request = {"request": {"add": {"x-added": "%REQ(x-from)%"}}}
    caller = sidecar([{"headers": request, "route": [{**to("v2", 100), "headers": response}]}])
    _, headers, body = caller.ask(**{"x-from": "me"})
    assert headers["x-share"] == "v2"
    assert body == "v2 / web me"


def test_of_two_that_change_one_header_or_the_host_the_narrower_or_the_rewrite_holds(sidecar: Any) -> None:
    def setting(**headers: str) -> dict[str, Any]:
        return {"headers": {"request": {"set": headers}}}

    caller = sidecar(
        [
            {
                "match": [{"uri": {"prefix": "/both"}}],
                "rewrite": {"authority": "of-rewrite"},
                **setting(**{"x-added": "of-rule"}),
                "route": [{**to("v1"), **setting(Host="of-destination", **{"x-added": "of-destination"})}],
            },
            {
                "match": [{"uri": {"prefix": "/rule"}}],
                **setting(Host="of-rule"),
                "route": [{**to("v1"), **setting(Host="of-destination")}],
            },
            {"route": [{**to("v1"), **setting(Host="of-destination")}]},
        ]
    )
    assert caller.get("/both") == (200, "v1 /both of-rewrite of-destination")
    assert caller.get("/rule") == (200, "v1 /rule of-rule None")
    assert caller.get("/") == (200, "v1 / of-destination None")


def test_what_a_grpc_client_says_of_its_patience_holds_up_to_the_timeout(sidecar: Any) -> None:
    short = {"match": [{"uri": {"prefix": "/short"}}], "timeout": "300ms", "route": [to("v1")]}
    caller = sidecar([short, {"route": [to("v1")]}])
    grpc = {"content-type": "application/grpc", "te": "trailers"}
    for path, patience, status in (("/slow", "200m", "14"), ("/short/slow", "1H", "14"), ("/", "60S", None)):
        _, headers, _ = caller.ask(path, **grpc, **{"grpc-timeout": patience})
        assert headers.get("grpc-status") == status, path
    # Whoever does not say is not waited for less.
    assert caller.get("/slow")[0] == 200


def test_a_callers_own_sidecar_signs_as_envoy_and_a_gateway_as_istios(
    sidecar: Any, mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    assert sidecar([{"route": [to("v1")]}]).ask()[1]["server"] == "envoy"
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": [server]})
    rule = istio("VirtualService", "edge", {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": [to("v2")]}]})
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    caller = Caller(run_envoy(mesh.proxy([*shop(versions), gateway, rule], node), ["0.0.0.0_80"])["0.0.0.0_80"])
    assert caller.ask()[1]["server"] == "istio-envoy"


def test_whether_a_body_is_wanted_the_server_says(sidecar: Any) -> None:
    caller = sidecar([{"route": [to("v1")]}])
    with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as client:
        client.sendall(b"GET /unwanted HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 417 ")


def test_a_path_is_rewritten_by_its_pattern(sidecar: Any) -> None:
    rewrite = {"uriRegexRewrite": {"match": "/item/([^/]+)/(.*)", "rewrite": "/\\2/\\1"}}
    caller = sidecar([{"rewrite": rewrite, "route": [to("v1")]}])
    assert caller.get("/item/7/size")[1].startswith("v1 /size/7 ")


def test_a_long_answer_of_the_proxys_own_arrives_whole(sidecar: Any) -> None:
    text = "x" * 100_000
    caller = sidecar([{"directResponse": {"status": 200, "body": {"string": text}}}])
    assert caller.get() == (200, text)


def test_a_caller_keeps_its_endpoint_by_what_is_hashed(sidecar: Any) -> None:
    both = [{"route": [{"destination": {"host": "web"}}]}]
    caller = sidecar(both, policy(loadBalancer={"consistentHash": {"httpHeaderName": "x-user"}}))
    # So many that they do not all fall on one of two by chance, whatever the ports of this run.
    seen = {user: {caller.get(**{"x-user": user})[1].split()[0] for _ in range(3)} for user in map(str, range(60))}
    assert all(len(versions) == 1 for versions in seen.values())
    assert set().union(*seen.values()) == {"v1", "v2"}


def test_a_cookie_is_made_for_a_caller_without_one_and_keeps_it_where_it_is(sidecar: Any) -> None:
    both = [{"route": [{"destination": {"host": "web"}}]}]
    cookie = {"name": "who", "ttl": "60s", "path": "/"}
    caller = sidecar(both, policy(loadBalancer={"consistentHash": {"httpCookie": cookie}}))
    for _ in range(8):
        _, headers, body = caller.ask()
        made = headers["set-cookie"]
        assert made.startswith("who=")
        assert "Max-Age=60" in made
        assert {caller.get(cookie=made.partition(";")[0])[1].split()[0] for _ in range(4)} == {body.split()[0]}


def connect(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nhost: raw\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def as_tcp(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shop with a port that is declared as TCP."""
    text = json.dumps(objects).replace('"name": "http"', '"name": "tcp"')
    return list(json.loads(text))


def test_connections_are_shared_by_weight(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    tcp = [{"match": [{"port": 80}], "route": [to("v1", 70), to("v2", 30)]}]
    rule = istio("VirtualService", "web", {"hosts": ["web"], "tcp": tcp})
    node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
    proxy = mesh.proxy([*as_tcp(shop(versions)), rule], node)
    port = run_envoy(proxy, ["10.42.128.1_80"])["10.42.128.1_80"]
    seen = Counter(b"v2 / raw" in connect(port) for _ in range(600))
    # Binomial with p = 0.3: outside 110..255 once in 10^10 runs.
    assert 110 <= seen[True] <= 255


def test_a_gateway_passes_connections_on(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    server = {"port": {"number": 31400, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    gateway = istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": [server]})
    spec = {"hosts": ["*"], "gateways": ["edge"], "tcp": [{"match": [{"port": 31400}], "route": [to("v2")]}]}
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    objects = [*as_tcp(shop(versions)), gateway, istio("VirtualService", "edge", spec)]
    port = run_envoy(mesh.proxy(objects, node), ["0.0.0.0_31400"])["0.0.0.0_31400"]
    assert b"v2 / raw" in connect(port)


def settings(text: str) -> dict[str, Any]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}


def test_unknown_hosts_are_refused_where_only_the_registry_counts(sidecar: Any) -> None:
    caller = sidecar([{"route": [to("v1")]}], settings("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    assert caller.get()[0] == 200
    assert caller.get(host="unknown.example")[0] == 502
    # What is not HTTP leads into BlackHoleCluster: accepted, and closed without a byte.
    with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as connection:
        connection.sendall(b"\x00\x01 not HTTP at all")
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_the_access_log_says_what_happened_and_which_rule_it_was(sidecar: Any, envoy_output: Path) -> None:
    http = [{"match": [{"uri": {"prefix": "/bad"}}], "route": [to("v9")]}, {"name": "all", "route": [to("v1")]}]
    caller = sidecar(http, settings("accessLogFile: /dev/stdout"))
    assert caller.get("/good", **{"user-agent": "a test"})[0] == 200
    assert caller.get("/bad")[0] == 503
    good, bad = until_lines(envoy_output, "GET /", 2)
    assert re.match(r'\[20..-..-..T.*Z\] "GET /good HTTP/1.1" 200 - via_upstream - "-" 0 \d+ \d+ ', good)
    assert '"a test"' in good
    assert "outbound|80|v1|web.shop.svc.cluster.local" in good
    assert good.endswith(' all "VirtualService/shop/web spec.http[1]"')
    assert '"GET /bad HTTP/1.1" 503 NC cluster_not_found ' in bad
    assert bad.endswith('"VirtualService/shop/web spec.http[0]"')


def until_lines(path: Path, mark: str, count: int) -> list[str]:
    """The lines of a growing file that hold `mark`, when there are `count`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # What comes after the last end of a line is being written.
        found = [line for line in path.read_text().split("\n")[:-1] if mark in line]
        if len(found) >= count:
            return found
        time.sleep(0.05)  # polling a file of another process, bounded by the deadline
    pytest.fail(path.read_text())


@pytest.mark.parametrize(
    ("how", "paths"),
    [
        ("NONE", {"/a/../b": "/a/../b", "/a//b": "/a//b", "/a%2Fb": "/a%2Fb"}),
        ("BASE", {"/a/../b": "/b", "/a//b": "/a//b", "/a%2Fb": "/a%2Fb"}),
        ("MERGE_SLASHES", {"/a/../b": "/b", "/a//b": "/a/b", "/a%2Fb": "/a%2Fb"}),
        ("DECODE_AND_MERGE_SLASHES", {"/a/../b": "/b", "/a//b": "/a/b", "/a%2Fb": "/a/b"}),
    ],
)
def test_paths_are_made_plain_as_far_as_the_mesh_says(sidecar: Any, how: str, paths: dict[str, str]) -> None:
    caller = sidecar([{"route": [to("v1")]}], settings(f"pathNormalization: {{normalization: {how}}}"))
    assert {path: caller.get(path)[1].split(" ")[1] for path in paths} == paths


def test_an_ingress_leads_by_whole_elements_of_its_paths(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    def path(kind: str, text: str) -> dict[str, Any]:
        return {"pathType": kind, "path": text, "backend": {"service": {"name": "web", "port": {"name": "http"}}}}

    paths = [path("Exact", "/exact"), path("Prefix", "/shop"), path("ImplementationSpecific", "/files/*")]
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "annotations": {"kubernetes.io/ingress.class": "istio"},
        },
        "spec": {"rules": [{"host": "shop.example", "http": {"paths": paths}}]},
    }
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    proxy = mesh.proxy([*shop(versions), ingress], node)
    caller = Caller(run_envoy(proxy, ["0.0.0.0_80"])["0.0.0.0_80"])
    wanted = {
        "/exact": 200, "/exact/x": 404, "/shop": 200, "/shop/x": 200, "/shopping": 404, "/files/a": 200,
        "/files": 200, "/filesx": 404,
    }  # fmt: skip
    assert {text: caller.get(text, host="shop.example")[0] for text in wanted} == wanted


def test_a_gateway_believes_the_proxies_in_front_of_it(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], versions: dict[str, int]
) -> None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": [server]})
    told = {"request": {"set": {"x-added": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}}
    rule = {"hosts": ["*"], "gateways": ["edge"], "http": [{"headers": told, "route": [to("v1")]}]}
    topology = settings("defaultConfig: {gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}}}")
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    proxy = mesh.proxy([*shop(versions), gateway, istio("VirtualService", "edge", rule), topology], node)
    port = run_envoy(proxy, ["0.0.0.0_80"])["0.0.0.0_80"]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n")
        client.sendall(b"GET / HTTP/1.1\r\nhost: shop\r\nx-forwarded-for: 203.0.113.9, 198.51.100.1\r\n")
        client.sendall(b"connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.endswith(b" 198.51.100.1")
