"""The two processes of istiod against a small Kubernetes API: served, restarted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc.aio
import msgspec
import pytest
from aiohttp import web
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from tests.certificates import self_signed

from plait.delivery.wire import METHOD
from plait.xds.resource import CDS, EDS, LDS, RDS


def certificate(folder: Path) -> ssl.SSLContext:
    """A self-signed server certificate for 127.0.0.1, also written as ca.crt."""
    made = self_signed("127.0.0.1")
    (folder / "ca.crt").write_bytes(made.pem)
    (folder / "server.pem").write_bytes(made.private + made.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@dataclass
class Api:
    """Lists and watches whatever is put in; reviews tokens `good` and `other`; keeps Events."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1
    watchers: dict[asyncio.Queue[bytes], str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, plural: str, obj: dict[str, Any]) -> None:
        self.version += 1
        obj["metadata"] |= {"resourceVersion": str(self.version), "uid": obj["metadata"]["name"]}
        key = f"{obj['metadata'].get('namespace')}/{obj['metadata']['name']}"
        known = self.objects.setdefault(plural, {})
        event = msgspec.json.encode({"type": "MODIFIED" if key in known else "ADDED", "object": obj}) + b"\n"
        known[key] = obj
        for queue, watched in self.watchers.items():
            if watched == plural:
                queue.put_nowait(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        if request.method == "PATCH":
            where, _, name = request.path.removeprefix("/api/v1/namespaces/").split("/")
            plural, body = "configmaps", await request.json()
            self.put(plural, self.objects[plural][f"{where}/{name}"] | body)
            return web.json_response(self.objects[plural][f"{where}/{name}"])
        if request.method == "POST":
            body = await request.json()
            if plural == "tokenreviews":
                good = body["spec"]["token"] == "good"
                user = {"username": "system:serviceaccount:shop:default"} if good else {}
                body["status"] = {"authenticated": good, "user": user}
            elif plural in {"secrets", "configmaps"}:
                self.put(plural, body)
            else:
                self.events.append(body)
                self.changed.set()
            return web.json_response(body, status=201)
        name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if "watch" not in request.query:
            items = [each for each in self.objects.get(plural, {}).values() if name in {"", each["metadata"]["name"]}]
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers[queue] = plural
        try:
            while True:
                event = await queue.get()
                if name in {"", msgspec.json.decode(event)["object"]["metadata"]["name"]}:
                    await response.write(event)
        finally:
            del self.watchers[queue]

    @asynccontextmanager
    async def serve(self, folder: Path) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate(folder))
        await site.start()
        yield runner.addresses[0][1]
        await runner.cleanup()


