"""The API server as a process: opens everything, drops root, serves until cancelled."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from plait.machine.api.auth.credentials import Authenticator, read_tokens
from plait.machine.api.auth.tokens import TokenIssuer
from plait.machine.api.bootstrap import ensure, furnish_cluster
from plait.machine.api.definitions import Definitions
from plait.machine.api.deleting import Deleter
from plait.machine.api.endpoints.requests import EndpointsRequests
from plait.machine.api.expiry import expire_events
from plait.machine.api.front import Front, Parts
from plait.machine.api.hooks.contract import World
from plait.machine.api.hooks.table import hooks
from plait.machine.api.metrics import Metrics
from plait.machine.api.privileges import drop_privileges
from plait.machine.api.registry import Registry
from plait.machine.api.resources import Engine, ResourceRequests
from plait.machine.api.reviews import Reviews
from plait.machine.api.shaping import Shaper
from plait.machine.api.store import Store
from plait.machine.api.streams.node import NodeSocket
from plait.machine.api.streams.portforward import PortForward
from plait.machine.api.streams.remote import RemoteCommand
from plait.machine.api.subresources import Subresources
from plait.machine.api.times import now
from plait.machine.api.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.admission import Admission, Convert
    from plait.machine.api.schema import Schemas
    from plait.machine.api.settings import ApiSettings

Json = dict[str, Any]

#: Seconds that open watches and streams get to end when the server stops.
_SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The parts of a server over one open store."""

    front: Front
    engine: Engine


def wire(settings: ApiSettings, *, store: Store, schemas: Schemas, admission: Admission, convert: Convert) -> Wiring:
    """Build the parts; reads keys and tokens, so call it before root is dropped. Raises OSError or ValueError."""
    registry = Registry(schemas.own_kinds)

    def create(group: str, plural: str, obj: Json) -> None:
        ensure(world, writer, group, plural, obj)

    world = World(
        store=store,
        registry=registry,
        clock=now,
        service_network=settings.service_network,
        api_vip=settings.api_vip,
        ca=settings.ca.read_text(),
        create=create,
    )
    Definitions(world=world, schemas=schemas).start()
    shaper = Shaper(schemas=schemas, admission=admission, convert=convert, world=world, unlimited=settings.unlimited)
    writer = Writer(world=world, schemas=schemas, shaper=shaper, hooks=hooks())
    deleter = Deleter(world=world, writer=writer)
    engine = Engine(world=world, schemas=schemas, writer=writer, deleter=deleter, monotonic=time.monotonic)
    issuer = TokenIssuer.load(settings.account_key.read_bytes(), clock=now)
    authenticator = Authenticator(tokens=read_tokens(settings.tokens), issuer=issuer, store=store)
    node = NodeSocket(settings.node_socket)
    front = Front(
        Parts(
            engine=engine,
            resources=ResourceRequests(engine),
            subresources=Subresources(engine, issuer),
            reviews=Reviews(engine, authenticator),
            metrics=Metrics(engine, node),
            endpoints=EndpointsRequests(engine, shaper),
            authenticator=authenticator,
            issuer=issuer,
            node=node,
            forward=PortForward(node),
            remote=RemoteCommand(node),
            version=settings.version,
        )
    )
    return Wiring(front=front, engine=engine)


async def serve(
    settings: ApiSettings,
    *,
    schemas: Schemas,
    admission: Admission,
    convert: Convert,
    started: Callable[[], None],
) -> None:
    """Serve until cancelled; calls `started` once requests are answered. Raises OSError or ValueError at start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.certificate, settings.key)
    with closing(Store(settings.store)) as store:
        wiring = wire(settings, store=store, schemas=schemas, admission=admission, convert=convert)
        if settings.drop_to is not None:
            drop_privileges(settings.drop_to)
        furnish_cluster(wiring.engine.world, wiring.engine.writer, address=settings.address)
        runner = web.ServerRunner(
            web.Server(wiring.front.handle, handler_cancellation=True, access_log=None),  # type: ignore[arg-type]
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            for listening in settings.sockets:
                await web.SockSite(runner, listening, ssl_context=context, backlog=1024).start()
            started()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(expire_events(store, clock=now), name="expire events")
        finally:
            await runner.cleanup()
