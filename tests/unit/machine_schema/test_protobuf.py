"""Bodies as typed Go clients send them, and bodies that are broken."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.api.schema import ProtobufError, load_schemas

SCHEMAS = load_schemas()


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw)


def test_maps_with_missing_values():
    data = field(2, field(1, b"key") + field(2, b"value")) + field(2, field(1, b"empty"))
    assert SCHEMAS.decode_protobuf(body("v1", "ConfigMap", field(1, field(1, b"c")) + data)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"key": "value", "empty": ""},
    }


def test_bytes_become_base64():
    made = SCHEMAS.decode_protobuf(body("v1", "Secret", field(2, field(1, b"k") + field(2, b"\x00\xff"))))
    assert made["data"] == {"k": base64.b64encode(b"\x00\xff").decode()}


def test_delete_options_of_any_group():
    made = SCHEMAS.decode_protobuf(body("apps/v1", "DeleteOptions", b"\x08\x00" + field(4, b"Foreground")))
    assert made == {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
    }


def test_negative_numbers():
    minus_one = b"\xff" * 9 + b"\x01"
    made = SCHEMAS.decode_protobuf(body("v1", "DeleteOptions", b"\x08" + minus_one))
    assert made["gracePeriodSeconds"] == -1


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{}", "prefix"),
        (b"k8s\x00", 'no kind ""'),
        (body("apps/v1", "StatefulSet", b""), "send it as JSON"),
        (body("v1", "ConfigMap", b"\x0a\xff"), "cut off"),
        (body("v1", "ConfigMap", b"\x0a\x05ab"), "middle of a field"),
        (body("v1", "ConfigMap", b"\x0b"), "wire type 3"),
        (body("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))), "not UTF-8"),
    ],
)
def test_broken_bodies_are_refused_with_a_reason(raw, says):
    with pytest.raises(ProtobufError, match=says):
        SCHEMAS.decode_protobuf(raw)


@given(st.sampled_from(["Pod", "Service", "Event", "Node"]), st.binary(max_size=120))
def test_arbitrary_bytes_raise_nothing_else(kind, raw):
    try:
        SCHEMAS.decode_protobuf(b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind.encode())) + field(2, raw))
    except ProtobufError:
        return
