"""The delivery process: its two ports, and the desk where certificates are signed."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from plait import __version__
from plait.api.certificate_service import METHOD as CERTIFICATES
from plait.app.istiod.options import access, addresses, names
from plait.citadel.authority import Authority, BadAuthorityError, BadRequestError, Pems
from plait.citadel.desk import Counts, Desk
from plait.citadel.listening import Listening
from plait.delivery.auth import Prover, TokenReviewer
from plait.delivery.child import run_delivery
from plait.delivery.frames import Certified, Certify, Channel, Down
from plait.delivery.wire import METHOD as ADS
from plait.kube.client import Client
from plait.rpc import Http2Transport

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Callable, Mapping

    from plait.rpc.stream import Handler, Transport

log = logging.getLogger(__name__)

#: Counts are gathered this long, in seconds, before they are told.
_GATHER: Final = 0.2


def transport(kind: str, address: str, tls: ssl.SSLContext | None = None) -> Transport:
    """Plait's own HTTP/2 server, or gRPC's."""
    if kind == "grpc":
        from plait.delivery.grpc_transport import GrpcTransport  # noqa: PLC0415 -- costs 20 MB

        return GrpcTransport(address, tls=tls)
    return Http2Transport(address, tls=tls)


class SecurePort:
    """See `delivery.child.SecurePort`."""

    def __init__(self, carrier: Transport, listening: Listening, desk: Desk, provers: tuple[Prover, ...]) -> None:
        self._carrier = carrier
        self._listening = listening
        self._desk = desk
        self._provers = provers
        self._pems: Pems | None = None
        self._known = asyncio.Event()

    def take(self, frame: Certify) -> None:
        """Sign and be certified anew; what the builder has checked is good, unless it has ended since."""
        pems = Pems(certificate=frame.certificate, key=frame.key, chain=frame.chain, roots=frame.roots)
        try:
            authority = Authority.load(pems, dt.datetime.now(dt.UTC))
            if pems != self._pems:
                self._listening.take(authority)
        except (BadAuthorityError, BadRequestError) as error:
            log.error("the authority cannot be used: %s", error)  # noqa: TRY400 -- no fault of this code
            return
        self._pems = pems
        for prover in self._provers:
            prover.domains = frozenset(frame.domains)
        self._desk.take(authority, frame.domains[0])
        self._known.set()

    async def serve(self, streams: Handler, *, started: Callable[[int], None]) -> None:
        """See the protocol; raises OSError when the address cannot be bound."""
        await self._known.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listening.run(), name="renew")
            await self._carrier.serve({ADS: streams, CERTIFICATES: self._desk.handle}, started=started)


class _Told:
    """Tells the builder what the desk counts, a little later."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._due = False

    def __call__(self, counts: Counts) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(_GATHER, self._tell, counts)

    def _tell(self, counts: Counts) -> None:
        self._due = False
        self._channel.post(Certified(**asdict(counts)))


async def run_delivery_process(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """The child: ends when the builder does."""
    api = access(environment, options.service_account)
    async with (
        await Channel.over(socket.socket(fileno=options.channel), Down) as builder,
        Client(api, user_agent=f"plait-istiod/{__version__}") as client,
    ):
        prover = Prover(TokenReviewer(client))
        # A certificate is good for a day: of who asks for one the API is asked each time.
        strict = Prover(TokenReviewer(client, keep=0.0))
        listening = Listening(names(environment), addresses(environment))
        secure = SecurePort(
            transport(options.transport, options.secure, listening.context),
            listening,
            Desk(strict.prove, counted=_Told(builder)),
            (prover, strict),
        )
        await run_delivery(builder, transport(options.transport, options.xds), prover, secure=secure)
