"""Keys on P-256 and X.509 certificates: what every authority here, and whoever asks one, is made of."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

TEN_YEARS: Final = dt.timedelta(days=3650)
#: A clock that is set back so far, for a wrong time zone say, does not make a certificate one of the future.
CLOCK_SET_BACK: Final = dt.timedelta(days=2)

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(*certificates: x509.Certificate) -> bytes:
    """One after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def request_pem(request: x509.CertificateSigningRequest) -> bytes:
    """PKCS #10."""
    return request.public_bytes(Encoding.PEM)


def read_certificates(text: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, which may hold other words between them; raises ValueError for a bad one."""
    return tuple(x509.load_pem_x509_certificate(block) for block in _BLOCK.findall(text))


def name(text: str, *, organization: str = "") -> x509.Name:
    """A name with a common name, an organization, or both."""
    parts = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, text))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts if value])


def draft(
    subject: x509.Name,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    *,
    begins: dt.datetime,
    ends: dt.datetime,
) -> x509.CertificateBuilder:
    """A certificate to be added to and signed; its serial number is random."""
    return (x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), begins, ends)).add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public), critical=False
    )


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What a key is for: that of an authority, or that of one end of a TLS connection."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def make_root(
    subject: x509.Name,
    now: dt.datetime,
    *,
    path_length: int | None = None,
    alternatives: Iterable[x509.GeneralName] = (),
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """An authority that signs itself, for ten years. `path_length` authorities may stand below it; None: any number."""
    key = new_key()
    builder = (
        draft(subject, subject, key.public_key(), begins=now - CLOCK_SET_BACK, ends=now + TEN_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
    )
    if names := list(alternatives):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(key, SHA256())
