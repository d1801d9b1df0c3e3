"""Signing requests as a caller sends them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from tests.unit.citadel.authorities import NOW, signing_request

from plait.api.certificate_service import LARGEST_REQUEST, CertificateRequest, decode_response, encode_request
from plait.citadel.allowance import Allowance
from plait.citadel.authority import Authority, make_pems
from plait.citadel.desk import Counts, Desk
from plait.kit.certificates import new_key, read_certificates
from plait.rpc.stream import Refusal


@dataclass(frozen=True)
class Account:
    namespace: str
    service_account: str


class Refused(Exception):  # noqa: N818
    pass


@dataclass
class Call:
    """A stream with one message."""

    message: bytes | None
    sent: list[bytes] = field(default_factory=list)
    refusal: tuple[Refusal, str] | None = None

    async def receive(self):
        return self.message

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def refuse(self, code: Refusal, reason: str):
        self.refusal = (code, reason)
        raise Refused(reason)


async def carts(_stream) -> Account:
    return Account("sock-shop", "carts")


def desk(prove=carts, **options) -> Desk:
    made = Desk(prove, now=lambda: NOW, **options)
    made.take(Authority.load(make_pems("cluster.local", NOW), NOW), "cluster.local")
    return made


async def ask(at: Desk, message: bytes | None) -> Call:
    call = Call(message)
    try:
        await at.handle(call)  # type: ignore[arg-type]
    except Refused:
        assert call.refusal
    return call


def request(csr: str, seconds: int = 0) -> bytes:
    return encode_request(CertificateRequest(csr, seconds))


def names_of(call: Call) -> list[str]:
    leaf = read_certificates(decode_response(call.sent[0])[0].encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


async def test_a_certificate_is_the_callers_whatever_its_request_says() -> None:
    key = new_key()
    csr = signing_request(key, uri="spiffe://cluster.local/ns/istio-system/sa/istiod", subject="admin")
    at = desk()
    call = await ask(at, request(csr))
    assert names_of(call) == ["spiffe://cluster.local/ns/sock-shop/sa/carts"]
    leaf = read_certificates(decode_response(call.sent[0])[0].encode())[0]
    assert not list(leaf.subject)
    assert leaf.public_key() == key.public_key()
    assert at.counts == Counts(asked=1, issued=1)


async def test_the_time_is_what_was_asked_for_and_the_trust_domain_the_meshs() -> None:
    at = desk()
    at.take(Authority.load(make_pems("x", NOW), NOW), "prod.example")
    call = await ask(at, request(signing_request(), 600))
    assert names_of(call) == ["spiffe://prod.example/ns/sock-shop/sa/carts"]
    leaf = read_certificates(decode_response(call.sent[0])[0].encode())[0]
    assert (leaf.not_valid_after_utc - NOW).total_seconds() == 600


@pytest.mark.parametrize(
    ("message", "says", "counts"),
    [
        (None, "no request", Counts(asked=1)),
        (b"\xff\xff", "not an IstioCertificateRequest", Counts(asked=1, unreadable=1)),
        (request("rubbish"), "not a signing request", Counts(asked=1, refused=1)),
        (bytes(LARGEST_REQUEST + 1), "too large", Counts(asked=1, refused=1)),
        (request(signing_request(), -5), "validity_duration of -5 s", Counts(asked=1, refused=1)),
    ],
    ids=["none", "garbage", "no csr", "too large", "negative time"],
)
async def test_a_bad_request_is_told_why(message, says: str, counts: Counts) -> None:
    at = desk()
    call = await ask(at, message)
    assert call.refusal is not None
    assert call.refusal[0] is Refusal.INVALID_ARGUMENT
    assert says in call.refusal[1]
    assert not call.sent
    assert at.counts == counts


async def test_who_proves_nothing_gets_nothing() -> None:
    async def refuse(stream):
        await stream.refuse(Refusal.UNAUTHENTICATED, "no")

    heard: list[Counts] = []
    at = desk(refuse, counted=heard.append)
    call = await ask(at, request(signing_request()))
    assert call.refusal == (Refusal.UNAUTHENTICATED, "no")
    assert heard == [Counts(asked=1, unauthenticated=1)]


async def test_without_an_authority_a_caller_comes_again() -> None:
    call = await ask(Desk(carts, now=lambda: NOW), request(signing_request()))
    assert call.refusal is not None
    assert call.refusal[0] is Refusal.UNAVAILABLE


async def test_who_asks_too_often_waits_and_others_do_not() -> None:
    who, time = [Account("a", "b")], [0.0]

    async def prove(_stream):
        return who[0]

    at = desk(prove, allowance=Allowance(burst=2, rate=0.5), clock=lambda: time[0])
    message = request(signing_request())
    assert [bool((await ask(at, message)).sent) for _ in range(3)] == [True, True, False]
    call = await ask(at, message)
    assert call.refusal == (
        Refusal.RESOURCE_EXHAUSTED,
        "service account a/b asks for too many certificates: wait 2.0 s",
    )
    who[0] = Account("a", "c")
    assert (await ask(at, message)).sent
    who[0], time[0] = Account("a", "b"), 2.0
    assert (await ask(at, message)).sent


async def test_logs_hold_no_request_and_no_certificate(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    at = desk()
    csr = signing_request()
    await ask(at, request(csr))
    await ask(at, request(csr[:-40]))
    assert "certificate for spiffe://cluster.local/ns/sock-shop/sa/carts until" in caplog.text
    assert "BEGIN" not in caplog.text
    assert csr.splitlines()[1] not in caplog.text


async def test_a_caller_that_leaves_before_the_answer_is_no_error() -> None:
    class Gone(Call):
        async def send(self, message: bytes) -> None:  # noqa: ARG002
            raise ConnectionError("the stream is over")

    at = desk()
    await at.handle(Gone(request(signing_request())))  # type: ignore[arg-type]
    assert at.counts == Counts(asked=1)
