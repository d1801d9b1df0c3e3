"""TLS of istiod's port: its own certificate, renewed before it ends and taken by new connections at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import ssl
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from plait.citadel.authority import USUAL_LIFE, BadRequestError
from plait.kit.certificates import key_pem, new_key, pem

if TYPE_CHECKING:
    from cryptography import x509

    from plait.citadel.authority import Authority

log = logging.getLogger(__name__)

#: Seconds between two looks at the time: a machine that slept or a clock that was set makes a plan for hours worthless.
_ROUND: Final = 30.0


class Listening:
    """`context` is for a server and stays the same; what it shows and trusts is that of the newest authority.

    A client need not show a certificate; one that does not lead to the authority's roots ends the connection.
    """

    def __init__(
        self,
        names: Iterable[str],
        addresses: Iterable[str],
        *,
        life: dt.timedelta = USUAL_LIFE,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.context = _context()
        self.context.sni_callback = self._choose
        self.certificate: x509.Certificate | None = None
        self._names = tuple(names)
        self._addresses = tuple(addresses)
        self._life = life
        self._now = now
        self._authority: Authority | None = None
        self._current: ssl.SSLContext | None = None

    def take(self, authority: Authority) -> None:
        """Be certified by this authority, and trust it, from now on; raises BadRequestError where it has ended."""
        key = new_key()
        leaf = authority.certify_server(
            key.public_key(), self._names, self._addresses, now=self._now(), life=self._life
        )
        context = _context()
        context.load_verify_locations(cadata=authority.roots_pem)
        _load(context, key_pem(key) + pem(leaf, *authority.between))
        self._authority, self._current, self.certificate = authority, context, leaf

    def renew(self) -> bool:
        """Get a new certificate where half the time of the present one is over; whether that was so."""
        if self._authority is None or self.certificate is None:
            return False
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        # Before it begins: the clock was set back.
        if begins <= self._now() < begins + (ends - begins) / 2:
            return False
        self.take(self._authority)
        return True

    async def run(self) -> None:
        """Renew in time, until cancelled."""
        while True:
            await asyncio.sleep(_ROUND)
            try:
                if self.renew():
                    log.info("istiod's own certificate was renewed")
            except BadRequestError as error:
                log.error("istiod's own certificate cannot be renewed: %s", error)  # noqa: TRY400 -- no fault of this code

    def _choose(self, connection: ssl.SSLObject, _server: str | None, _first: ssl.SSLContext) -> int | None:
        """Called in every handshake."""
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["h2"])
    # No session is taken up again: of one begun under a former root nobody would look at the client's certificate.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def _load(context: ssl.SSLContext, text: bytes) -> None:
    """Key and chain, from memory: Python's ssl reads files only, and a key is to be in none."""
    descriptor = os.memfd_create("istiod", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(text)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
