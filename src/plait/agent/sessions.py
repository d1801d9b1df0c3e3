"""One stream of SDS, in both forms of xDS: what the proxy says, and what it is to be sent. No I/O.

envoy/service/discovery/v3/discovery.proto; the numbers below are those of its fields.
"""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from plait.agent.secrets import NAMES, TYPE
from plait.kit import protowire
from plait.kit.digest import content_hash

if TYPE_CHECKING:
    from plait.agent.secrets import Secret, Secrets

log = logging.getLogger(__name__)

STREAM: Final = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
DELTA: Final = "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"

_ERROR_MESSAGE: Final = 2


class SessionError(Exception):
    """What the proxy asks for is not to be had here; the message says why."""


class Session(Protocol):
    """A stream's state. Raises SessionError, protowire.WireError."""

    def take(self, message: bytes) -> None:
        """The proxy has said something."""
        ...

    def due(self) -> bytes | None:
        """What it is to be sent now, if anything; counts as sent."""
        ...


def _any(secret: Secret) -> bytes:
    return protowire.field(1, TYPE) + protowire.field(2, secret.encoded)


def _check(type_url: str) -> None:
    if type_url not in {TYPE, ""}:
        raise SessionError(f"only secrets are served here ({TYPE}), not {type_url}")


class Whole:
    """State of the world: each request names all that is wanted, each response has all of it that is there."""

    def __init__(self, secrets: Secrets, *, who: str) -> None:
        self._secrets = secrets
        self._who = who
        self._wanted: tuple[str, ...] = ()
        self._sent: tuple[Secret, ...] = ()
        self._nonces = count(1)
        self._nonce = ""

    def take(self, message: bytes) -> None:
        """See Session."""
        _check(protowire.text(message, 4))
        nonce = protowire.text(message, 5)
        if nonce != self._nonce and self._nonce:
            return  # it speaks of a response before the last
        wanted = protowire.texts(message, 3)
        if error := _error(message, 6):
            _refused(self._who, [secret.name for secret in self._sent], error)
        elif nonce and self._nonce:
            _taken(self._who, [secret.name for secret in self._sent])
        if wanted != self._wanted:
            self._wanted, self._sent = wanted, ()

    def due(self) -> bytes | None:
        """See Session."""
        held = tuple(secret for name in self._wanted if (secret := self._secrets.get(name)) is not None)
        if not held or held == self._sent:
            return None
        self._sent, self._nonce = held, str(next(self._nonces))
        version = (
            held[0].version if len(held) == 1 else content_hash("".join(secret.version for secret in held).encode())
        )
        resources = b"".join(protowire.element(2, _any(secret)) for secret in held)
        return protowire.field(1, version) + resources + protowire.field(4, TYPE) + protowire.field(5, self._nonce)


class Delta:
    """Incremental: names are subscribed to, and a response has what differs from what the proxy holds."""

    def __init__(self, secrets: Secrets, *, who: str) -> None:
        self._secrets = secrets
        self._who = who
        self._known: dict[str, str] = {}
        self._unknown: list[str] = []
        self._nonces = count(1)
        self._sent: dict[str, list[str]] = {}

    def take(self, message: bytes) -> None:
        """See Session."""
        _check(protowire.text(message, 2))
        held = {
            protowire.text(entry, 1): protowire.text(entry, 2)
            for number, entry in protowire.fields(message)
            if number == 5 and isinstance(entry, bytes)
        }
        for name in protowire.texts(message, 3):
            if name not in NAMES:
                self._unknown.append(name)
            else:
                # Asked for again, it is sent again: the proxy has forgotten it.
                self._known[name] = held.get(name, "")
        for name in protowire.texts(message, 4):
            self._known.pop(name, None)
        if nonce := protowire.text(message, 6):
            names = self._sent.pop(nonce, [])
            if error := _error(message, 7):
                _refused(self._who, names, error)
            else:
                _taken(self._who, names)

    def due(self) -> bytes | None:
        """See Session."""
        fresh = [
            secret
            for name, version in self._known.items()
            if (secret := self._secrets.get(name)) is not None and secret.version != version
        ]
        if not fresh and not self._unknown:
            return None
        nonce = str(next(self._nonces))
        self._sent[nonce] = [secret.name for secret in fresh]
        self._known |= {secret.name: secret.version for secret in fresh}
        resources = b"".join(protowire.element(2, _resource(secret)) for secret in fresh)
        removed = b"".join(protowire.element(6, name) for name in self._unknown)
        self._unknown = []
        return resources + protowire.field(4, TYPE) + protowire.field(5, nonce) + removed


def _resource(secret: Secret) -> bytes:
    return protowire.field(1, secret.version) + protowire.element(2, _any(secret)) + protowire.field(3, secret.name)


def _error(message: bytes, number: int) -> str:
    """The message of a NACK; empty where there is none."""
    found = ""
    for key, value in protowire.fields(message):
        if key == number and isinstance(value, bytes):
            found = protowire.text(value, _ERROR_MESSAGE) or f"code {protowire.number(value, 1)}"
    return found


def _refused(who: str, names: list[str], error: str) -> None:
    log.warning("%s: the proxy refused %s: %s", who, ", ".join(names) or "a secret", error)


def _taken(who: str, names: list[str]) -> None:
    log.debug("%s: the proxy has taken %s", who, ", ".join(names))
