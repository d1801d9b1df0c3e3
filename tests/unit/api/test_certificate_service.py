"""The certificate service's messages, byte by byte."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import Struct

from plait.api.certificate_service import (
    CertificateRequest,
    MalformedMessageError,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)


def test_a_request_is_istios() -> None:
    message = encode_request(CertificateRequest("ab", 300))
    assert message == b"\x0a\x02ab\x18\xac\x02"
    assert decode_request(message) == CertificateRequest("ab", 300)
    assert decode_request(b"") == CertificateRequest("", 0)


def test_metadata_of_a_request_is_passed_over() -> None:
    metadata = Struct()
    metadata["CertSigner"] = "somebody"
    inner = metadata.SerializeToString()
    assert decode_request(b"\x0a\x02ab\x22" + bytes([len(inner)]) + inner) == CertificateRequest("ab", 0)


def test_a_negative_duration_comes_through() -> None:
    assert decode_request(encode_request(CertificateRequest("x", -1))).seconds == -1


def test_an_answer_is_istios() -> None:
    assert encode_response(["leaf", "root"]) == b"\x0a\x04leaf\x0a\x04root"
    assert decode_response(b"\x0a\x04leaf\x0a\x04root") == ("leaf", "root")


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\xff", b"\x0a\x01\xff"])
def test_bytes_that_are_no_message(message: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_request(message)
    with pytest.raises(MalformedMessageError):
        decode_response(message)
