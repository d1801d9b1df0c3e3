"""DNS messages as bytes."""

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.services.dns_message import (
    TCP_LIMIT,
    Answer,
    Authority,
    Code,
    Malformed,
    Question,
    Record,
    Service,
    Type,
    decode,
    encode,
    refusal,
)
from plait.machine.services.dns_names import Names, resolve


def query(name, type_=1, *, flags=0x0100, edns=None, class_=1, number=7):
    labels = b"".join(bytes((len(part),)) + part for part in name.encode().split(b".") if part) + b"\0"
    tail = b"" if edns is None else b"\0" + struct.pack("!HHIH", 41, edns, 0, 0)
    head = struct.pack("!HHHHHH", number, flags, 1, 0, 0, 0 if edns is None else 1)
    return head + labels + struct.pack("!HH", type_, class_) + tail


def header(message):
    return struct.unpack_from("!HHHHHH", message)


def test_a_query_is_read():
    question = decode(query("Web.Shop", edns=4096))
    assert question == Question(id=7, labels=(b"Web", b"Shop"), type=1, recursion_desired=True, payload=4096)
    assert question.name == ("web", "shop")
    assert question.udp_limit == 1232
    assert decode(query("a")).udp_limit == 512
    assert decode(query("a", edns=100)).udp_limit == 512


def test_the_question_comes_back_in_the_case_it_had():
    question = decode(query("wEB.sHOp"))
    message = encode(question, Answer(records=(Record(None, Type.A, 30, IPv4Address("10.42.128.5")),)), limit=512)
    number, flags, *counts = header(message)
    assert (number, counts) == (7, [1, 1, 0, 0])
    assert flags == 0x8500
    assert message[12:] == (
        b"\x03wEB\x04sHOp\0\0\x01\0\x01" + b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04" + bytes([10, 42, 128, 5])
    )


def test_every_kind_of_data_is_written_uncompressed():
    records = (
        Record("a.b", Type.SRV, 5, Service(80, "c.d")),
        Record(None, Type.PTR, 5, "c.d"),
        Record("z", Type.SOA, 5, Authority("ns.z", 5)),
    )
    message = encode(decode(query("x")), Answer(records=records), limit=512)
    assert b"\0\0\0\x64\0\x50\x01c\x01d\0" in message
    assert b"\x02ns\x01z\0\x0ahostmaster\x02ns\x01z\0" in message


def test_edns_is_answered_with_edns():
    message = encode(decode(query("x", edns=1232)), Answer(), limit=1232)
    assert header(message)[5] == 1
    assert message.endswith(b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0))


def test_an_unknown_version_of_edns_is_badvers():
    message = bytearray(query("x", edns=1232))
    message[-5] = 1
    malformed = decode(bytes(message))
    assert malformed.code == Code.BADVERS
    answer = refusal(malformed)
    assert header(answer)[1] & 0xF == 0
    assert answer[-6] == 1


@pytest.mark.parametrize("limit", [512, 1232])
def test_what_does_not_fit_is_left_out_and_said(limit):
    records = tuple(Record(None, Type.A, 5, IPv4Address(0x0A2A0000 + number)) for number in range(200))
    message = encode(decode(query("db.shop", edns=4096)), Answer(records=records), limit=limit)
    assert len(message) <= limit
    assert header(message)[1] & 0x0200
    assert 0 < header(message)[3] < 200
    whole = encode(decode(query("db.shop")), Answer(records=records), limit=TCP_LIMIT)
    assert not header(whole)[1] & 0x0200
    assert header(whole)[3] == 200


def test_missing_additional_records_are_no_truncation():
    extra = tuple(Record("a" * 60, Type.A, 5, IPv4Address("10.0.0.1")) for _ in range(10))
    message = encode(decode(query("x")), Answer(additional=extra), limit=512)
    assert not header(message)[1] & 0x0200


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (query("x", flags=0x2800), Code.NOTIMP),
        (query("x", class_=3), Code.REFUSED),
        (query("x")[:-1], Code.FORMERR),
        (query("x")[:12], Code.FORMERR),
        (struct.pack("!HHHHHH", 1, 0, 0, 0, 0, 0), Code.FORMERR),
        (struct.pack("!HHHHHH", 1, 0, 2, 0, 0, 0) + query("x")[12:], Code.FORMERR),
        (struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01", Code.FORMERR),
        (query("x", edns=512)[:-3], Code.FORMERR),
        (query(".".join(["a" * 63] * 5)), Code.FORMERR),
    ],
)
def test_what_cannot_be_answered_gets_a_code(message, code):
    malformed = decode(message)
    assert isinstance(malformed, Malformed)
    assert malformed.code == code
    answer = refusal(malformed)
    assert header(answer)[1] & 0x8000


@pytest.mark.parametrize("message", [b"", b"\0" * 11, query("x", flags=0x8100)])
def test_what_may_be_an_attack_gets_silence(message):
    assert decode(message) is None


NAMES = Names()
NAMES.update(
    {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.42.128.5", "ports": [{"port": 80}]}}
)


def answer_to(message):
    question = decode(message)
    if question is None:
        return b""
    if isinstance(question, Malformed):
        return refusal(question)
    answer = resolve(question, NAMES) or Answer(code=Code.REFUSED, authoritative=False)
    return encode(question, answer, limit=question.udp_limit)


@given(st.binary(max_size=600))
def test_arbitrary_bytes_never_crash(message):
    assert len(answer_to(message)) <= 1232


@given(st.data())
def test_damaged_queries_never_crash(data):
    message = bytearray(query("web.shop.svc.cluster.local", data.draw(st.integers(0, 65535)), edns=1232))
    for _ in range(data.draw(st.integers(0, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    assert len(answer_to(bytes(message[: data.draw(st.integers(0, len(message)))]))) <= 1232


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3), st.integers(0, 65535), st.integers(0, 65535))
def test_a_readable_question_always_comes_back_unchanged(labels, type_, number):
    head = struct.pack("!HHHHHH", number, 0, 1, 0, 0, 0)
    asked = b"".join(bytes((len(label),)) + label for label in labels) + b"\0" + struct.pack("!HH", type_, 1)
    answer = answer_to(head + asked)
    assert answer[12 : 12 + len(asked)] == asked
    assert header(answer)[0] == number
