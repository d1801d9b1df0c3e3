"""TLS at the edge and on the way out, as a person would set it up: Secrets, Gateways, ServiceEntries, and curl."""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import Authority, Pair
from tests.serving import served, with_tls

from .conftest import Mesh, until

pytestmark = pytest.mark.system

GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: meshed}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [simple.example]
    tls: {mode: SIMPLE, credentialName: simple}
  - port: {number: 443, name: https-late, protocol: HTTPS}
    hosts: [late.example]
    tls: {mode: SIMPLE, credentialName: late}
  - port: {number: 443, name: https-mutual, protocol: HTTPS}
    hosts: [mutual.example]
    tls: {mode: MUTUAL, credentialName: mutual, subjectAltNames: [client.example]}
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: [outside.example]
    tls: {mode: PASSTHROUGH}
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [simple.example]
    tls: {httpsRedirect: true}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: meshed}
spec:
  hosts: [simple.example, late.example, mutual.example, outside.example]
  gateways: [edge]
  http: [{directResponse: {status: 200, body: {string: inside}}}]
  tls:
  - match: [{port: 443, sniHosts: [outside.example]}]
    route: [{destination: {host: outside.example, port: {number: 443}}}]
"""

ALONE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: alone, namespace: meshed}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https-alone, protocol: HTTPS}
    hosts: [alone.example]
    tls: {mode: SIMPLE, credentialName: alone}
"""

OUTSIDE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside, namespace: meshed}}
spec:
  hosts: [outside.example]
  ports: [{{number: 80, name: http, protocol: HTTP}}, {{number: 443, name: tls, protocol: TLS}}]
  resolution: DNS
  endpoints: [{{address: host.plait.internal, ports: {{http: {port}, tls: {port}}}}}]
"""

ORIGINATION = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-out, namespace: meshed}
spec:
  selector: {istio: egressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [outside.example]}
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [outside.example], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: way-out, namespace: meshed}
spec:
  hosts: [outside.example]
  gateways: [mesh, way-out]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [way-out], port: 80}]
    headers: {request: {set: {x-way: egress}}}
    route: [{destination: {host: outside.example, port: {number: 80}}}]
  tls:
  - match: [{gateways: [mesh], port: 443, sniHosts: [outside.example]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]
  - match: [{gateways: [way-out], port: 443, sniHosts: [outside.example]}]
    route: [{destination: {host: outside.example, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside, namespace: meshed}
spec:
  host: outside.example
  trafficPolicy:
    portLevelSettings:
    - port: {number: 80}
      tls: {mode: SIMPLE, credentialName: outside-ca, sni: outside.example, subjectAltNames: [outside.example]}
"""


INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: status, namespace: istio-system}
spec:
  ingressClassName: istio
  tls: [{hosts: [ingress.example], secretName: ingress}]
  rules:
  - host: ingress.example
    http:
      paths:
      - {path: /ready, pathType: Prefix, backend: {service: {name: istiod, port: {name: http-monitoring}}}}
      - {path: /version, pathType: Exact, backend: {service: {name: istiod, port: {number: 15014}}}}
"""


class Outside(http.server.BaseHTTPRequestHandler):
    """Says by which way a request came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"outside by {self.headers.get('x-way', 'itself')}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@dataclass(frozen=True)
