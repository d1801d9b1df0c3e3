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
from cryptography.x509.oid import ExtendedKeyUsageOID

from plait.kit.certificates import CLOCK_SET_BACK, TEN_YEARS, draft, key_pem, make_root, name, new_key, pem

#: Users of the API server that are not service accounts: the person at the machine, and plait's own node.
_USERS = (("admin", "plait-admin"), ("node", "system:node:plait"))


def ensure(folder: Path, addresses: Iterable[str], names: Iterable[str]) -> None:
    """Make what is missing in `folder`: ca.crt, ca.key, server.crt, server.key, sa.key, tokens.json.

    The server certificate is for `addresses` and `names`. Existing files stay: a kubeconfig keeps working.
    """
    if not (folder / "ca.key").exists():
        key, certificate = make_root(name("plait machine API"), dt.datetime.now(dt.UTC), path_length=0)
        _write_key(folder / "ca.key", key)
        _write(folder / "ca.crt", pem(certificate), 0o644)
    if not (folder / "server.key").exists():
        ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{folder / 'ca.key'} is not an elliptic-curve key")
        key, certificate = _server(ca_key, ca, addresses, names)
        _write(folder / "server.crt", pem(certificate), 0o644)
        _write_key(folder / "server.key", key)
    if not (folder / "sa.key").exists():
        _write_key(folder / "sa.key", new_key())
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


def _server(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, addresses: Iterable[str], names: Iterable[str]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = new_key()
    alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    now = dt.datetime.now(dt.UTC)
    begins, ends = now - CLOCK_SET_BACK, now + TEN_YEARS
    builder = (
        draft(name("plait API server"), ca.subject, key.public_key(), begins=begins, ends=ends)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return key, builder.sign(ca_key, hashes.SHA256())


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(path, key_pem(key), 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """All or nothing, and never readable by others on the way."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.chmod(mode)
    draft.replace(path)
