"""EnvoyFilters that people really write, as they write them, on a real Envoy between a caller and an application."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from tests.serving import served

pytestmark = pytest.mark.envoy
LISTENER = "0.0.0.0_80"
CLUSTER = "outbound|80||web.shop.svc.cluster.local"


class Application(BaseHTTPRequestHandler):
    """Answers the path, 2 KiB that can be compressed, and in `x-asked` the type of what it got."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        body = f"{self.path} ".encode() + b"." * 2048
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("x-asked", self.headers["content-type"] or "")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def application() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    with served(server):
        yield server.server_port


WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.42.128.1, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: shop, labels: {kubernetes.io/service-name: web}}
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: http, port: PORT}]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mine, namespace: shop}
spec:
  configPatches:
"""

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def patched(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]], application: int) -> Callable[[str], Ask]:
    """patched(configPatches) -> ask(path, method, body, **headers) -> status, headers, body."""

    def start(patches: str) -> Ask:
        text = WORLD.replace("PORT", str(application)) + patches
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller", namespace="shop")
        proxy = mesh.proxy(list(yaml.safe_load_all(text)), node)
        assert not [found for found in proxy.engine.problems().values() if found]
        port = run_envoy(proxy, [LISTENER])[LISTENER]

        def ask(
            path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str
        ) -> tuple[int, dict[str, str], bytes]:
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                connection.request(method, path, body=body, headers={"host": "web", **named})
                answer = connection.getresponse()
                return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            finally:
                connection.close()

        return ask

    return start


#: Where most of them go: before the router.
BEFORE_ROUTER = """
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener:
        filterChain:
          filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}
    patch:
      operation: INSERT_BEFORE
      value:
"""
MANAGER = """
  - applyTo: NETWORK_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
"""


def test_a_lua_filter(patched: Callable[[str], Ask]) -> None:
    ask = patched(
        BEFORE_ROUTER
        + """
        name: envoy.filters.http.lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          inlineCode: |
            function envoy_on_request(handle)
              if handle:headers():get("x-secret") == nil then
                handle:respond({[":status"] = "403"}, "no")
              end
            end
            function envoy_on_response(handle)
              handle:headers():add("x-lua", "was here")
            end
"""
    )
    assert ask()[0] == 403
    status, headers, _ = ask(x_secret="1")
    assert (status, headers["x-lua"]) == (200, "was here")


def test_a_local_rate_limit_of_one_route(patched: Callable[[str], Ask]) -> None:
    """As in Istio's documentation: the filter for all, by TypedStruct, the limit for a virtual host."""
    ask = patched(
        BEFORE_ROUTER
        + """
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value: {stat_prefix: http_local_rate_limiter}
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_OUTBOUND
      routeConfiguration: {vhost: {name: "web.shop.svc.cluster.local:80", route: {action: ANY}}}
    patch:
      operation: MERGE
      value:
        typed_per_filter_config:
          envoy.filters.http.local_ratelimit:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 3600s}
              filter_enabled:
                runtime_key: local_rate_limit_enabled
                default_value: {numerator: 100, denominator: HUNDRED}
              filter_enforced:
                runtime_key: local_rate_limit_enforced
                default_value: {numerator: 100, denominator: HUNDRED}
              response_headers_to_add:
              - append_action: OVERWRITE_IF_EXISTS_OR_ADD
                header: {key: x-local-rate-limit, value: "true"}
"""
    )
    assert [ask()[0] for _ in range(3)] == [200, 200, 429]
    assert ask()[1]["x-local-rate-limit"] == "true"


def test_an_access_log_of_ones_own(patched: Callable[[str], Ask], tmp_path: Path) -> None:
    log = tmp_path / "mine.log"
    ask = patched(
        MANAGER
        + f"""
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
              log_format:
                text_format_source:
                  inline_string: "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE%\\n"
"""
    )
    ask("/logged")
    for _ in range(1200):
        if log.read_text():
            break
        threading.Event().wait(0.05)  # Envoy writes every 100 ms
    assert log.read_text() == "GET /logged 200\n"


def test_requests_with_large_headers(patched: Callable[[str], Ask]) -> None:
    large = {f"x_{number}": "x" * 20_000 for number in range(4)}
    assert patched("  - {applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}")(**large)[0] == 431
    assert patched(MANAGER + "          max_request_headers_kb: 96\n")(**large)[0] == 200


def test_request_ids(patched: Callable[[str], Ask]) -> None:
    ask = patched(
        MANAGER + "          preserve_external_request_id: true\n          always_set_request_id_in_response: true\n"
    )
    assert ask(x_request_id="mine")[1]["x-request-id"] == "mine"


def test_answers_are_compressed(patched: Callable[[str], Ask]) -> None:
    ask = patched(
        BEFORE_ROUTER
        + """
        name: envoy.filters.http.compressor
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor
          response_direction_config: {common_config: {min_content_length: 100, content_type: [text/plain]}}
          compressor_library:
            name: text_optimized
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip
              memory_level: 3
"""
    )
    _, headers, body = ask(accept_encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 200
    assert "content-encoding" not in ask()[1]


def test_bodies_are_limited_by_a_buffer(patched: Callable[[str], Ask]) -> None:
    ask = patched(
        BEFORE_ROUTER
        + """
        name: envoy.filters.http.buffer
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
          max_request_bytes: 1000
"""
    )
    assert ask(method="POST", body=b"x" * 500)[0] == 200
    assert ask(method="POST", body=b"x" * 5000)[0] == 413


def test_grpc_of_browsers_is_translated(patched: Callable[[str], Ask]) -> None:
    ask = patched(
        BEFORE_ROUTER
        + """
        name: envoy.filters.http.grpc_web
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}
"""
    )
    headers = ask("/svc/Method", "POST", b"\0\0\0\0\0", content_type="application/grpc-web+proto")[1]
    assert (headers["x-asked"], headers["content-type"]) == ("application/grpc", "application/grpc-web+proto")


def test_a_cluster_of_ones_own_gets_a_route(patched: Callable[[str], Ask], application: int) -> None:
    ask = patched(
        f"""
  - applyTo: CLUSTER
    match: {{context: SIDECAR_OUTBOUND}}
    patch:
      operation: ADD
      value:
        name: aside
        type: STATIC
        connect_timeout: 1s
        load_assignment:
          cluster_name: aside
          endpoints:
          - lb_endpoints:
            - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {application}}}}}}}
  - applyTo: HTTP_ROUTE
    match: {{context: SIDECAR_OUTBOUND, routeConfiguration: {{vhost: {{name: "web.shop.svc.cluster.local:80"}}}}}}
    patch:
      operation: INSERT_FIRST
      value: {{match: {{prefix: /aside}}, route: {{cluster: aside, prefix_rewrite: /seen}}}}
"""
    )
    assert ask("/aside")[2].startswith(b"/seen ")
    assert ask("/other")[2].startswith(b"/other ")


def test_connections_are_kept_alive_by_the_system(patched: Callable[[str], Ask]) -> None:
    """On both sides: upstream by the cluster's field, downstream by options of the listener's socket."""
    ask = patched(
        """
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND, cluster: {service: web.shop.svc.cluster.local}}
    patch:
      operation: MERGE
      value: {upstream_connection_options: {tcp_keepalive: {keepalive_time: 60, keepalive_interval: 10}}}
  - applyTo: LISTENER
    match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 80}}
    patch:
      operation: MERGE
      value:
        socket_options:
        - {level: 1, name: 9, int_value: 1, state: STATE_LISTENING}
        - {level: 6, name: 4, int_value: 60, state: STATE_LISTENING}
"""
    )
    assert ask()[0] == 200
