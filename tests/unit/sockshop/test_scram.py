"""Logging in to a real MongoDB: the exchange of RFC 7677, and servers that are not to be trusted."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from sockshop.mongo.scram import Exchange, authenticate
from sockshop.mongo.values import Binary

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER = f"r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
PROOF = f"c=biws,r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def test_the_example_of_the_standard() -> None:
    exchange = Exchange("user", "pencil", nonce=NONCE)
    assert exchange.first() == f"n,,n=user,r={NONCE}"
    assert exchange.final(SERVER) == PROOF
    exchange.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_a_name_with_signs_of_the_protocol() -> None:
    assert Exchange("a=b,c", "x", nonce="n").first() == "n,,n=a=3Db=2Cc,r=n"


@pytest.mark.parametrize(
    "server",
    ["r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", f"r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "e=no", "nonsense"],
)
def test_a_server_that_is_not_to_be_trusted(server: str) -> None:
    with pytest.raises(PermissionError, match="authentication failed"):
        Exchange("user", "pencil", nonce=NONCE).final(server)


def test_a_server_that_does_not_know_the_password() -> None:
    exchange = Exchange("user", "pencil", nonce=NONCE)
    exchange.final(SERVER)
    with pytest.raises(PermissionError, match="does not know the password"):
        exchange.verify("v=AAAA")


def server(password: str, *, empty_end: bool) -> tuple[Callable[[dict[str, Any]], Any], list[str]]:
    """A server's half: it knows what the client must say, as it knows the password."""
    steps: list[str] = []
    known: list[Exchange] = []

    async def ask(command: dict[str, Any]) -> dict[str, Any]:
        steps.append(next(iter(command)))
        said = command["payload"].data.decode()
        assert command["$db"] == "admin"
        if "saslStart" in command:
            assert command["mechanism"] == "SCRAM-SHA-256"
            nonce = said.partition(",r=")[2]
            known.append(Exchange("shop", password, nonce=nonce))
            answer = f"r={nonce}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=15000"
            steps.append(known[0].final(answer))
            return {"ok": 1, "conversationId": 7, "done": False, "payload": Binary(0, answer.encode())}
        assert command["conversationId"] == 7
        if not said:
            return {"ok": 1, "done": True, "payload": Binary(0, b"")}
        if said != steps[1]:
            return {"ok": 0, "errmsg": "Authentication failed."}
        signature = b"v=" + base64.b64encode(known[0]._signature)
        return {"ok": 1, "done": not empty_end, "payload": Binary(0, signature)}

    return ask, steps


@pytest.mark.parametrize("empty_end", [False, True])
async def test_a_connection_is_logged_in(empty_end: bool) -> None:
    ask, steps = server("secret", empty_end=empty_end)
    await authenticate(ask, "shop", "secret")
    assert steps[2:] == ["saslContinue"] * (2 if empty_end else 1)


async def test_a_wrong_password_is_told() -> None:
    ask, _ = server("secret", empty_end=False)
    with pytest.raises(PermissionError, match=r"authentication failed: Authentication failed\."):
        await authenticate(ask, "shop", "guess")
