"""An authority: a key, its certificate, what stands between that and a root, and the roots. It signs, and knows no
clock and no network.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from plait.api.spiffe import SCHEME
from plait.kit.certificates import draft, key_pem, make_root, name, pem, read_certificates, usage

#: So far back a certificate's time begins: clocks of one mesh differ by less (Istio's allowance).
_SKEW: Final = dt.timedelta(minutes=2)
#: As Istio has it: a workload's certificate, and the longest that may be asked for.
USUAL_LIFE: Final = dt.timedelta(hours=24)
LONGEST_LIFE: Final = dt.timedelta(days=90)
#: Bytes of a signing request in PEM; one of an RSA key of 4096 bits has 2 KB.
LARGEST_CSR: Final = 16 << 10
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS: Final = range(2048, 8193)

_Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class BadAuthorityError(Exception):
    """What should be an authority is none: `part` is the file of it that cannot be used, the text says why."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part


class BadRequestError(Exception):
    """A signing request that is not signed, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pems:
    """An authority as files, all PEM: its certificate and key, those between it and the roots, and the roots."""

    certificate: bytes
    key: bytes = field(repr=False)
    chain: bytes = b""
    roots: bytes = b""


def make_pems(trust_domain: str, now: dt.datetime) -> Pems:
    """A new authority that signs itself."""
    names = [x509.UniformResourceIdentifier(f"{SCHEME}{trust_domain}")]
    key, root = make_root(name("", organization=trust_domain), now, path_length=0, alternatives=names)
    return Pems(certificate=pem(root), key=key_pem(key), roots=pem(root))


class Authority:
    """`between` are the certificates that a chain needs after its leaf, `roots` those that end one."""

    def __init__(
        self,
        key: _Key,
        certificate: x509.Certificate,
        between: Iterable[x509.Certificate],
        roots: Iterable[x509.Certificate],
    ) -> None:
        self._key = key
        self.certificate = certificate
        self.between = tuple(between)
        self.roots = tuple(roots)

    @classmethod
    def load(cls, pems: Pems, now: dt.datetime) -> Authority:
        """Check an authority and take it; raises BadAuthorityError."""
        certificates = _certificates("ca-cert.pem", pems.certificate)
        if not certificates:
            raise BadAuthorityError("ca-cert.pem", "no certificate in it")
        certificate, *more = certificates
        key = _key(pems.key)
        if _bytes(key.public_key()) != _bytes(certificate.public_key()):
            raise BadAuthorityError("ca-key.pem", "it does not belong to the certificate in ca-cert.pem")
        _check("ca-cert.pem", certificate, now)
        roots = _certificates("root-cert.pem", pems.roots)
        if not roots:
            raise BadAuthorityError("root-cert.pem", "no certificate in it")
        path = _path(certificate, (*more, *_certificates("cert-chain.pem", pems.chain)), roots)
        for each in path[1:]:
            _check("root-cert.pem" if each in roots else "cert-chain.pem", each, now)
        return cls(key, certificate, (each for each in path if each not in roots), roots)

    @property
    def ends(self) -> dt.datetime:
        """When the first of its certificates ends: nothing is signed for longer."""
        return min(each.not_valid_after_utc for each in (self.certificate, *self.between))

    @property
    def root_ends(self) -> dt.datetime:
        """When the first root ends."""
        return min(each.not_valid_after_utc for each in self.roots)

    @property
    def roots_pem(self) -> str:
        """What whoever is to trust this authority needs, one after the other."""
        return pem(*self.roots).decode()

    def chain(self, leaf: x509.Certificate) -> tuple[str, ...]:
        """A certificate and what proves it, as Istio's service answers: leaf, authorities between, roots."""
        return (*(pem(each).decode() for each in (leaf, *self.between)), self.roots_pem)

    def certify(
        self, public: CertificatePublicKeyTypes, uri: str, *, now: dt.datetime, life: dt.timedelta = USUAL_LIFE
    ) -> x509.Certificate:
        """A workload's certificate, for both ends of a connection. `uri` is who it is; nothing else is said of it."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._sign(public, names, uses, now, life)

    def certify_server(
        self,
        public: CertificatePublicKeyTypes,
        names: Iterable[str],
        addresses: Iterable[str],
        *,
        now: dt.datetime,
        life: dt.timedelta = USUAL_LIFE,
    ) -> x509.Certificate:
        """A certificate of a server with host names and IP addresses."""
        found: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
        found += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        alternatives = x509.SubjectAlternativeName(found)
        uses = [ExtendedKeyUsageOID.SERVER_AUTH]
        return self._sign(public, alternatives, uses, now, life)

    def _sign(
        self,
        public: CertificatePublicKeyTypes,
        names: x509.SubjectAlternativeName,
        uses: list[x509.ObjectIdentifier],
        now: dt.datetime,
        life: dt.timedelta,
    ) -> x509.Certificate:
        ends = min(now + life, self.ends)
        if ends <= now:
            raise BadRequestError(f"the authority's own certificate has ended at {self.ends:%Y-%m-%d %H:%M} UTC")
        return (
            draft(x509.Name([]), self.certificate.subject, public, begins=now - _SKEW, ends=ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(self._identifier(), critical=False)
            # Without a subject the other name must be critical (RFC 5280, 4.2.1.6).
            .add_extension(names, critical=True)
            .sign(self._key, SHA256())
        )

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        """How the authority's own certificate names its key, which need not be the usual hash."""
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def public_key(csr: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The key of a signing request, once its owner has shown to have it; raises BadRequestError.

    Names and extensions of the request are not looked at: who somebody is, a request does not prove.
    """
    if len(csr) > LARGEST_CSR:
        raise BadRequestError(f"a signing request of {len(csr)} bytes is too large: {LARGEST_CSR} at most")
    try:
        read = x509.load_pem_x509_csr(csr.encode())
        signed, key = read.is_signature_valid, read.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise BadRequestError("csr is not a signing request (PKCS #10) in PEM that can be read") from error
    if not signed:
        raise BadRequestError("the signature of the signing request is not of its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    raise BadRequestError("the key is not taken: make one on P-256, P-384 or P-521, or an RSA key of 2048 to 8192 bits")


def life_of(seconds: int) -> dt.timedelta:
    """For how long a certificate is given that is wanted for so many seconds, 0 being the usual time; raises
    BadRequestError.
    """
    if seconds == 0:
        return USUAL_LIFE
    if not 0 < seconds <= LONGEST_LIFE.total_seconds():
        most = int(LONGEST_LIFE.total_seconds())
        raise BadRequestError(f"validity_duration of {seconds} s: ask for 1 to {most} s, or 0 for the usual time")
    return dt.timedelta(seconds=seconds)


def _certificates(part: str, text: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return read_certificates(text)
    except ValueError as error:
        raise BadAuthorityError(part, f"not a certificate in PEM: {str(error).partition(' See http')[0]}") from error


def _key(text: bytes) -> _Key:
    try:
        key = load_pem_private_key(text, None)
    except TypeError:
        raise BadAuthorityError("ca-key.pem", "the key is encrypted: store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        # Without the cause: what a parser says of a key is nobody's to read.
        raise BadAuthorityError("ca-key.pem", "not a private key in PEM") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _RSA_BITS:
        return key
    raise BadAuthorityError("ca-key.pem", "only keys on P-256, P-384 and P-521 and RSA keys of 2048 to 8192 bits sign")


def _check(part: str, certificate: x509.Certificate, now: dt.datetime) -> None:
    """A certificate of an authority, at its time."""
    who = certificate.subject.rfc4514_string() or "without a name"
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        span = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
        raise BadAuthorityError(part, f"the certificate {who} is for another time: {span} UTC")
    try:
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        authority, signs = missing.oid != x509.BasicConstraints.oid, True
    if not authority or not signs:
        raise BadAuthorityError(part, f"the certificate {who} is not one of an authority (CA:TRUE, keyCertSign)")


def _path(
    certificate: x509.Certificate, others: Iterable[x509.Certificate], roots: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """From a certificate to a root, each signed by the next; raises BadAuthorityError."""
    others, roots = (*roots, *others), tuple(roots)
    path = [certificate]
    while path[-1] not in roots:
        above = next((each for each in others if each not in path and _signed_by(path[-1], each)), None)
        if above is None:
            who, issuer = path[-1].subject.rfc4514_string(), path[-1].issuer.rfc4514_string()
            raise BadAuthorityError(
                "cert-chain.pem", f"it does not lead to a root in root-cert.pem: {who} is signed by {issuer}, not found"
            )
        path.append(above)
    return tuple(path)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _bytes(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
