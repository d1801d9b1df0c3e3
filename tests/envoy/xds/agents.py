"""What gives a test's proxies their certificates: SDS on a unix socket, as the mesh's agent does."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from plait.kit.certificates import key_pem, name, new_key, pem

_METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


#: What the application says that speaks first.
GREETING = b"I speak first\n"


class Agents:
    """An authority, and an agent's socket for each identity."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = new_key()
        self._root = self._sign(self._key, "root", None)
        self._servers: list[grpc.Server] = []

    def _sign(self, key: ec.EllipticCurvePrivateKey, subject: str, uri: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=uri is None, path_length=None), critical=True)
        )
        if uri is not None:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
            builder = builder.add_extension(names, critical=True)
        return builder.sign(self._key, hashes.SHA256())

    def pair(self, account: str) -> tuple[bytes, bytes]:
        """Certificate and key of a service account of namespace shop."""
        key = new_key()
        return pem(self._sign(key, account, f"spiffe://cluster.local/ns/shop/sa/{account}")), key_pem(key)

    def client(self, account: str, *alpn: str) -> ssl.SSLContext:
        """TLS of a caller with a certificate of the mesh, whoever answers."""
        chain, key = self.pair(account)
        path = self._folder / f"{account}.pem"
        path.write_bytes(chain + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(path)
        context.set_alpn_protocols(list(alpn))
        return context

    def socket(self, account: str) -> Path:
        """Where the proxy of a service account gets its certificates."""
        path = self._folder / f"{account}.sock"
        chain, key = self.pair(account)
        own, roots = Secret(name="default"), Secret(name="ROOTCA")
        own.tls_certificate.certificate_chain.inline_bytes = chain
        own.tls_certificate.private_key.inline_bytes = key
        roots.validation_context.trusted_ca.inline_bytes = pem(self._root)
        secrets = {"default": own, "ROOTCA": roots}

        def answer(requests: Iterator[Any], _context: Any) -> Iterator[DiscoveryResponse]:
            for request in requests:
                if request.version_info:
                    continue
                response = DiscoveryResponse(version_info="1", nonce="1", type_url=_TYPE)
                for wanted in request.resource_names:
                    response.resources.add().Pack(secrets[wanted])
                yield response

        handler = grpc.stream_stream_rpc_method_handler(
            answer, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
        )
        service, _, method = _METHOD[1:].partition("/")
        server = grpc.server(ThreadPoolExecutor(max_workers=32))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        server.add_insecure_port(f"unix:{path}")
        server.start()
        self._servers.append(server)
        return path

    def close(self) -> None:
        """No proxy is given anything any more."""
        for server in self._servers:
            server.stop(None)
