"""Streams being served, over a transport made of queues."""

from __future__ import annotations

import asyncio
import socket

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from plait.delivery.auth import AuthenticationUnavailableError, Identity, Prover, UnauthenticatedError
from plait.delivery.patience import Patience
from plait.delivery.server import Delivery, Limits
from plait.delivery.store import ViewStore
from plait.delivery.wire import HEALTH, encode_element
from plait.xds.resource import CDS, EDS, LDS, Resource, ViewUpdate


class RefusedError(Exception):
    pass


class Stream:
    peer_certificate = None

    def __init__(self, token="shop/default"):
        self.metadata = {"authorization": f"Bearer {token}"} if token else {}
        self.inbox = asyncio.Queue()
        self.sent = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()

    async def receive(self):
        return await self.inbox.get()

    async def listen(self, take):
        while (message := await self.inbox.get()) is not None:
            take(message)

    def offer(self, message):
        if not self.open.is_set():
            return False
        self.sent.put_nowait(DeltaDiscoveryResponse.FromString(bytes(message)))
        return True

    async def send(self, message):
        await self.open.wait()
        self.sent.put_nowait(DeltaDiscoveryResponse.FromString(bytes(message)))

    async def refuse(self, code, reason):
        raise RefusedError(code.name, reason)

    def ask(self, type_url, *names, nonce="", node="sidecar~10.0.0.1~a-1.shop~x", error=""):
        request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names, response_nonce=nonce)
        request.node.id = node
        if error:
            request.error_detail.message = error
        self.inbox.put_nowait(request.SerializeToString())


class Tokens:
    async def identify(self, token):
        if token == "away":
            raise AuthenticationUnavailableError("the API is away")
        if "/" not in token:
            raise UnauthenticatedError("bad token")
        namespace, account = token.split("/")
        return Identity(namespace=namespace, service_account=account)


class Observer:
    def __init__(self):
        self.heard = []
        self.delivery = None

    def connected(self, connection, caller):
        self.heard.append(("connected", caller.node.pod))
        self.delivery.assign(connection, ["out"])

    def disconnected(self, _connection):
        self.heard.append("disconnected")

    def progressed(self, _connection):
        pass

    def pushed(self, push):
        self.heard.append(("pushed", *push.versions))

    def reacted(self, _connection, reaction):
        self.heard.append(("reacted", reaction.error))

    def reported(self, _connection, fault):
        self.heard.append(("reported", fault))


def cluster(name, version="1"):
    return Resource(CDS, name, version, encode_element(type_url=CDS, name=name, version=version, value=b""))


@pytest.fixture
def serve():
    observer = Observer()
    store = ViewStore("run")
    delivery = Delivery(store, Prover(Tokens()), observer, limits=Limits(first=0.05, write=0.1, patience=0.05))
    observer.delivery = delivery
    delivery.apply([ViewUpdate("out", CDS, (cluster("a"),))])
    return delivery, observer


async def test_a_stream_lives_from_connect_to_end(serve):
    delivery, observer = serve
    stream = Stream()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.handle(stream))
        stream.ask(CDS)
        first = await stream.sent.get()
        assert [r.name for r in first.resources] == ["a"]
        stream.ask(CDS, nonce=first.nonce)
        delivery.apply([ViewUpdate("out", CDS, (cluster("b"),))], since=1.0)
        assert [r.name for r in (await stream.sent.get()).resources] == ["b"]
        assert delivery.streams == 1
        stream.inbox.put_nowait(None)
    assert observer.heard == [
        *(("connected", "a-1"), ("pushed", "a"), ("reacted", None), ("pushed", "b"), "disconnected"),
    ]
    assert delivery.streams == 0


async def test_what_an_agent_says_of_its_program_is_heard_and_not_answered(serve):
    delivery, observer = serve
    stream = Stream()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.handle(stream))
        stream.ask(CDS)
        await stream.sent.get()
        stream.ask(HEALTH)
        stream.ask(HEALTH, error="it does not answer")
        stream.inbox.put_nowait(None)
    assert observer.heard[2:] == [("reported", ""), ("reported", "it does not answer"), "disconnected"]
    assert stream.sent.empty()


