"""Proving to a MongoDB who one is: SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from sockshop.mongo.values import Binary

_LEAST_ITERATIONS = 4096

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def authenticate(ask: Ask, user: str, password: str) -> None:
    """Logs a connection in over database `admin`. Raises PermissionError, also for a server that proves nothing."""
    exchange = Exchange(user, password, nonce=base64.b64encode(secrets.token_bytes(18)).decode())
    first = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": Binary(0, exchange.first().encode())}
    answer = await _step(ask, {**first, "options": {"skipEmptyExchange": True}})
    final = exchange.final(answer["payload"].data.decode())
    number = answer["conversationId"]
    answer = await _step(ask, {"saslContinue": 1, "conversationId": number, "payload": Binary(0, final.encode())})
    exchange.verify(answer["payload"].data.decode())
    if not answer.get("done"):
        await _step(ask, {"saslContinue": 1, "conversationId": number, "payload": Binary(0, b"")})


async def _step(ask: Ask, document: dict[str, Any]) -> dict[str, Any]:
    answer = await ask({**document, "$db": "admin"})
    if not answer.get("ok") or not isinstance(answer.get("payload"), Binary):
        raise PermissionError(f"authentication failed: {answer.get('errmsg')}")
    return answer


class Exchange:
    """The client's half of one authentication. Pure."""

    def __init__(self, user: str, password: str, *, nonce: str) -> None:
        self._bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self._password = password
        self._nonce = nonce
        self._signature = b""

    def first(self) -> str:
        """The first message to the server."""
        return f"n,,{self._bare}"

    def final(self, server: str) -> str:
        """The proof, made from the server's first message. Raises PermissionError for a message not to be trusted."""
        try:
            fields = dict(part.split("=", 1) for part in server.split(","))
            nonce, salt, rounds = fields["r"], base64.b64decode(fields["s"]), int(fields["i"])
        except (ValueError, KeyError) as error:
            raise PermissionError(f"authentication failed: the server said {server!r}") from error
        if not nonce.startswith(self._nonce) or rounds < _LEAST_ITERATIONS:
            raise PermissionError("authentication failed: the server's nonce or iteration count is not acceptable")
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c=biws,r={nonce}"
        said = f"{self._bare},{server},{bare}".encode()
        stamp = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, stamp, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
        return f"{bare},p={base64.b64encode(proof).decode()}"

    def verify(self, server: str) -> None:
        """Checks that the server knows the password too. Raises PermissionError."""
        expected = f"v={base64.b64encode(self._signature).decode()}"
        if not hmac.compare_digest(server.split(",", maxsplit=1)[0].encode(), expected.encode()):
            raise PermissionError("authentication failed: the server does not know the password")