def channel(port: int, tls: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    address, options = f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    named = (*options, ("grpc.ssl_target_name_override", "istiod.istio-system.svc"))
    return grpc.aio.secure_channel(address, tls, options=named)


class Proxy:
    """A delta ADS client that acknowledges like Envoy and remembers versions."""

    def __init__(
        self,
        port: int,
        *,
        token: str = "good",
        known: dict[str, dict[str, str]] | None = None,
        tls: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.port, self.token, self.tls = port, token, tls
        self.known = known or {CDS: {}, LDS: {}, EDS: {}, RDS: {}}
        self.received: list[DeltaDiscoveryResponse] = []
        self.refuse: str | None = None
        self.writing = asyncio.Lock()
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.channel = channel(self.port, self.tls)
        metadata = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        self.call = self.channel.stream_stream(METHOD)(metadata=metadata, wait_for_ready=True)
        # A server that refuses the stream may do so while this still writes; `call.code()` tells.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.begin()
        self.reader = asyncio.create_task(self.read())
        return self

    async def begin(self) -> None:
        first = True
        for type_url, known in self.known.items():
            request = DeltaDiscoveryRequest(type_url=type_url, initial_resource_versions=known)
            if type_url in {EDS, RDS}:
                request.resource_names_subscribe.extend(known)
            if first:
                request.node.id = "sidecar~10.0.0.9~front-end-1.shop~shop.svc.cluster.local"
                request.node.metadata.update({"NAMESPACE": "shop", "LABELS": {"app": "front-end"}})
                first = False
            if request.resource_names_subscribe or type_url in {CDS, LDS}:
                await self.write(request)

    async def read(self) -> None:
        try:
            while (message := await self.call.read()) is not grpc.aio.EOF:
                response = DeltaDiscoveryResponse.FromString(message)
                ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
                if self.refuse and response.type_url == self.refuse:
                    ack.error_detail.message = f"{response.resources[0].name}: not to my taste"
                else:
                    known = self.known[response.type_url]
                    known.update({r.name: r.version for r in response.resources})
                    for name in response.removed_resources:
                        known.pop(name, None)
                await self.write(ack)
                self.received.append(response)
                self.changed.set()
        except grpc.aio.AioRpcError:
            self.changed.set()

    async def write(self, request: DeltaDiscoveryRequest) -> None:
        async with self.writing:  # gRPC takes one write at a time
            await self.call.write(request.SerializeToString())

    async def subscribe(self, type_url: str, *names: str) -> None:
        request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        await self.write(request)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        self.reader.cancel()
        await asyncio.gather(self.reader, return_exceptions=True)
        await self.channel.close()


@dataclass
class Istiod:
    """The running processes."""

    process: asyncio.subprocess.Process
    xds: int
    secure: int
    monitoring: int
    session: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.session.get(f"http://127.0.0.1:{self.monitoring}{path}") as response:
            return await (response.json() if response.content_type == "application/json" else response.text())

    async def until(self, path: str, condition: Any) -> Any:
        async with asyncio.timeout(150):
            while True:
                try:
                    answer = await self.get(path)
                    if condition(answer):
                        return answer
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)

    def delivery(self) -> int:
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", **more}


@pytest.fixture
async def api() -> Api:
    made = Api()
    made.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    made.put(
        "services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta("catalogue"),
            "spec": {
                "clusterIP": "10.42.128.7",
                "selector": {"app": "catalogue"},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            },
        },
    )
    made.put("endpointslices", endpoints("10.42.0.5"))
    return made


def endpoints(*addresses: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta("catalogue-abc", labels={"kubernetes.io/service-name": "catalogue"}),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def virtual_service(prefix: str) -> dict[str, Any]:
    route = [{"destination": {"host": "catalogue", "port": {"number": 80}}}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": meta("catalogue"),
        "spec": {"hosts": ["catalogue"], "http": [{"match": [{"uri": {"prefix": prefix}}], "route": route}]},
    }


@pytest.fixture
async def istiod(
    api: Api, tmp_path: Path, free_port: Callable[[], int], request: pytest.FixtureRequest
) -> AsyncIterator[Istiod]:
    """`indirect` parameters are transports."""
    (tmp_path / "token").write_text("istiod's")
    (tmp_path / "namespace").write_text("istio-system")
    xds, secure, monitoring = free_port(), free_port(), free_port()
    async with api.serve(tmp_path) as port, aiohttp.ClientSession() as session:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "plait.app.istiod",
            "--xds",
            f"127.0.0.1:{xds}",
            "--secure",
            f"127.0.0.1:{secure}",
            "--transport",
            getattr(request, "param", "http2"),
            "--monitoring",
            f"127.0.0.1:{monitoring}",
            "--service-account",
            str(tmp_path),
            env={**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)},
        )
        running = Istiod(process, xds, secure, monitoring, session)
        try:
            await running.until("/ready", lambda text: text == "ready\n")
            yield running
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def type_status(proxies: list[dict[str, Any]], short: str) -> str | None:
    return proxies[0]["plait"]["types"].get(short, {}).get("status") if proxies else None


CLUSTER = "outbound|80||catalogue.shop.svc.cluster.local"


