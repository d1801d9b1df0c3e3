"""What Istio demands of a Gateway beyond its shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from plait.api.gateway import Gateway, GatewayPort, Server, ServerTLS
from plait.api.names import is_dns_label, is_ip, is_wildcard_host
from plait.api.validate.findings import UNIX, Findings

#: Ports on which every proxy already listens.
PROXY_PORTS: Final = frozenset({15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090})
HTTP_PROTOCOLS: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"})
TLS_PROTOCOLS: Final = frozenset({"HTTPS", "TLS"})
_PROTOCOLS: Final = (*sorted(HTTP_PROTOCOLS), "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL")
#: Istio lets these in, and serves nothing for them.
_UNSERVED: Final = frozenset({"UDP", "HBONE"})
CIPHERS: Final = frozenset(
    {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA", "PSK-AES128-CBC-SHA",
        "PSK-AES256-CBC-SHA", "ECDHE-PSK-AES128-CBC-SHA", "ECDHE-PSK-AES256-CBC-SHA", "ECDHE-PSK-CHACHA20-POLY1305",
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    }
)  # fmt: skip
#: Envoy takes the second of two names for the same curve, too.
CURVES: Final = frozenset(
    {"X25519", "X25519MLKEM768", "MLKEM1024", "P-256", "P-384", "P-521", "prime256v1", "secp384r1", "secp521r1"}
)
_MAX_CERTIFICATES: Final = 2
#: The forms that Envoy takes.
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31}")
_KEY_HASH: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_OLD_TLS: Final = frozenset({"TLSV1_0", "TLSV1_1"})


def validate_gateway(gateway: Gateway, findings: Findings) -> None:
    """Add what is wrong with `gateway` to `findings`."""
    if not is_dns_label(findings.key.name):
        findings.error("metadata.name", f"{findings.key.name!r} is not the name of a gateway", fix="letters, digits, -")
    if not gateway.spec.servers:
        findings.error("spec.servers", "there is no server", fix="at least one, with port and hosts")
    names: set[str] = set()
    for index, server in enumerate(gateway.spec.servers):
        path = f"spec.servers[{index}]"
        _server(path, server, findings)
        name = server.port.name if server.port is not None else ""
        if name and name in names:
            findings.error(f"{path}.port.name", f"a second port {name!r}", fix="a name of its own", value=name)
        names.add(name)
        if server.tls is not None and server.tls.https_redirect and server.port is not None:
            _redirecting(f"{path}.tls.httpsRedirect", server.port.protocol.upper(), findings)


def _redirecting(path: str, protocol: str, findings: Findings) -> None:
    if protocol not in HTTP_PROTOCOLS:
        findings.warn(path, f"a port that speaks {protocol} has nothing to redirect", fix="on the HTTP port only")


def validate_host_entry(path: str, entry: str, findings: Findings, *, sidecar: bool = False) -> None:
    """A host with the namespace whose objects it is about: `./host`, `*/host`, `ns/host`.

    Istio: a gateway's host may lack the namespace; a Sidecar's may not, and `~` before it takes the host out again.
    """
    namespace, slash, host = entry.partition("/")
    if not slash:
        if sidecar:
            findings.error(path, f"{entry!r} has no namespace", fix=f"./{entry}, */{entry} or NAMESPACE/{entry}")
        else:
            _host_part(path, entry, findings, address=True)
        return
    scopes = {"*", "."}
    if sidecar and namespace.startswith("~"):
        # Istio 1.31: what is not imported; of ~ alone it is said of every namespace.
        scopes, namespace = scopes | {""}, namespace[1:]
    if namespace not in scopes and not is_dns_label(namespace):
        findings.error(path, f"{namespace!r} is not a namespace", fix="NAMESPACE/HOST, ./HOST or */HOST", value=entry)
    _host_part(path, host, findings, address=not sidecar)


def _host_part(path: str, host: str, findings: Findings, *, address: bool) -> None:
    """Istio: a full name, or a wildcard for all of its first labels; `address` says that one may stand for a host."""
    if address and is_ip(host):
        if "." not in host:
            # Istio: a host has a dot.
            findings.error(path, f"{host!r} is an IPv6 address, which no host here may be", fix="a name", value=host)
        return
    if not is_wildcard_host(host):
        findings.error(path, f"{host!r} is not a DNS name", fix="a name, *.domain or *", value=host)
    elif host != "*" and "." not in host:
        findings.error(path, f"{host!r} is a short name", fix=f"the full name, such as {host}.NAMESPACE.svc.cluster."
                       "local", value=host)  # fmt: skip
    elif host.startswith("*") and host != "*" and not host.startswith("*."):
        findings.error(path, f"{host!r} has a wildcard inside a label", fix="*.domain", value=host)


def _server(path: str, server: Server, findings: Findings) -> None:
    if not server.hosts:
        findings.error(f"{path}.hosts", "a host is missing", fix='for example ["*"]')
    for index, host in enumerate(server.hosts):
        validate_host_entry(f"{path}.hosts[{index}]", host, findings)
    if server.bind.startswith(UNIX):
        findings.socket(f"{path}.bind", server.bind)
    elif server.bind:
        findings.address(f"{path}.bind", server.bind)
    if server.tls is not None:
        validate_server_tls(f"{path}.tls", server.tls, findings)
    if server.port is None:
        findings.error(f"{path}.port", "a port is missing", fix="port: {number: 80, name: http, protocol: HTTP}")
        return
    _port(f"{path}.port", server.port, server.bind, findings)
    protocol = server.port.protocol.upper()
    if protocol in TLS_PROTOCOLS and server.tls is None:
        findings.error(f"{path}.tls", f"{protocol} must have tls", fix="tls: {mode: SIMPLE, credentialName: NAME}")
    elif protocol not in TLS_PROTOCOLS and server.tls is not None and protocol in {*_PROTOCOLS, *_UNSERVED}:
        # Istio: on plain HTTP the only use of tls is the redirect.
        files = server.tls.server_certificate or server.tls.private_key or server.tls.ca_certificates
        plain = server.tls.mode in {"", "PASSTHROUGH", "AUTO_PASSTHROUGH"} and not files
        if protocol in HTTP_PROTOCOLS and not plain:
            findings.error(f"{path}.tls", f"a port that speaks {protocol} cannot have TLS", fix="protocol HTTPS")
        elif protocol not in HTTP_PROTOCOLS:
            findings.error(f"{path}.tls", f"a port that speaks {protocol} cannot have TLS", fix="protocol TLS")


def _port(path: str, port: GatewayPort, bind: str, findings: Findings) -> None:
    if bind.startswith(UNIX):
        if port.number:
            findings.error(f"{path}.number", "a unix socket has no port number", fix="0, or none", value=port.number)
    else:
        findings.port(f"{path}.number", port.number)
    if port.number in PROXY_PORTS and port.protocol.upper() not in _UNSERVED:
        text = f"{port.number} belongs to the proxy itself: nothing is served there"
        findings.warn(f"{path}.number", text, fix="another port", value=port.number)
    if port.protocol.upper() in _UNSERVED:
        findings.warn(
            f"{path}.protocol", f"no gateway serves {port.protocol}", fix=", ".join(_PROTOCOLS), value=port.protocol
        )
    elif port.protocol.upper() not in _PROTOCOLS:
        findings.error(
            f"{path}.protocol", f"invalid protocol {port.protocol!r}", fix=", ".join(_PROTOCOLS), value=port.protocol
        )
    if not port.name:
        findings.error(f"{path}.name", "a name is missing", fix="for example http")
    if port.target_port:
        findings.error(f"{path}.targetPort", "has no meaning here", fix="number, as the Service of the gateway has it")


def validate_server_tls(path: str, tls: ServerTLS, findings: Findings) -> None:
    """Istio: what each mode needs and what contradicts it. A Sidecar's listeners have the same settings."""
    validate_ciphers(path, tls.cipher_suites, findings)
    validate_curves(path, tls.ecdh_curves, findings)
    if tls.min_protocol_version in _OLD_TLS and not tls.cipher_suites:
        findings.warn(
            f"{path}.minProtocolVersion", "TLS below 1.2 needs ciphers that are off by default", fix="TLSV1_2, or "
            "compatible cipherSuites", value=tls.min_protocol_version,
        )  # fmt: skip
    mode = tls.mode or "PASSTHROUGH"
    given = {
        "server certificate": tls.server_certificate,
        "private key": tls.private_key,
        "CA bundle": tls.ca_certificates,
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
        "tlsCertificates": tls.tls_certificates,
        "caCertCredentialName": tls.ca_cert_credential_name,
        "CRL": tls.ca_crl,
    }
    present = [name for name, value in given.items() if value]
    if mode == "ISTIO_MUTUAL":
        for name in present:
            if name == "CRL":
                continue
            findings.error(path, f"ISTIO_MUTUAL cannot have associated {name}: the mesh's own is used", fix="remove it")
        return
    _one_source(path, tls, findings)
    if mode in {"PASSTHROUGH", "AUTO_PASSTHROUGH"}:
        if tls.ca_crl and tls.credential_name:
            findings.error(f"{path}.caCrl", "CRL is not supported with credentialName", fix="ca.crl in the Secret")
        if present:
            findings.warn(
                path, f"{mode} mode does not use certificates, so {' and '.join(present)} will be ignored",
                fix="mode SIMPLE",
            )  # fmt: skip
        return
    _certificates(path, mode, tls, findings)
    if mode != "SIMPLE":
        _pinned(path, tls, findings)


