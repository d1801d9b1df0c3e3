"""Authorities and requests of tests."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from plait.citadel.authority import Pems
from plait.kit.certificates import draft, key_pem, make_root, name, new_key, pem, usage

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def signing_request(key=None, *, uri: str = "", subject: str = "", digest=None) -> str:
    """A CSR; what it says of its sender is for tests that show that nobody listens."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(subject))
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key or new_key(), digest or SHA256()).public_bytes(Encoding.PEM).decode()


def plugged_in(now: dt.datetime = NOW, *, key=None, life: dt.timedelta = dt.timedelta(days=365)) -> Pems:
    """A root with an authority below it, as a user's Secret `cacerts` has them."""
    root_key, root = make_root(name("Acme root", organization="Acme"), now)
    key = key or new_key()
    below = (
        draft(name("Acme mesh"), root.subject, key.public_key(), begins=now - dt.timedelta(days=1), ends=now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )
    return Pems(certificate=pem(below), key=key_pem(key), chain=pem(below, root), roots=pem(root))


def rsa_plugged_in(now: dt.datetime = NOW) -> Pems:
    """One of an RSA key that is its own root, as Istio's scripts make them, with a key identifier that is no hash."""
    key = rsa.generate_private_key(65537, 2048)
    who = name("Acme mesh")
    ends = now + dt.timedelta(days=9)
    signed = (
        x509.CertificateBuilder(who, who, key.public_key(), 7, now - dt.timedelta(days=1), ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(b"not a hash"), critical=False)
        .add_extension(usage(signs_certificates=True), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return Pems(certificate=pem(signed), key=private, roots=pem(signed))
