"""A small API server: enough of lists, watches, writes and port-forward to see what the client sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from plait.kube.access import Access
from plait.kube.client import Client


def status(code: int, reason: str, message: str = "", **details: object) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response(body | {"message": message or reason, "details": details}, status=code)


@dataclass
class FakeApi:
    """ConfigMaps in memory. `faults` are answers given instead, one per request, oldest first."""

    objects: dict[tuple[str, str], dict] = field(default_factory=dict)
    version: int = 100
    floor: int = 0
    log: list[tuple[int, dict]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    bodies: list[object] = field(default_factory=list)
    faults: list[Callable[[web.Request], object]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    watching: int = 0
    watch_opened: asyncio.Event = field(default_factory=asyncio.Event)
    served: bool = True
    url: str = ""
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    peers: set[object] = field(default_factory=set)

    async def set(self, name: str, value: str, namespace: str = "default") -> None:
        self.version += 1
        known = (namespace, name) in self.objects
        obj = {
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(self.version)},
            "data": {"v": value},
        }
        self.objects[namespace, name] = obj
        await self._tell({"type": "MODIFIED" if known else "ADDED", "object": obj})

    async def remove(self, name: str, namespace: str = "default") -> None:
        self.version += 1
        obj = self.objects.pop((namespace, name))
        obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.version)}}
        await self._tell({"type": "DELETED", "object": obj})

    async def restart(self) -> None:
        """End every watch and forget the history, as an API server that was restarted."""
        self.version += 1000
        self.floor = self.version
        self.log.clear()
        old, self.cut = self.cut, asyncio.Event()
        old.set()
        async with self.changed:
            self.changed.notify_all()

    async def _tell(self, event: dict) -> None:
        self.log.append((self.version, event))
        async with self.changed:
            self.changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query), dict(request.headers)))
        self.peers.add(request.transport.get_extra_info("peername"))
        self.bodies.append(json.loads(await request.read() or b"null"))
        if self.faults:
            answer = self.faults.pop(0)(request)
            if answer is not None:
                return answer
        if request.path.endswith("/portforward"):
            return await self.forward(request)
        if request.path.endswith("/log"):
            return web.Response(text="one\ntwo\n")
        if not self.served or "configmaps" not in request.path:
            return status(404, "NotFound", "the server could not find the requested resource")
        if request.method == "GET" and request.query.get("watch"):
            return await self.watch(request)
        return self.crud(request)

    def crud(self, request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        body = self.bodies[-1]
        if parts[-1] == "configmaps":
            if request.method == "POST":
                name = body["metadata"]["name"]
                if ("default", name) in self.objects:
                    return status(409, "AlreadyExists", f'configmaps "{name}" already exists')
                return web.json_response(body, status=201)
            items = list(self.objects.values())
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        obj = self.objects.get(("default", parts[5]))
        if obj is None:
            return status(404, "NotFound", f'configmaps "{parts[5]}" not found')
        if request.method == "PUT" and body["metadata"].get("resourceVersion") != obj["metadata"]["resourceVersion"]:
            return status(409, "Conflict", "the object has been modified")
        return web.json_response(obj)

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        since, cut = int(request.query["resourceVersion"]), self.cut
        if since < self.floor:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        self.watching += 1
        self.watch_opened.set()
        try:
            while not cut.is_set():
                async with self.changed:
                    await self.changed.wait_for(lambda n=since: cut.is_set() or any(v > n for v, _ in self.log))
                if cut.is_set():
                    break
                for version, event in [entry for entry in self.log if entry[0] > since]:
                    since = version
                    await response.write(json.dumps(event).encode() + b"\n")
        except (ConnectionError, aiohttp.ClientError):
            pass
        finally:
            self.watching -= 1
        return response

    async def forward(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        port = int(request.query["ports"])
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + port.to_bytes(2, "little"))
        if port == 9:
            await socket.send_bytes(b"\x01connection refused")
            await socket.close()
            return socket
        async for message in socket:
            data = message.data[1:]
            if data.startswith(b"GET "):
                await socket.send_bytes(
                    b"\x00HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                )
                await socket.close()
            else:
                await socket.send_bytes(b"\x00" + data)
        return socket


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(Access(server=api.url, token="secret"), user_agent="plait-test/1") as made:
        yield made


@pytest.fixture
def failure() -> Callable[..., web.Response]:
    return status
