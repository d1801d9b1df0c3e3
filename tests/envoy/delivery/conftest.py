"""A delivery server on loopback and real Envoys connected to it by delta ADS, all over unix sockets where possible."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  (registers the type)
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from google.protobuf.json_format import ParseDict

from plait.delivery.auth import Identity, Prover, UnauthenticatedError
from plait.delivery.builder import Builder
from plait.delivery.child import run_delivery
from plait.delivery.frames import Channel, Down, Up
from plait.delivery.grpc_transport import GrpcTransport
from plait.delivery.objects import Objects
from plait.delivery.server import Delivery, Limits
from plait.delivery.settled.settling import Pace, Settling
from plait.delivery.store import Push, ViewStore
from plait.delivery.stream import Reaction
from plait.delivery.wire import METHOD, Caller, encode_element
from plait.proxy.envoy import Envoy, run_envoy
from plait.rpc import Http2Transport
from plait.rpc.stream import Transport
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, Resource, ViewUpdate

MESSAGES = {
    CDS: cluster_pb2.Cluster,
    EDS: endpoint_pb2.ClusterLoadAssignment,
    LDS: listener_pb2.Listener,
    RDS: route_pb2.RouteConfiguration,
}
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ADS = {"ads": {}, "resource_api_version": "V3"}


def resource(type_url: str, content: dict[str, Any]) -> Resource:
    message = ParseDict(content, MESSAGES[type_url]())
    value = message.SerializeToString(deterministic=True)
    name = content.get("name") or content["cluster_name"]
    version = hashlib.sha1(value).hexdigest()[:12]
    return Resource(type_url, name, version, encode_element(type_url=type_url, name=name, version=version, value=value))


def cluster(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, "connect_timeout": "60s", **more}


def endpoints(name: str, *paths: str) -> dict[str, Any]:
    hosts = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in paths]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}


def listener(name: str, path: str, route: str) -> dict[str, Any]:
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "rds": {"route_config_name": route, "config_source": ADS},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": {"pipe": {"path": path}}, "filter_chains": [chain]}


def routes(name: str, cluster_name: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name}}
    return {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}


class Tokens:
    """Accepts one token, as shop/default."""

    async def identify(self, token: str) -> Identity:
        if token != "good":
            raise UnauthenticatedError("wrong token")
        return Identity(namespace="shop", service_account="default")


@dataclass
class Watcher:
    """Observer that gives every proxy the view `out` and keeps what it hears."""

    delivery: Delivery | None = None
    callers: dict[int, Caller] = field(default_factory=dict)
    pushes: list[Push] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def connected(self, connection: int, caller: Caller) -> None:
        self.callers[connection] = caller
        self.delivery.assign(connection, ["out"])
        self.changed.set()

    def disconnected(self, connection: int) -> None:
        del self.callers[connection]
        self.changed.set()

    def progressed(self, _connection: int) -> None:
        self.changed.set()

    def pushed(self, push: Push) -> None:
        self.pushes.append(push)

    def reacted(self, _connection: int, reaction: Reaction) -> None:
        self.reactions.append(reaction)
        self.changed.set()

    async def until(self, condition, what: str, seconds: float = 60.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pytest.fail(f"not in {seconds} s: {what}; status {self.status()}")

    def status(self) -> dict[str, tuple[str, str]]:
        short = {CDS: "cds", EDS: "eds", LDS: "lds", RDS: "rds", ECDS: "ecds"}
        return {
            short[status.type_url]: (status.state, status.error)
            for connection in self.callers
            for status in self.delivery.standing(connection)[0]
        }

    async def synced(self) -> None:
        await self.until(
            lambda: len(self.status()) >= 4 and {s for s, _ in self.status().values()} == {"SYNCED"}, "all synced"
        )


class Server:
    """A delivery server that can be stopped and started again on the same port."""

    def __init__(self, transport: Callable[[str], Transport]) -> None:
        self.watcher = Watcher()
        self.store = ViewStore("test")
        self._transport = transport
        self.port = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self, store: ViewStore | None = None) -> None:
        self.store = store or self.store
        self.watcher = Watcher()
        delivery = Delivery(self.store, Prover(Tokens()), self.watcher, limits=Limits(patience=20.0))
        self.watcher.delivery = delivery
        started = asyncio.get_running_loop().create_future()
        transport = self._transport(f"127.0.0.1:{self.port}")
        self._task = asyncio.create_task(transport.serve({METHOD: delivery.handle}, started=started.set_result))
        await asyncio.wait((started, self._task), return_when=asyncio.FIRST_COMPLETED)
        self.port = started.result() if started.done() else await self._task

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def change(self, *contents: tuple[str, dict[str, Any]], removed: tuple[tuple[str, str], ...] = ()) -> None:
        updates = [ViewUpdate("out", type_url, (resource(type_url, content),)) for type_url, content in contents]
        updates += [ViewUpdate("out", type_url, (), (name,)) for type_url, name in removed]
        self.watcher.delivery.apply(updates)


def bootstrap(folder: Path, port: int, *, token: str = "good") -> dict[str, Any]:
    return {
        "node": {
            "id": "sidecar~10.0.0.1~front-end-1.shop~shop.svc.cluster.local",
            "cluster": "front-end.shop",
            "metadata": {
                "NAME": "front-end-1",
                "NAMESPACE": "shop",
                "SERVICE_ACCOUNT": "default",
                "LABELS": {"app": "front-end", "version": "v1"},
                "ISTIO_VERSION": "0.1.0",
            },
        },
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "dynamic_resources": {
            "cds_config": ADS,
            "lds_config": ADS,
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {"cluster_name": "xds-grpc"},
                        "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
                    }
                ],
            },
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "60s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "endpoint": {
                                            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ]
        },
    }


def probed(boot: dict[str, Any], admin: str) -> None:
    """Have a bootstrap what istiod asks through: the gauges, and a cluster that leads to them."""
    boot["stats_config"] = {
        "stats_matcher": {
            "inclusion_list": {
                "patterns": [
                    {"prefix": "cluster_manager"},
                    {"prefix": "listener_manager"},
                    {"prefix": "server"},
                    {"prefix": "istio"},
                ]
            }
        }
    }
    pipe = {"pipe": {"path": admin}}
    boot["static_resources"]["clusters"].append(
        {
            "name": "prometheus_stats",
            "type": "STATIC",
            "connect_timeout": "60s",
            "load_assignment": {
                "cluster_name": "prometheus_stats",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe}}]}],
            },
        }
    )


def unused() -> Iterator[str]:
    """Addresses at which nobody has the port, which is always the same: other runs on this machine have some."""
    for last in itertools.count(21):
        address = f"127.{1 + os.getpid() % 250}.{last // 256}.{last % 256}"
        try:
            socket.create_server((address, 15004)).close()
        except OSError:
            continue
        yield address


_ADDRESSES = unused()
_QUICK = Pace(grace=0.05, patience=1.0, rest=0.2)


class Words:
    """What was told last of each object."""

    def __init__(self) -> None:
        self.told, self.changed = {}, asyncio.Event()

    def put(self, key, told) -> None:
        self.told[key.name] = told.verdict
        self.changed.set()

    def remove(self, key) -> None:
        self.told.pop(key.name, None)

    async def until(self, name: str, state: str, generation: int, seconds: float = 60.0):
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = self.told.get(name)
                    if found is not None and (found.state, found.generation) == (state, generation):
                        return found
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pytest.fail(f"{name} is not {state} in generation {generation} after {seconds} s: {self.told}")


class Control:
    """istiod's two halves in one loop: builder, delivery and prober."""

    def __init__(self, core: Any, *, refused: Any = lambda _: None) -> None:
        self.words = Words()
        self.settling = Settling(core, Objects(), self.words, pace=_QUICK)
        self.builder = Builder(core, refused=refused, follower=self.settling)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ours, theirs = socket.socketpair()
        async with contextlib.AsyncExitStack() as stack:
            up = await stack.enter_async_context(await Channel.over(ours, Up))
            down = await stack.enter_async_context(await Channel.over(theirs, Down))
            self.builder.connect(up)

            async def listen() -> None:
                while (frame := await up.receive()) is not None:
                    self.builder.receive(frame)

            running = [
                asyncio.create_task(each)
                for each in (
                    run_delivery(down, Http2Transport("127.0.0.1:0"), Prover(Tokens())),
                    listen(),
                    self.builder.publishing(),
                    self.settling.run(),
                )
            ]
            yield
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def serving(self) -> None:
        """The port is known."""
        async with asyncio.timeout(60):
            while self.builder.port is None:
                await asyncio.sleep(0.01)


