"""Certificates of a trial: made when it starts, for nobody but itself.

Two authorities, as in a mesh: one signs what sidecars show each other, the other stands for everybody else's. A caller
of mutual TLS shows a certificate of the mesh and takes no other; a caller of ordinary TLS takes any.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Realm = Literal["mesh", "other"]
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """An authority's certificate, and one that it has signed with its key; all PEM."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def make_pair(name: str) -> Pair:
    """An authority and a certificate for any use."""
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"trial {name}")])
    root = _signed(issuer, issuer, root_key.public_key(), root_key, now, authority=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    leaf = _signed(issuer, subject, key.public_key(), root_key, now, authority=False)
    return Pair(
        authority=root.public_bytes(Encoding.PEM),
        certificate=leaf.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _signed(issuer: Any, subject: Any, public: Any, key: Any, now: datetime, *, authority: bool) -> x509.Certificate:
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - _LIFE).not_valid_after(now + _LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if not authority:
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier("spiffe://cluster.local/ns/trial/sa/trial"),
            x509.DNSName("trial"),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256())


class Certificates:
    """Both realms', and the settings of callers of each kind."""

    def __init__(self, folder: Path) -> None:
        self.pairs: dict[Realm, Pair] = {"mesh": make_pair("mesh"), "other": make_pair("other")}
        self._folder = folder
        self._contexts: dict[tuple[Realm | None, bool, tuple[str, ...]], ssl.SSLContext] = {}

    def caller(self, shows: Realm | None, *, strict: bool, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Settings of a client that shows a realm's certificate; `strict`: it takes no server of another realm."""
        key = (shows, strict, alpn)
        if key not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED if strict else ssl.CERT_NONE
            if shows is not None:
                context.load_cert_chain(self._file(shows))
                context.load_verify_locations(cadata=self.pairs[shows].authority.decode())
            if alpn:
                context.set_alpn_protocols(list(alpn))
            self._contexts[key] = context
        return self._contexts[key]

    def _file(self, realm: Realm) -> str:
        path = self._folder / f"{realm}.pem"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(self.pairs[realm].certificate + self.pairs[realm].key)
        return str(path)
