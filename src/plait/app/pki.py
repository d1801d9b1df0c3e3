"""Keys, certificates and tokens of one machine's API server, made once and kept in the state folder."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_TEN_YEARS = dt.timedelta(days=3650)
#: A clock that is set back so far, for a wrong time zone say, does not make a certificate one of the future.
_CLOCK_SET_BACK = dt.timedelta(days=2)
#: Users of the API server that are not service accounts: the person at the machine, and plait's own node.
_USERS = (("admin", "plait-admin"), ("node", "system:node:plait"))


def ensure(folder: Path, addresses: Iterable[str], names: Iterable[str]) -> None:
    """Make what is missing in `folder`: ca.crt, ca.key, server.crt, server.key, sa.key, tokens.json.

    The server certificate is for `addresses` and `names`. Existing files stay: a kubeconfig keeps working.
    """
    if not (folder / "ca.key").exists():
        key, certificate = _authority()
        _write_key(folder / "ca.key", key)
        _write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    if not (folder / "server.key").exists():
        ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{folder / 'ca.key'} is not an elliptic-curve key")
        key, certificate = _server(ca_key, ca, addresses, names)
        _write(folder / "server.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _write_key(folder / "server.key", key)
    if not (folder / "sa.key").exists():
        _write_key(folder / "sa.key", ec.generate_private_key(ec.SECP256R1()))
    if not (folder / "tokens.json").exists():
        tokens = [
            {"token": secrets.token_urlsafe(32), "user": user, "groups": ["system:masters"], "for": use}
            for use, user in _USERS
        ]
        _write(folder / "tokens.json", json.dumps(tokens).encode(), 0o600)


def token(folder: Path, use: str) -> str:
    """The token made for `admin` or `node`."""
    for entry in json.loads((folder / "tokens.json").read_bytes()):
        if entry["for"] == use:
            return str(entry["token"])
    raise KeyError(f"{folder / 'tokens.json'} has no token for {use}")


def write_kubeconfig(path: Path, folder: Path, *, mesh: str, port: int) -> None:
    """Write a kubeconfig with the context `plait-MESH`."""
    context = f"plait-{mesh}"
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": server}],
        "users": [{"name": context, "user": {"token": token(folder, "admin")}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": "default"}}],
    }
    _write(path, yaml.safe_dump(document, sort_keys=False).encode(), 0o600)


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plait machine API")])
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _certificate(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return key, builder.sign(key, hashes.SHA256())


def _server(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, addresses: Iterable[str], names: Iterable[str]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plait API server")])
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = (
        _certificate(subject, ca.subject, key, dt.datetime.now(dt.UTC))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return key, builder.sign(ca_key, hashes.SHA256())


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SET_BACK)
        .not_valid_after(now + _TEN_YEARS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """All or nothing, and never readable by others on the way."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.chmod(mode)
    draft.replace(path)