async def answer(path: Path, text: str) -> asyncio.Server:
    """An HTTP backend on a unix socket that always says `text`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(serve, path)


async def ask(path: Path) -> str:
    """Status and body of one request through a listener."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    raw = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = raw.partition("\r\n\r\n")
    return f"{head.split()[1]} {body}".strip()


@dataclass
class Bench:
    """Folder, server and two backends that say their names."""

    folder: Path
    server: Server

    @property
    def inbox(self) -> Path:
        return self.folder / "in.sock"

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.sock")

    def shop(self) -> None:
        """Clusters a and b, traffic goes to a."""
        for name in ("a", "b"):
            self.server.store.apply(
                [
                    ViewUpdate("out", CDS, (resource(CDS, cluster(name)),)),
                    ViewUpdate("out", EDS, (resource(EDS, endpoints(name, self.path(name))),)),
                ]
            )
        self.server.store.apply(
            [
                ViewUpdate("out", LDS, (resource(LDS, listener("in", str(self.inbox), "80")),)),
                ViewUpdate("out", RDS, (resource(RDS, routes("80", "a")),)),
            ]
        )

    @contextlib.asynccontextmanager
    async def envoy(self, *, token: str = "good", ready: float = 60.0) -> AsyncIterator[Envoy]:
        boot = bootstrap(self.folder, self.server.port, token=token)
        async with run_envoy(boot, self.folder, ready=ready, more=("--drain-time-s", "1")) as running:
            yield running


@pytest.fixture(params=[Http2Transport, GrpcTransport], ids=["http2", "grpc"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    # Unix sockets have short paths: pytest's own folders can be too long.
    with tempfile.TemporaryDirectory(prefix="ads") as name:
        made = Bench(Path(name), Server(request.param))
        backends = [await answer(made.folder / f"{each}.sock", each) for each in ("a", "b", "c")]
        await made.server.start()
        yield made
        await made.server.stop()
        for backend in backends:
            backend.close()
            await backend.wait_closed()


@pytest.fixture
def make() -> Any:
    """The builders of resources, for tests (which import nothing from each other)."""

    class Make:
        pass

    made = Make()
    made.cluster, made.endpoints, made.listener, made.routes, made.ask = cluster, endpoints, listener, routes, ask
    made.resource, made.bootstrap, made.answer = resource, bootstrap, answer
    made.control, made.probed, made.address = Control, probed, lambda: next(_ADDRESSES)
    return made
