"""Istio's certificate service on the wire (istio.v1.auth, security/v1alpha1/ca.proto): who asks, and who answers.

rpc CreateCertificate(IstioCertificateRequest) returns (IstioCertificateResponse)
IstioCertificateRequest:  string csr = 1; int64 validity_duration = 3; google.protobuf.Struct metadata = 4
IstioCertificateResponse: repeated string cert_chain = 1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

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


def _messages() -> tuple[Any, Any]:
    """Classes of the two messages; fields that are not read here are left to protobuf as unknown ones."""
    file = FileDescriptorProto(name="security/v1alpha1/ca.proto", package="istio.v1.auth", syntax="proto3")
    asked = file.message_type.add(name="IstioCertificateRequest")
    asked.field.add(name="csr", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    asked.field.add(name="validity_duration", number=3, type=Field.TYPE_INT64, label=Field.LABEL_OPTIONAL)
    answered = file.message_type.add(name="IstioCertificateResponse")
    answered.field.add(name="cert_chain", number=1, type=Field.TYPE_STRING, label=Field.LABEL_REPEATED)
    pool = DescriptorPool()
    pool.Add(file)
    return (
        GetMessageClass(pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateRequest")),
        GetMessageClass(pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateResponse")),
    )


_Request, _Response = _messages()


def encode_request(request: CertificateRequest) -> bytes:
    """What is sent to the authority."""
    return bytes(_Request(csr=request.csr, validity_duration=request.seconds).SerializeToString())


def decode_request(message: bytes) -> CertificateRequest:
    """Raises MalformedMessageError."""
    try:
        read = _Request.FromString(message)
    except DecodeError as error:
        raise MalformedMessageError(f"not an IstioCertificateRequest: {error}") from error
    return CertificateRequest(str(read.csr), int(read.validity_duration))


def encode_response(chain: Iterable[str]) -> bytes:
    """The answer: the certificate, authorities between, and last the root, or roots one after the other; all PEM."""
    return bytes(_Response(cert_chain=chain).SerializeToString())


def decode_response(message: bytes) -> tuple[str, ...]:
    """See `encode_response`; raises MalformedMessageError."""
    try:
        return tuple(_Response.FromString(message).cert_chain)
    except DecodeError as error:
        raise MalformedMessageError(f"not an IstioCertificateResponse: {error}") from error
