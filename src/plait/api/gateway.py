"""networking.istio.io Gateway: what the gateway proxies listen for."""

from __future__ import annotations

import msgspec

from plait.api.meta import Metadata


class GatewayPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port as callers of the gateway's Service see it."""

    number: int = 0
    protocol: str = ""
    name: str = ""
    target_port: int | None = None


class TLSCertificate(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate and its key, as files of the proxy."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLS(msgspec.Struct, frozen=True, rename="camel"):
    """TLS of a server. `https_redirect` alone, on a plain port, answers 301 to https."""

    https_redirect: bool = False
    mode: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    ca_cert_credential_name: str = ""
    tls_certificates: tuple[TLSCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: str = "TLS_AUTO"
    max_protocol_version: str = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None


class Server(msgspec.Struct, frozen=True, rename="camel"):
    """One port and the hosts served there, each with an optional `namespace/` in front."""

    port: GatewayPort | None = None
    hosts: tuple[str, ...] = ()
    bind: str = ""
    name: str = ""
    tls: ServerTLS | None = None
    default_endpoint: str = ""


class GatewaySpec(msgspec.Struct, frozen=True):
    """`selector` picks the gateway's pods by their labels, in any namespace; empty picks all."""

    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()


class Gateway(msgspec.Struct, frozen=True):
    """networking.istio.io Gateway, any version."""

    metadata: Metadata
    spec: GatewaySpec = GatewaySpec()
