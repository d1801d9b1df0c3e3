"""Istio's certificate service on the wire (istio.v1.auth, security/v1alpha1/ca.proto): who asks, and who answers.

rpc CreateCertificate(IstioCertificateRequest) returns (IstioCertificateResponse)
IstioCertificateRequest:  string csr = 1; int64 validity_duration = 3; google.protobuf.Struct metadata = 4
IstioCertificateResponse: repeated string cert_chain = 1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from plait.kit import protowire

METHOD: Final = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#: Bytes of a request; one of an RSA key of 4096 bits has 2 KB.
LARGEST_REQUEST: Final = 64 << 10


class MalformedMessageError(Exception):
    """Bytes that are not the message they should be."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A signing request (PKCS #10 in PEM), and for how many seconds the certificate is wanted; 0: the usual time."""

    csr: str
    seconds: int = 0


def encode_request(request: CertificateRequest) -> bytes:
    """What is sent to the authority."""
    seconds = request.seconds % (1 << 64)  # as int64 stands on the wire
    return protowire.field(1, request.csr) + protowire.field(3, seconds)


def decode_request(message: bytes) -> CertificateRequest:
    """Raises MalformedMessageError."""
    try:
        return CertificateRequest(protowire.text(message, 1), protowire.number(message, 3))
    except protowire.WireError as error:
        raise MalformedMessageError(f"not an IstioCertificateRequest: {error}") from error


def encode_response(chain: Iterable[str]) -> bytes:
    """The answer: the certificate, authorities between, and last the root, or roots one after the other; all PEM."""
    return b"".join(protowire.element(1, certificate) for certificate in chain)


def decode_response(message: bytes) -> tuple[str, ...]:
    """See `encode_response`; raises MalformedMessageError."""
    try:
        return protowire.texts(message, 1)
    except protowire.WireError as error:
        raise MalformedMessageError(f"not an IstioCertificateResponse: {error}") from error