async def test_objects_reach_a_proxy_and_its_acknowledgements_come_back(api: Api, istiod: Istiod) -> None:
    async with Proxy(istiod.xds) as proxy:
        await proxy.until(lambda: CLUSTER in proxy.known[CDS] and proxy.known[LDS])
        await proxy.subscribe(EDS, CLUSTER)
        await proxy.subscribe(RDS, "80")
        await proxy.until(lambda: proxy.known[EDS] and proxy.known[RDS])
        (status,) = await istiod.until(
            "/debug/syncz",
            lambda all_: all_ and {t["status"] for t in all_[0]["plait"]["types"].values()} == {"SYNCED"},
        )
        assert status["proxy"] == "front-end-1.shop"
        assert status["cluster_sent"] == status["cluster_acked"] != ""
        before = dict(proxy.known[EDS])
        api.put("endpointslices", endpoints("10.42.0.5", "10.42.0.6"))
        await proxy.until(lambda: proxy.known[EDS] != before)
        dump = await istiod.get("/debug/config_dump?proxyID=front-end-1.shop")
        found = {c["cluster"]["name"]: c["version_info"] for c in dump["configs"][0]["dynamic_active_clusters"]}
        assert found == proxy.known[CDS]
        assert "no proxy 'nobody.shop'" in await istiod.get("/debug/config_dump?proxyID=nobody.shop")
        (service,) = await istiod.get("/debug/registryz")
        assert service["hostname"] == "catalogue.shop.svc.cluster.local"
        shown = {each["svc"]: each["ep"] for each in await istiod.get("/debug/endpointz")}
        assert [each["address"] for each in shown[CLUSTER]] == ["10.42.0.5", "10.42.0.6"]
        # A push is counted when it is sent, convergence when its answer has come.
        counts = ('pilot_xds_pushes{type="eds"} 2', "pilot_proxy_convergence_time_count 1")
        metrics = await istiod.until("/metrics", lambda text: all(count in text for count in counts))
        assert 'pilot_xds{version="' in metrics
        assert "pilot_services 1" in metrics


async def test_a_refusal_becomes_an_event_on_its_object(api: Api, istiod: Istiod) -> None:
    api.put("virtualservices", virtual_service("/"))
    async with Proxy(istiod.xds) as proxy:
        await proxy.until(lambda: proxy.known[LDS])
        await proxy.subscribe(RDS, "80")
        await proxy.until(lambda: proxy.known[RDS])
        proxy.refuse = RDS
        api.put("virtualservices", virtual_service("/other"))
        async with asyncio.timeout(60):
            while not any(e["involvedObject"]["kind"] == "VirtualService" for e in api.events):
                api.changed.clear()
                await api.changed.wait()
        (event,) = [e for e in api.events if e["involvedObject"]["kind"] == "VirtualService"]
        assert event["type"] == "Warning"
        assert event["reason"] == "ProxyRejected"
        assert "not to my taste" in event["message"]
        (status,) = await istiod.until("/debug/syncz", lambda a: type_status(a, "rds") == "NACK")
        assert "not to my taste" in status["plait"]["types"]["rds"]["error"]
        assert "pilot_total_xds_rejects 1" in await istiod.get("/metrics")


async def test_delivery_killed_comes_back_and_sends_nothing_equal(api: Api, istiod: Istiod) -> None:
    async with Proxy(istiod.xds) as proxy:
        await proxy.until(lambda: proxy.known[CDS] and proxy.known[LDS])
        await proxy.subscribe(EDS, CLUSTER)
        await proxy.until(lambda: proxy.known[EDS])
        old = istiod.delivery()
        os.kill(old, signal.SIGKILL)
        await proxy.reader
    await istiod.until("/debug/syncz", lambda proxies: proxies == [])
    await istiod.until("/ready", lambda text: text == "ready\n")
    assert istiod.delivery() != old
    async with Proxy(istiod.xds, known=proxy.known) as again:
        await istiod.until("/debug/syncz", lambda proxies: type_status(proxies, "eds") == "SYNCED")
        assert again.received == []
        api.put("endpointslices", endpoints("10.42.0.6"))
        await again.until(lambda: again.received)
        assert [r.name for r in again.received[0].resources] == [CLUSTER]


async def test_the_builder_killed_takes_delivery_along(istiod: Istiod) -> None:
    child = istiod.delivery()
    istiod.process.kill()
    await istiod.process.wait()
    async with asyncio.timeout(60):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
                await asyncio.sleep(0.02)


async def test_sigterm_ends_both_cleanly(istiod: Istiod) -> None:
    child = istiod.delivery()
    istiod.process.terminate()
    async with asyncio.timeout(60):
        assert await istiod.process.wait() == 0
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize(("token", "code"), [("bad", "UNAUTHENTICATED"), ("", "UNAUTHENTICATED")])
async def test_a_proxy_without_a_good_token_is_refused(istiod: Istiod, token: str, code: str) -> None:
    async with Proxy(istiod.xds, token=token, known={CDS: {}}) as proxy:
        assert (await proxy.call.code()).name == code
        assert proxy.received == []
