"""TLS that ends at a gateway or a sidecar, and what a gateway does by tokens: a real Envoy and clients with and without
certificates.
"""

from __future__ import annotations

import base64
import hmac
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.envoy.xds.objects import endpoint, istio, service
from tests.serving import served, with_tls

pytestmark = pytest.mark.envoy


class Authority:
    """Certificates in files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self._write("ca", self._sign(self.name, self.key, authority=True), self.key)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def issue(self, name: str, *hosts: str) -> x509.Certificate:
        """`NAME.pem` and `NAME-key.pem`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, hosts=hosts)
        self._write(name, certificate, key)
        return certificate

    def _sign(self, subject: x509.Name, key: Any, *, hosts: tuple[str, ...] = (), authority: bool = False) -> Any:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, hosts))), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate, key: Any) -> None:
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (self.folder / f"{name}-key.pem").write_bytes(private)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certificates"))
    names = ("simple", "mutual", "pinned", "optional", "pass", "web")
    made.issue("server", *(f"{name}.example" for name in names))
    return made


@pytest.fixture(scope="module")
def application(authority: Authority) -> Iterator[Callable[[str, bool], int]]:
    """application(name, tls) -> the port of a server that says its name and the headers it got."""

    def start(name: str, tls: bool) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"{name} {self.path} {self.headers.get('x-forwarded-proto')}".encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-of-the-client", self.headers.get("x-forwarded-client-cert", ""))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            with_tls(server, authority.path("server.pem"), authority.path("server-key.pem"))
        stack.enter_context(served(server))
        return int(server.server_port)

    with ExitStack() as stack:
        yield start


def serving(name: str, port: int, target: int, port_name: str) -> list[dict[str, Any]]:
    address = f"10.42.128.{port % 200 + 1}"
    return [
        service(name, port, port_name=port_name, clusterIP=address),
        endpoint(name, target, of=name, port_name=port_name),
    ]


class Client:
    """Calls one port with TLS; `name` is asked for. `told` is what the application was last told of the client."""

    told = ""

    def __init__(self, authority: Authority, port: int) -> None:
        self.authority = authority
        self.port = port

    def get(self, name: str, *, certificate: str = "", newest: ssl.TLSVersion | None = None) -> str:
        """The body, or `refused` where the connection does not come about."""
        context = ssl.create_default_context(cafile=self.authority.path("ca.pem"))
        if newest is not None:
            context.maximum_version = newest
        if certificate:
            files = self.authority.path(f"{certificate}.pem"), self.authority.path(f"{certificate}-key.pem")
            context.load_cert_chain(*files)
        connection = HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            connection.connect = lambda: _connect(connection, context, name)  # type: ignore[method-assign]
            connection.request("GET", "/x", headers={"host": name})
            response = connection.getresponse()
            self.told = response.headers["x-of-the-client"] or ""
            return response.read().decode()
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError):
            return "refused"
        finally:
            connection.close()


def _connect(connection: HTTPSConnection, context: ssl.SSLContext, name: str) -> None:
    HTTPConnection.connect(connection)
    connection.sock = context.wrap_socket(connection.sock, server_hostname=name)


def test_a_gateway_ends_tls_in_every_mode_and_passes_it_on_by_name(
    mesh: SimpleNamespace,
    run_envoy: Callable[..., dict[str, int]],
    authority: Authority,
    application: Callable[[str, bool], int],
) -> None:
    pinned = authority.issue("pinned", "pinned.client")
    authority.issue("known", "known.client")
    authority.issue("other", "other.client")
    hashed = pinned.fingerprint(hashes.SHA256()).hex()
    files = {"serverCertificate": authority.path("server.pem"), "privateKey": authority.path("server-key.pem")}
    clients = {**files, "caCertificates": authority.path("ca.pem")}
    modes: dict[str, dict[str, Any]] = {
        "simple": {**files, "mode": "SIMPLE", "minProtocolVersion": "TLSV1_3"},
        "mutual": {**clients, "mode": "MUTUAL", "subjectAltNames": ["known.client"]},
        "pinned": {**clients, "mode": "MUTUAL", "verifyCertificateHash": [hashed]},
        "optional": {**clients, "mode": "OPTIONAL_MUTUAL"},
        "pass": {"mode": "PASSTHROUGH"},
    }
    servers = [
        {
            "port": {"number": 443, "name": f"{name}-443", "protocol": "TLS" if name == "pass" else "HTTPS"},
            "hosts": [f"{name}.example"],
            "tls": tls,
        }
        for name, tls in modes.items()
    ]
    rule = {
        "hosts": ["*.example"],
        "gateways": ["edge"],
        "http": [{"route": [{"destination": {"host": "plain"}}]}],
        "tls": [{"match": [{"sniHosts": ["pass.example"]}], "route": [{"destination": {"host": "secure"}}]}],
    }
    objects = [
        *serving("plain", 80, application("plain", False), "http"),
        *serving("secure", 443, application("secure", True), "tls"),
        istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": servers}),
        istio("VirtualService", "edge", rule),
    ]
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    port = run_envoy(mesh.proxy(objects, node), ["0.0.0.0_443"])["0.0.0.0_443"]
    client = Client(authority, port)
    assert client.get("simple.example") == "plain /x https"
    assert client.get("simple.example", newest=ssl.TLSVersion.TLSv1_2) == "refused"
    assert client.get("mutual.example") == "refused"
    assert client.get("mutual.example", certificate="other") == "refused"
    assert client.get("mutual.example", certificate="known") == "plain /x https"
    assert [part.partition("=")[0] for part in client.told.split(";")] == ["Hash", "Cert", "Subject", "URI", "DNS"]
    assert 'Subject="CN=known"' in client.told
    assert "DNS=known.client" in client.told
    assert client.get("pinned.example", certificate="known") == "refused"
    assert client.get("pinned.example", certificate="pinned") == "plain /x https"
    assert client.get("optional.example") == "plain /x https"
    assert client.get("optional.example", certificate="other") == "plain /x https"
    assert client.get("pass.example") == "secure /x None"
    assert client.get("nobody.example") == "refused"


