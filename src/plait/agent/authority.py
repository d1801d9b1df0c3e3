"""istiod as the authority that signs workloads' certificates."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from plait.agent.protocol import Istiod
from plait.api import certificate_service
from plait.api.certificate_service import CertificateRequest, MalformedMessageError
from plait.kit import certificates
from plait.rpc.client import CallError, Channel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

log = logging.getLogger(__name__)

#: Seconds that istiod has for an answer.
_PATIENCE: Final = 10.0


class AuthorityError(Exception):
    """No certificate was had; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key. `chain` goes to peers (PEM), `roots` is what theirs are checked against."""

    key: bytes = field(repr=False)
    chain: bytes
    roots: bytes
    begins: dt.datetime
    ends: dt.datetime


class Authority:
    """Signs while it is known where istiod is."""

    def __init__(self) -> None:
        self._istiod = Istiod()
        self._trusted = ""
        self._channels: list[Channel] = []
        self._listeners: set[asyncio.Event] = set()
        self._ready = asyncio.Event()
        self._moved = asyncio.Event()

    def move(self, istiod: Istiod) -> None:
        """Where istiod is now, and whom to trust."""
        if istiod == self._istiod:
            return
        trusted = self._trusted not in {"", istiod.roots} and istiod.roots != ""
        self._trusted = istiod.roots or self._trusted
        for channel in self._channels:
            channel.close()
        self._channels = []
        self._istiod = istiod
        self._moved.set()
        self._moved = asyncio.Event()
        if istiod.roots and istiod.addresses:
            try:
                tls = ssl.create_default_context(cadata=istiod.roots)
            except ssl.SSLError as error:
                log.warning("the root certificates of the mesh cannot be read: %s", error)
                self._ready.clear()
                return
            tls.set_alpn_protocols(["h2"])
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._channels = [Channel(each, tls=tls, server_name=istiod.name) for each in istiod.addresses]
            self._ready.set()
            if trusted:
                for event in self._listeners:
                    event.set()
        else:
            self._ready.clear()

    async def known(self) -> None:
        """Return when somebody signs."""
        await self._ready.wait()

    async def moved(self) -> None:
        """Return when it is somewhere else."""
        await self._moved.wait()

    def listen(self, renew: asyncio.Event) -> None:
        """Have the event set when certificates are better renewed, until `leave`."""
        self._listeners.add(renew)

    def leave(self, renew: asyncio.Event) -> None:
        """See `listen`."""
        self._listeners.discard(renew)

    def close(self) -> None:
        """Know nobody any more."""
        self.move(Istiod())

    async def issue(self, token: str, *, seconds: int) -> Issued:
        """A new key and the certificate for it; the token says of whom. Raises AuthorityError."""
        key = certificates.new_key()
        # No name in it: istiod reads that off the token.
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
        asked = CertificateRequest(certificates.request_pem(request).decode(), seconds)
        chain = await self._ask(certificate_service.encode_request(asked), token)
        try:
            return _issued(key, chain, self._istiod.roots.encode())
        except ValueError as error:
            raise AuthorityError(f"istiod's answer cannot be used: {error}") from error

    async def _ask(self, message: bytes, token: str) -> tuple[str, ...]:
        problem = "istiod is not there"
        for channel in self._channels:
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await channel.unary(
                        certificate_service.METHOD, message, metadata={"authorization": f"Bearer {token}"}
                    )
                return certificate_service.decode_response(answer)
            except TimeoutError:
                problem = f"istiod has not answered within {_PATIENCE:.0f} s"
            except ssl.SSLCertVerificationError as error:
                problem = f"istiod's certificate is not to be trusted: {error.verify_message}"
            except (OSError, MalformedMessageError) as error:
                problem = f"istiod cannot be asked: {error}"
            except CallError as error:
                problem = f"istiod says: {error}"
        raise AuthorityError(problem)


def _issued(key: EllipticCurvePrivateKey, chain: tuple[str, ...], roots: bytes) -> Issued:
    """Check an answer. Raises ValueError."""
    if len(chain) < 2:
        raise ValueError(f"a chain of {len(chain)} certificates")
    leaf = certificates.read_certificates(chain[0].encode())[:1]
    if not leaf or leaf[0].public_key() != key.public_key():
        raise ValueError("the certificate is for another key")
    last = chain[-1].encode()
    trusted = roots if last.strip() in roots else roots.rstrip() + b"\n" + last
    return Issued(
        key=certificates.key_pem(key),
        chain="".join(part.rstrip() + "\n" for part in chain[:-1]).encode(),
        roots=trusted,
        begins=leaf[0].not_valid_before_utc,
        ends=leaf[0].not_valid_after_utc,
    )