class Edge:
    """A mesh with both gateways, and what its clients trust."""

    mesh: Mesh
    authority: Authority
    port: int

    def secret(self, name: str, pair: Pair, *more: str) -> None:
        """Write a Secret with a certificate, as kubectl makes it."""
        files = [f"--from-file=tls.crt={pair.certificate}", f"--from-file=tls.key={pair.key}", *more]
        made = self.mesh.kubectl(
            "-n", "istio-system", "create", "secret", "generic", name, *files, "--dry-run=client", "-o", "yaml"
        )
        self.mesh.kubectl("apply", "-f", "-", given=made.stdout)

    def curl(self, host: str, *arguments: str) -> str:
        """What curl gets from a host of the ingress gateway over TLS, or its error."""
        command = ["curl", "-sS", "-m", "60", "--cacert", str(self.authority.certificate)]
        command += ["--resolve", f"{host}:{self.port}:127.0.0.1", *arguments, f"https://{host}:{self.port}/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def connect(self, host: str) -> ssl.SSLSocket:
        """A connection over TLS to the ingress gateway."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return context.wrap_socket(plain, server_hostname=host)


def serial(connection: ssl.SSLSocket) -> int:
    """Of the certificate that the server showed."""
    shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def ask(connection: ssl.SSLSocket, host: str) -> str:
    """One request over a connection that stays."""
    connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.read().decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def outside(authority: Authority) -> Iterator[tuple[int, Pair]]:
    """An HTTPS server of this machine, outside of the mesh; its port and certificate."""
    pair = authority.pair("outside.example")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    with_tls(server, pair.certificate, pair.key)
    with served(server):
        yield server.server_port, pair


@pytest.fixture(scope="module")
def edge(mesh: Mesh, authority: Authority, outside: tuple[int, Pair]) -> Edge:
    mesh.plait("up", "--ports", "auto", "--outside", "host", "--egress-gateway")
    mesh.kubectl("create", "namespace", "meshed")
    mesh.kubectl("label", "namespace", "meshed", "istio-injection=enabled")
    mesh.kubectl("-n", "meshed", "run", "caller", "--image=debian", "--", "sleep", "100000")
    warned = mesh.kubectl("apply", "-f", "-", given=OUTSIDE.format(port=outside[0]) + "---" + GATEWAYS)
    assert "there is no Secret 'late'" in warned.stderr
    mesh.kubectl("-n", "meshed", "wait", "--for=condition=Ready", "pod/caller", "--timeout=180s")
    return Edge(mesh, authority, mesh.status()["ports"]["https"])


def test_a_certificate_that_comes_late_and_is_renewed_serves_without_a_drain(edge: Edge, authority: Authority) -> None:
    first, second = authority.pair("late.example", "first"), authority.pair("late.example", "second")

    def told() -> str:
        return edge.mesh.kubectl("-n", "meshed", "get", "events").stdout

    until("an Event about the Secret", lambda: "there is no Secret 'late' in namespace istio-system" in told())
    assert "curl: (35)" in edge.curl("late.example"), "without a certificate there is no handshake"
    edge.secret("late", first)
    until("the certificate to be used", lambda: edge.curl("late.example") == "inside")
    with edge.connect("late.example") as kept:
        assert serial(kept) == first.serial
        assert ask(kept, "late.example") == "inside"
        edge.secret("late", second)

        def renewed() -> bool:
            with edge.connect("late.example") as new:
                return serial(new) == second.serial

        until("the renewed certificate", renewed)
        assert ask(kept, "late.example") == "inside", "a renewal closes no connection"


def test_a_certificate_that_is_none_is_refused_with_words_and_the_one_before_stays(
    edge: Edge, authority: Authority
) -> None:
    good = authority.pair("simple.example", "good")
    edge.secret("simple", good)
    until("the certificate to be used", lambda: edge.curl("simple.example") == "inside")
    edge.secret("simple", Pair(good.certificate, authority.pair("other.example").key, 0))

    def told() -> str:
        return edge.mesh.kubectl("-n", "meshed", "get", "events").stdout

    until("an Event about the key", lambda: "its key is not the key of its certificate" in told())
    assert edge.curl("simple.example") == "inside"
    with edge.connect("simple.example") as connection:
        assert serial(connection) == good.serial


def test_a_gateway_without_a_certificate_says_so_until_it_has_one(edge: Edge, authority: Authority) -> None:
    """In its status, and not only in an Event of the moment."""
    mesh, pair = edge.mesh, authority.pair("alone.example")

    def lacks() -> tuple[str, set[tuple[str, str]]]:
        status = mesh.get("-n", "meshed", "gateway/alone").get("status") or {}
        settled = next((one for one in status.get("conditions") or () if one["type"] == "Settled"), {})
        found = {(one["type"]["code"], one["path"]) for one in status.get("validationMessages") or ()}
        return settled.get("reason", ""), found

    mesh.kubectl("apply", "-f", "-", given=ALONE)
    missing = ("CredentialUnusable", {("IST0101", "spec.servers[0].tls")})
    until("the missing Secret stands in the status", lambda: lacks() == missing)
    assert "there is no Secret 'alone'" in mesh.plait("analyze", "-n", "meshed", code=None).stdout
    edge.secret("alone", pair)
    mesh.kubectl("-n", "meshed", "wait", "--for=condition=Settled", "gateway/alone", "--timeout=180s")
    assert lacks() == ("Settled", set())

    edge.secret("alone", Pair(pair.certificate, authority.pair("other.example").key, 0))
    until("the wrong key too", lambda: lacks() == ("CredentialUnusable", {("IST0161", "spec.servers[0].tls")}))
    words = mesh.kubectl("-n", "meshed", "get", "gateway/alone", "-o", "yaml").stdout
    assert "its key is not the key of its certificate" in words
    assert "BEGIN" not in words
    mesh.kubectl("-n", "istio-system", "delete", "secret", "alone")
    until("the Secret that is gone", lambda: lacks() == missing)
    mesh.kubectl("-n", "meshed", "delete", "gateway/alone")


def test_a_client_shows_a_certificate_of_the_right_name_or_is_not_served(edge: Edge, authority: Authority) -> None:
    edge.secret("mutual", authority.pair("mutual.example"), f"--from-file=ca.crt={authority.certificate}")
    client, other = authority.pair("client.example"), authority.pair("stranger.example")

    def by(pair: Pair) -> str:
        return edge.curl("mutual.example", "--cert", str(pair.certificate), "--key", str(pair.key))

    until("the gateway to know its clients", lambda: by(client) == "inside")
    # With TLS 1.3 a client has sent its request by the time it is refused, and may see the connection end instead.
    # Without it too, if the connection ends before all was read that it has sent.
    refused = ("mutual.example", "--tls-max", "1.2")
    until("the reason", lambda: "alert handshake failure" in edge.curl(*refused))
    assert "inside" not in edge.curl("mutual.example")
    assert "inside" not in by(other)


def test_tls_passes_through_to_the_server_whose_name_is_asked_for(edge: Edge, outside: tuple[int, Pair]) -> None:
    until("the way through", lambda: edge.curl("outside.example") == "outside by itself")
    with edge.connect("outside.example") as connection:
        assert serial(connection) == outside[1].serial, "TLS ends at the server, not at the gateway"


def test_plain_http_is_sent_to_https(edge: Edge) -> None:
    ask = ("/x", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "host: simple.example")
    until("the way to HTTPS", lambda: edge.mesh.curl(*ask).stdout == "301 https://simple.example/x")


def test_calls_leave_by_the_egress_gateway_which_begins_tls_or_passes_it_on(edge: Edge, authority: Authority) -> None:
    mesh = edge.mesh
    mesh.kubectl(
        "-n", "istio-system", "create", "secret", "generic", "outside-ca", f"--from-file=ca.crt={authority.certificate}"
    )
    mesh.kubectl("apply", "-f", "-", given=ORIGINATION)

    def call(*arguments: str) -> str:
        done = mesh.kubectl(
            "-n", "meshed", "exec", "caller", "-c", "caller", "--", "curl", "-sS", "-m", "30", *arguments, code=None
        )
        return done.stdout + done.stderr

    until("TLS that the gateway begins", lambda: call("http://outside.example/") == "outside by egress")
    until("TLS that the gateway passes on", lambda: call("-k", "https://outside.example/") == "outside by itself")

    gateway = mesh.get("-n", "istio-system", "pods", "-l", "istio=egressgateway")["items"][0]["metadata"]["name"]
    clusters = mesh.plait("proxy-config", "clusters", f"{gateway}.istio-system").stdout
    assert "outside.example" in clusters, clusters


def test_a_kubernetes_ingress_of_class_istio_is_served_with_tls_and_says_where(
    edge: Edge, authority: Authority
) -> None:
    edge.secret("ingress", authority.pair("ingress.example"))
    edge.mesh.kubectl("apply", "-f", "-", given=INGRESS)
    host = ("-H", "host: ingress.example")
    until("the Ingress to be served", lambda: edge.mesh.code("/ready", *host) == 200)
    assert edge.mesh.code("/version", *host) == 200
    assert edge.mesh.code("/version/more", *host) == 404
    assert edge.mesh.code("/readyish", *host) == 404
    until("TLS of the Ingress", lambda: edge.curl("ingress.example", "-o", "/dev/null", "-w", "%{http_code}") == "404")

    def address() -> str:
        status = edge.mesh.get("-n", "istio-system", "ingress", "status")["status"]
        return status.get("loadBalancer", {}).get("ingress", [{}])[0].get("ip", "")

    until("its address", lambda: address() == "127.0.0.1")
    edge.mesh.kubectl("delete", "-f", "-", given=INGRESS)
    until("the Ingress to be gone", lambda: edge.mesh.code("/ready", *host) == 404)


def test_keys_are_in_no_dump_and_no_log(edge: Edge, authority: Authority) -> None:
    pair = authority.pair("simple.example", "secret")
    edge.secret("simple", pair)
    until("the certificate to be used", lambda: edge.curl("simple.example") == "inside")
    body = "".join(Path(pair.key).read_text().splitlines()[1:-1])[:40]
    logs = edge.mesh.kubectl("-n", "istio-system", "logs", "deploy/istiod").stdout
    gateway = edge.mesh.get("-n", "istio-system", "pods", "-l", "istio=ingressgateway")["items"][0]["metadata"]["name"]
    dump = edge.mesh.plait("proxy-config", "all", f"{gateway}.istio-system", "-o", "json", code=None).stdout
    assert body not in logs
    assert body not in dump
