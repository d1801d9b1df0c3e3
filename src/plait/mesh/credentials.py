"""Certificates for TLS by the names that proxies ask for, from Kubernetes Secrets or from files of the proxy.

`kubernetes://NAME` is the certificate and key of the Secret NAME in the proxy's own namespace, `kubernetes://NAME-cacert`
the authorities that it trusts: those of the Secret NAME-cacert, or else those in NAME. `file-cert:CERT~KEY` and
`file-root:CA` are files that the proxy reads itself (Istio's rules, and its names).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from plait.api.kubernetes import Secret
from plait.api.meta import ObjectKey
from plait.snapshot.reader import Reader

SCHEME: Final = "kubernetes://"
AUTHORITIES: Final = "-cacert"
FILE_CERTIFICATE: Final = "file-cert:"
FILE_AUTHORITIES: Final = "file-root:"
#: (certificate, key) in Istio's order.
_PAIRS: Final = (("cert", "key"), ("tls.crt", "tls.key"))
_AUTHORITIES: Final = ("cacert", "ca.crt")
_REVOKED: Final = ("crl", "ca.crl")
_STAPLE: Final = "tls.ocsp-staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate with its chain, and its key."""

    chain: bytes
    key: bytes = field(repr=False)
    staple: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Certificates of authorities, and what they revoked."""

    certificates: bytes
    revoked: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """A certificate with its chain, and its key, as files of the proxy."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFile:
    """Certificates of authorities as a file of the proxy, and what they revoked as another."""

    path: str
    revoked: str = ""


CredentialValue: TypeAlias = Certificate | Authorities | CertificateFiles | AuthorityFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a name stands for: a value, or in words why there is none; `secret` (NAMESPACE/NAME) if one is of no use."""

    value: CredentialValue | None = None
    problem: str = ""
    secret: str = ""


def credential_name(name: str) -> str:
    """The name of a `credentialName` on the wire."""
    return name if "://" in name else SCHEME + name


def authorities_name(name: str) -> str:
    """The name of the authorities that belong to a `credentialName`, or are one."""
    name = credential_name(name)
    return name if name.endswith(AUTHORITIES) else name + AUTHORITIES


def file_certificate_name(chain: str, key: str) -> str:
    """The name of a certificate and its key in files."""
    return f"{FILE_CERTIFICATE}{chain}~{key}"


def file_authorities_name(path: str, revoked: str = "") -> str:
    """The name of authorities in a file; with a revocation list, which Istio's name leaves out, it is a part of it."""
    return f"{FILE_AUTHORITIES}{path}~{revoked}" if revoked else f"{FILE_AUTHORITIES}{path}"


def secret_names(name: str, namespace: str) -> tuple[str, ...]:
    """The Secrets of `namespace`, the proxy's own, that decide what a name stands for; the first found holds."""
    if not name.startswith(SCHEME):
        return ()
    owner, _, short = name.removeprefix(SCHEME).rpartition("/")
    if owner not in {"", namespace} or not short:
        # Another namespace's Secrets are none of this proxy's business.
        return ()
    base = short.removesuffix(AUTHORITIES)
    return (short, base) if base != short and base else (short,)


def credential(reader: Reader, name: str, namespace: str) -> Credential:
    """What `name` stands for to a proxy in `namespace`. Files are the proxy's own: whether they are there it knows."""
    if name.startswith(FILE_CERTIFICATE):
        chain, _, key = name.removeprefix(FILE_CERTIFICATE).partition("~")
        return Credential(value=CertificateFiles(chain=chain, key=key))
    if name.startswith(FILE_AUTHORITIES):
        path, _, revoked = name.removeprefix(FILE_AUTHORITIES).partition("~")
        return Credential(value=AuthorityFile(path=path, revoked=revoked))
    candidates = secret_names(name, namespace)
    if not candidates:
        return Credential(problem=f"{name} is not the name of a Secret of namespace {namespace}")
    for short in candidates:
        secret: Secret | None = reader.object(ObjectKey("Secret", namespace, short))
        if secret is None:
            continue
        return _authorities(secret) if name.endswith(AUTHORITIES) else _certificate(secret)
    return Credential(problem=f"there is no Secret {candidates[-1]!r} in namespace {namespace}, the proxy's own")


def _certificate(secret: Secret) -> Credential:
    for certificate, key in _PAIRS:
        if certificate in secret.data and key in secret.data:
            break
    else:
        return _useless(secret, "it has neither tls.crt and tls.key nor cert and key")
    chain, private = _value(secret, certificate), _value(secret, key)
    problem = _fault(chain, private)
    if problem:
        return _useless(secret, problem)
    return Credential(value=Certificate(chain=chain, key=private, staple=_value(secret, _STAPLE)))


def _useless(secret: Secret, problem: str) -> Credential:
    which = f"{secret.metadata.namespace}/{secret.metadata.name}"
    return Credential(problem=f"Secret {which}: {problem}", secret=which)


def _fault(chain: bytes, private: bytes) -> str:
    """Why a proxy would refuse the pair; never with any part of the key."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        return "its certificate is no certificate in PEM form"
    try:
        key = load_pem_private_key(private, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return "its key is no unencrypted private key in PEM form"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if first.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        return "its key is not the key of its certificate"
    return ""


def _authorities(secret: Secret) -> Credential:
    found = next((name for name in _AUTHORITIES if name in secret.data), None)
    if found is None:
        return _useless(secret, "it has neither ca.crt nor cacert, which say whose certificates to trust")
    certificates = _value(secret, found)
    try:
        x509.load_pem_x509_certificates(certificates)
    except ValueError:
        return _useless(secret, f"{found} holds no certificate in PEM form")
    revoked = next((_value(secret, name) for name in _REVOKED if name in secret.data), b"")
    return Credential(value=Authorities(certificates=certificates, revoked=revoked))


def _value(secret: Secret, name: str) -> bytes:
    try:
        return base64.b64decode(secret.data.get(name, ""), validate=False)
    except (binascii.Error, ValueError):
        return b""
