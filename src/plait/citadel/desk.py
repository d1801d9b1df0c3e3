"""Where certificates are asked for: Istio's CreateCertificate, for callers that have proved who they are."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from plait.api.certificate_service import LARGEST_REQUEST, MalformedMessageError, decode_request, encode_response
from plait.api.spiffe import WorkloadIdentity
from plait.citadel.allowance import Allowance
from plait.citadel.authority import BadRequestError, life_of, public_key
from plait.rpc.stream import Refusal

if TYPE_CHECKING:
    from plait.citadel.authority import Authority
    from plait.rpc.stream import Stream

log = logging.getLogger(__name__)

#: Seconds for the request to come after its headers.
_PATIENCE: Final = 10.0


class Caller(Protocol):
    """Who has proved to be this service account."""

    @property
    def namespace(self) -> str:
        """Of the service account."""
        ...

    @property
    def service_account(self) -> str:
        """Its name."""
        ...


@dataclass(slots=True)
class Counts:
    """Since the start, under the meanings of Istio's metrics `citadel_server_*`."""

    asked: int = 0
    unauthenticated: int = 0
    unreadable: int = 0
    refused: int = 0
    issued: int = 0


class Desk:
    """A handler of the method. `prove` says who calls, or ends the stream; `counted` hears of every call."""

    def __init__(
        self,
        prove: Callable[[Stream], Awaitable[Caller]],
        *,
        counted: Callable[[Counts], None] = lambda _: None,
        allowance: Allowance | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = Counts()
        self._prove = prove
        self._counted = counted
        self._allowance = allowance or Allowance()
        self._now = now
        self._clock = clock
        self._authority: Authority | None = None
        self._trust_domain = ""

    def take(self, authority: Authority, trust_domain: str) -> None:
        """Sign with this from now on, for workloads of this trust domain."""
        self._authority, self._trust_domain = authority, trust_domain

    async def handle(self, stream: Stream) -> None:
        """Serve one call."""
        self.counts.asked += 1
        try:
            await self._serve(stream)
        finally:
            self._counted(self.counts)

    async def _serve(self, stream: Stream) -> None:
        self.counts.unauthenticated += 1
        caller = await self._prove(stream)
        self.counts.unauthenticated -= 1
        try:
            async with asyncio.timeout(_PATIENCE):
                message = await stream.receive()
        except TimeoutError:
            await stream.refuse(Refusal.INVALID_ARGUMENT, f"no request within {_PATIENCE:g} s")
        if message is None:
            await stream.refuse(Refusal.INVALID_ARGUMENT, "the call has no request")
        who = f"{caller.namespace}/{caller.service_account}"
        if wait := self._allowance.take((caller.namespace, caller.service_account), self._clock()):
            self.counts.refused += 1
            log.warning("service account %s asks for too many certificates", who)
            await stream.refuse(
                Refusal.RESOURCE_EXHAUSTED, f"service account {who} asks for too many certificates: wait {wait:.1f} s"
            )
        if self._authority is None:
            self.counts.refused += 1
            await stream.refuse(Refusal.UNAVAILABLE, "there is no authority yet: ask again")
        try:
            answer = self.answer(message, caller, self._authority)
        except MalformedMessageError as error:
            self.counts.unreadable += 1
            await stream.refuse(Refusal.INVALID_ARGUMENT, str(error))
        except BadRequestError as error:
            self.counts.refused += 1
            log.warning("no certificate for service account %s: %s", who, error)
            await stream.refuse(Refusal.INVALID_ARGUMENT, str(error))
        try:
            await stream.send(answer)
        except ConnectionError:
            # Whoever asked is gone, and asks again if it still lives.
            return
        self.counts.issued += 1

    def answer(self, message: bytes, caller: Caller, authority: Authority) -> bytes:
        """The answer to a request; raises MalformedMessageError or BadRequestError.

        The certificate is the caller's: whoever a request says it is for is not looked at.
        """
        if len(message) > LARGEST_REQUEST:
            raise BadRequestError(f"a request of {len(message)} bytes is too large: {LARGEST_REQUEST} at most")
        request = decode_request(message)
        key, life = public_key(request.csr), life_of(request.seconds)
        identity = WorkloadIdentity(self._trust_domain, caller.namespace, caller.service_account)
        leaf = authority.certify(key, identity.uri, now=self._now(), life=life)
        log.info("certificate for %s until %s", identity.uri, leaf.not_valid_after_utc.isoformat(timespec="seconds"))
        return encode_response(authority.chain(leaf))