def _pinned(path: str, tls: ServerTLS, findings: Findings) -> None:
    """Whose clients' certificates are taken: in another form Envoy serves nothing on the whole port."""
    for index, text in enumerate(tls.verify_certificate_hash):
        if not _HASH.fullmatch(text):
            fix = "64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints them"
            where = f"{path}.verifyCertificateHash[{index}]"
            findings.error(where, "is not the SHA-256 of a certificate", fix=fix, value=text)
    for index, text in enumerate(tls.verify_certificate_spki):
        if not _KEY_HASH.fullmatch(text):
            where = f"{path}.verifyCertificateSpki[{index}]"
            findings.error(where, "is not the SHA-256 of a public key", fix="32 bytes in base64", value=text)


def _one_source(path: str, tls: ServerTLS, findings: Findings) -> None:
    """Istio: in every mode but the mesh's own, whether or not it uses certificates."""
    files = bool(tls.server_certificate and tls.private_key)
    ways = [
        name
        for name, value in (
            ("credential_name", tls.credential_name),
            ("credential_names", tls.credential_names),
            ("tls_certificates", tls.tls_certificates),
            ("server_certificate/private_key", files),
        )
        if value
    ]
    if len(ways) > 1:
        findings.error(
            path, f"only one of credential_name, credential_names, tls_certificates and files can be set, not "
            f"{' and '.join(ways)}", fix="only credentialName",
        )  # fmt: skip