def test_a_sidecar_ends_tls_with_the_users_own_certificate(
    mesh: SimpleNamespace,
    run_envoy: Callable[..., dict[str, int]],
    authority: Authority,
    application: Callable[[str, bool], int],
) -> None:
    tls = {
        "mode": "MUTUAL",
        "serverCertificate": authority.path("server.pem"),
        "privateKey": authority.path("server-key.pem"),
        "caCertificates": authority.path("ca.pem"),
    }
    listener = {
        "port": {"number": 9443, "name": "https", "protocol": "HTTPS"},
        "bind": "127.0.0.9",
        "captureMode": "NONE",
        "defaultEndpoint": f"127.0.0.1:{application('behind', False)}",
        "tls": tls,
    }
    authority.issue("caller", "caller.client")
    node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="web", namespace="shop")
    proxy = mesh.proxy([istio("Sidecar", "web", {"ingress": [listener]})], node)
    client = Client(authority, run_envoy(proxy, ["127.0.0.9_9443"])["127.0.0.9_9443"])
    assert client.get("web.example") == "refused"
    assert client.get("web.example", certificate="caller") == "behind /x https"


SECRET = b"0123456789abcdef0123456789abcdef"


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token(**claims: Any) -> str:
    """A signed token that says `claims`."""
    parts = [{"alg": "HS256", "kid": "k"}, {"iss": "shop", **claims}]
    text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{encoded(hmac.digest(SECRET, text.encode(), 'sha256'))}"


def checks_tokens() -> dict[str, Any]:
    """A filter that checks tokens, as RequestAuthentication will."""
    keys = {"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": encoded(SECRET)}]}
    provider = {
        "issuer": "shop",
        "local_jwks": {"inline_string": json.dumps(keys)},
        "payload_in_metadata": "payload",
        "clear_route_cache": True,
    }
    wanted = {"requires_any": {"requirements": [{"provider_name": "shop"}, {"allow_missing": {}}]}}
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"shop": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": wanted}],
    }
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY"},
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {"name": "envoy.filters.http.jwt_authn", "typed_config": config},
        },
    }
    found = istio("EnvoyFilter", "tokens", {"configPatches": [patch]})
    found["apiVersion"], found["metadata"]["namespace"] = "networking.istio.io/v1alpha3", "istio-system"
    return found


def test_a_gateway_routes_by_what_a_checked_token_says(
    mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]]
) -> None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}

    def answer(name: str, **match: dict[str, Any]) -> dict[str, Any]:
        return {"match": [match] if match else [], "directResponse": {"status": 200, "body": {"string": name}}}

    rule = {
        "hosts": ["shop.example"],
        "gateways": ["edge"],
        "http": [
            answer("nobody", withoutHeaders={"@request.auth.claims.sub": {}}),
            answer("admin", headers={"@request.auth.claims.groups": {"exact": "admin"}}),
            answer("nested", headers={"@request.auth.claims[https://role][name]": {"prefix": "own"}}),
            answer("somebody"),
        ],
    }
    objects = [
        istio("Gateway", "edge", {"selector": {"istio": "ingressgateway"}, "servers": [server]}),
        istio("VirtualService", "edge", rule),
        checks_tokens(),
    ]
    node = mesh.node(
        kind="router", ip="127.0.0.1", pod="gw", namespace="istio-system", labels=(("istio", "ingressgateway"),)
    )
    port = run_envoy(mesh.proxy(objects, node), ["0.0.0.0_80"])["0.0.0.0_80"]

    def get(text: str = "") -> str:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"host": "shop.example", **({"authorization": f"Bearer {text}"} if text else {})}
        try:
            connection.request("GET", "/", headers=headers)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    assert get() == "nobody"
    assert get(token(sub="a")) == "somebody"
    assert get(token(sub="a", groups=["user", "admin"])) == "admin"
    assert get(token(sub="a", groups="admin")) == "admin"
    assert get(token(sub="a", groups=["user"], **{"https://role": {"name": "owner"}})) == "nested"
