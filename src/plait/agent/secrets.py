"""Envoy's Secrets (envoy.extensions.transport_sockets.tls.v3), as bytes, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from plait.kit import protowire
from plait.kit.digest import content_hash

TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
#: The workload's certificate with its key, and the roots it trusts: Istio's names.
CERTIFICATE, ROOTS = "default", "ROOTCA"
NAMES: Final = frozenset({CERTIFICATE, ROOTS})

_NAME, _CERTIFICATE, _VALIDATION = 1, 2, 4
_CHAIN, _KEY, _TRUSTED, _INLINE = 1, 2, 1, 2


@dataclass(frozen=True, slots=True)
class Secret:
    """One resource; the version is the hash of its content."""

    name: str
    version: str
    encoded: bytes = field(repr=False)


def _secret(name: str, kind: int, content: bytes) -> Secret:
    encoded = protowire.field(_NAME, name) + protowire.element(kind, content)
    return Secret(name, content_hash(encoded), encoded)


def _inline(number: int, data: bytes) -> bytes:
    return protowire.element(number, protowire.element(_INLINE, data))


def certificate(chain: bytes, key: bytes) -> Secret:
    """The certificate with those of the authorities between it and the root, and its key; both PEM."""
    return _secret(CERTIFICATE, _CERTIFICATE, _inline(_CHAIN, chain) + _inline(_KEY, key))


def roots(trusted: bytes) -> Secret:
    """The roots (PEM) that the certificates of others are checked against."""
    return _secret(ROOTS, _VALIDATION, _inline(_TRUSTED, trusted))


class Secrets:
    """The newest secrets of one workload, and who is told when there are newer ones."""

    def __init__(self) -> None:
        self._held: dict[str, Secret] = {}
        self._listeners: set[Callable[[], None]] = set()

    def get(self, name: str) -> Secret | None:
        """The secret of that name, if it is there already."""
        return self._held.get(name)

    def put(self, *secrets: Secret) -> None:
        """Have these from now on; a certificate and the roots belong together."""
        self._held |= {secret.name: secret for secret in secrets}
        for tell in (*self._listeners,):
            tell()

    def listen(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have `tell` called after each change; returns what ends that."""
        self._listeners.add(tell)
        return lambda: self._listeners.discard(tell)
