"""The wire format, against protobuf's own library."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from hypothesis import given
from hypothesis import strategies as st

from plait.kit import protowire
from plait.kit.protowire import WireError


@given(version=st.text(), names=st.lists(st.text()), code=st.integers(-(2**31), 2**31 - 1), nonce=st.text())
def test_what_protobuf_writes_is_read(version, names, code, nonce) -> None:
    request = DiscoveryRequest(version_info=version, resource_names=names, response_nonce=nonce)
    request.error_detail.code = code
    message = request.SerializeToString()
    assert protowire.text(message, 1) == version
    assert protowire.texts(message, 3) == tuple(names)
    assert protowire.text(message, 5) == nonce
    detail = dict(protowire.fields(message))[6]
    assert isinstance(detail, bytes)
    assert protowire.number(detail, 1) == code


@given(type_url=st.text(), names=st.lists(st.text()), size=st.integers(0, 2**63 - 1))
def test_what_is_written_protobuf_reads(type_url, names, size) -> None:
    message = protowire.field(2, type_url) + b"".join(protowire.element(3, name) for name in names)
    read = DeltaDiscoveryRequest.FromString(message + protowire.field(100, size))
    assert read.type_url == type_url
    assert list(read.resource_names_subscribe) == names
    assert protowire.number(protowire.field(100, size), 100) == size


@given(st.binary())
def test_rubbish_is_read_or_refused(message: bytes) -> None:
    try:
        list(protowire.fields(message))
        protowire.texts(message, 1)
        protowire.number(message, 1)
    except WireError:
        pass


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\xff" * 11, b"\x0b", b"\x02\x00", b"\x09abc", b"\x08"])
def test_no_messages(message: bytes) -> None:
    with pytest.raises(WireError):
        list(protowire.fields(message))


def test_other_kinds_of_fields_are_passed_over() -> None:
    assert protowire.text(b"\x0d\1\2\3\4" + b"\x11" + bytes(8) + b"\x0a\x01x", 1) == "x"