@pytest.mark.parametrize(
    ("token", "node", "code"),
    [
        ("", "sidecar~1~a.shop~x", "UNAUTHENTICATED"),
        ("bad", "sidecar~1~a.shop~x", "UNAUTHENTICATED"),
        ("other/default", "sidecar~1~a.shop~x", "UNAUTHENTICATED"),
        ("away", "sidecar~1~a.shop~x", "UNAVAILABLE"),
        ("shop/default", "rubbish", "INVALID_ARGUMENT"),
    ],
)
async def test_who_is_not_let_in(serve, token, node, code):
    delivery, observer = serve
    stream = Stream(token)
    stream.ask(CDS, node=node)
    with pytest.raises(RefusedError, match=code):
        await delivery.handle(stream)
    assert observer.heard == []


async def test_who_says_nothing_is_sent_away(serve):
    with pytest.raises(RefusedError, match="no request within"):
        await serve[0].handle(Stream())


async def test_what_came_while_we_were_busy_came_in_time(serve):
    stream = Stream()
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def read():
            ours.recv(1)
            stream.ask(CDS)

        def busy():
            over = loop.time() + 0.2
            theirs.send(b"x")
            while loop.time() < over:
                pass

        loop.add_reader(ours, read)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve[0].handle(stream))
            # The handler waits for its first request, for less time than this takes.
            loop.call_soon(busy)
            await stream.sent.get()
            stream.inbox.put_nowait(None)
        loop.remove_reader(ours)


async def test_patience_is_lost_once_and_only_by_its_own_task():
    async with Patience(10.0):
        pass
    with pytest.raises(TimeoutError):
        async with Patience(0.02):
            await asyncio.Event().wait()
    waiting = asyncio.create_task(_patient())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _patient():
    async with Patience(10.0):
        await asyncio.Event().wait()


async def test_rubbish_ends_the_stream(serve):
    delivery, observer = serve
    stream = Stream()
    stream.ask(CDS)
    stream.inbox.put_nowait(b"\xff")
    with pytest.raises(RefusedError, match="INVALID_ARGUMENT"):
        await delivery.handle(stream)
    assert observer.heard[-1] == "disconnected"


async def test_a_proxy_that_does_not_read_is_sent_away(serve):
    delivery, _ = serve
    stream = Stream()
    stream.open.clear()
    stream.ask(CDS)
    with pytest.raises(RefusedError, match="RESOURCE_EXHAUSTED"):
        await delivery.handle(stream)


async def test_a_slow_proxy_gets_the_newest_and_nothing_between(serve):
    delivery, _ = serve
    stream = Stream()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.handle(stream))
        stream.ask(CDS)
        first = await stream.sent.get()
        for version in range(50):
            delivery.apply([ViewUpdate("out", CDS, (cluster("a", str(version)),))])
            await asyncio.sleep(0)
        stream.ask(CDS, nonce=first.nonce)
        last = await stream.sent.get()
        assert last.resources[0].version == "49"
        assert stream.sent.empty()
        stream.inbox.put_nowait(None)


async def test_who_hoards_unacknowledged_answers_is_sent_away(serve):
    delivery, _ = serve
    stream = Stream()
    served = asyncio.create_task(delivery.handle(stream))
    for number in range(1001):
        stream.ask(EDS, f"n{number}")
        await stream.sent.get()
    stream.ask(EDS, "one more")
    with pytest.raises(RefusedError, match="RESOURCE_EXHAUSTED"):
        await served


async def test_the_last_piece_of_a_publication_is_news_for_who_has_the_first(serve):
    delivery, observer = serve
    progressed = []
    observer.progressed = progressed.append
    stream = Stream()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.handle(stream))
        stream.ask(CDS)
        stream.ask(CDS, nonce=(await stream.sent.get()).nonce)
        stream.ask(LDS)
        stream.ask(LDS, nonce=(await stream.sent.get()).nonce)
        delivery.apply([ViewUpdate("out", CDS, (cluster("b"),))])
        stream.ask(CDS, nonce=(await stream.sent.get()).nonce)
        while delivery.standing(1)[0][0].state != "SYNCED":
            await asyncio.sleep(0)
        assert delivery.standing(1)[1] == 0
        progressed.clear()
        delivery.apply([ViewUpdate("elsewhere", CDS, (cluster("c"),))], batch=1)
        assert progressed == [1]
        assert delivery.standing(1)[1] == 1
        stream.inbox.put_nowait(None)