def _certificates(path: str, mode: str, tls: ServerTLS, findings: Findings) -> None:
    if tls.ca_crl and (tls.credential_name or tls.credential_names):
        findings.warn(
            f"{path}.caCrl", "has no effect beside credentialName: it is part of the Secret", fix="ca.crl in the "
            "Secret", value=tls.ca_crl,
        )  # fmt: skip
    elif mode == "SIMPLE" and tls.ca_crl:
        findings.error(f"{path}.caCrl", "CRL is not supported with SIMPLE TLS", fix="mode MUTUAL", value=tls.ca_crl)
    for name, certificates in (("credentialNames", tls.credential_names), ("tlsCertificates", tls.tls_certificates)):
        if len(certificates) > _MAX_CERTIFICATES:
            findings.warn(
                f"{path}.{name}", f"{mode} TLS can support up to 2 server certificates, one for each kind of key",
                fix="an RSA and an ECDSA certificate",
            )  # fmt: skip
    if tls.ca_cert_credential_name and tls.ca_certificates:
        findings.error(path, "caCertCredentialName and caCertificates exclude each other", fix="one of them")
    for index, name in enumerate(tls.credential_names):
        if not name:
            findings.error(f"{path}.credentialNames[{index}]", "an empty name", fix="the name of a Secret")
    if tls.credential_name or tls.credential_names:
        return
    pairs = [(path, tls.server_certificate, tls.private_key)] if not tls.tls_certificates else []
    pairs += [
        (f"{path}.tlsCertificates[{index}]", each.server_certificate, each.private_key)
        for index, each in enumerate(tls.tls_certificates)
    ]
    for where, certificate, key in pairs:
        if not certificate:
            findings.error(
                f"{where}.serverCertificate", f"{mode} TLS needs a server certificate", fix="a file, or credentialName"
            )
        if not key:
            findings.error(f"{where}.privateKey", f"{mode} TLS needs a private key", fix="a file, or credentialName")
    if mode in {"MUTUAL", "OPTIONAL_MUTUAL"} and not (tls.ca_certificates or tls.ca_cert_credential_name):
        findings.error(
            f"{path}.caCertificates", f"{mode} TLS needs a client CA bundle", fix="a file, or credentialName"
        )


def is_cipher(name: str) -> bool:
    """Whether Envoy takes this as a cipher suite. Istio: none, ALL, and whatever begins with a mark, pass."""
    return name in {"", "ALL"} or not name[0].isalnum() or name in CIPHERS


def validate_ciphers(path: str, suites: Iterable[str], findings: Findings) -> None:
    """Unknown ones are left out, as in Istio."""
    _each_once(f"{path}.cipherSuites", suites, is_cipher, "a cipher suite", findings)


def validate_curves(path: str, curves: Iterable[str], findings: Findings) -> None:
    """Unknown ones are left out: Envoy would refuse the whole listener."""
    _each_once(f"{path}.ecdhCurves", curves, CURVES.__contains__, "a curve", findings)


def _each_once(path: str, given: Iterable[str], known: Callable[[str], bool], what: str, findings: Findings) -> None:
    seen: set[str] = set()
    for index, name in enumerate(given):
        where = f"{path}[{index}]"
        if not known(name):
            findings.warn(where, f"{name!r} is not {what} that Envoy knows: it is left out", value=name)
        elif name in seen:
            findings.warn(where, f"{name!r} is named twice", fix="remove one", value=name)
        seen.add(name)
