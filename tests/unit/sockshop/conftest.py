"""Neighbours of the programs under test: real servers on loopback, and a real MariaDB where there is one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from plait.machine.images.layers import LayerError, Layers
from sockshop.front_end.settings import Endpoints, Settings
from sockshop.front_end.shopfront import build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEMO = Path(__file__).parents[3] / "demo"
HAL = "application/hal+json"
SOCK = {"id": "s1", "name": "Holy", "price": 99.99, "imageUrl": ["/a", "/b"], "count": 1, "tag": ["magic"]}


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Backends:
    """All services behind the front-end in one server. `answers` overrides: (method, path) to (status, body)."""

    address: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, bytes, str]] = field(default_factory=dict)
    cart: list[dict[str, Any]] = field(default_factory=list)

    def say(self, method: str, path: str, status: int, body: object, kind: str = "application/json") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[method, path] = (status, raw, kind)

    def called(self, method: str, path: str) -> Call:
        return next(call for call in reversed(self.calls) if (call.method, call.path) == (method, path))

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        path = request.rel_url.raw_path_qs
        self.calls.append(Call(request.method, path, dict(request.headers), body))
        status, raw, kind = self.answers.get((request.method, path)) or self.natural(request, body)
        return web.Response(status=status, body=raw, headers={"Content-Type": kind})

    def natural(self, request: web.Request, body: bytes) -> tuple[int, bytes, str]:
        user = f"{self.address}/user"
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["catalogue"]:
                return 200, json.dumps([SOCK]).encode(), "application/json; charset=utf-8"
            case "GET", ["catalogue", "s1"]:
                return 200, json.dumps(SOCK).encode(), "application/json; charset=utf-8"
            case "GET", ["carts", _, "items"]:
                return 200, json.dumps(self.cart).encode(), "application/json"
            case "POST", ["carts", _, "items"]:
                self.cart.append({"id": "i1", "quantity": 1, **json.loads(body)})
                return 201, json.dumps(self.cart[-1]).encode(), "application/json"
            case "PATCH" | "DELETE", ["carts", *_]:
                return 202, b"", "text/plain"
            case "GET", ["user", "login"]:
                good = request.headers.get("Authorization") == "Basic dXNlcjpwYXNzd29yZA=="
                return (200, b'{"user":{"id":"c1"}}', HAL) if good else (401, b"Unauthorized", "text/plain")
            case "POST", ["user", "register" | "cards" | "addresses" | "customers"]:
                return 200, b'{"id":"c2"}', HAL
            case "GET", ["user", "customers", "c1"]:
                links = {
                    name: {"href": f"{user}/customers/c1{tail}"}
                    for name, tail in (("addresses", "/addresses"), ("cards", "/cards"), ("customer", ""))
                }
                return 200, json.dumps({"firstName": "User", "lastName": "Name", "_links": links}).encode(), HAL
            case "GET", ["user", "customers", "c1", "addresses"]:
                links = {"self": {"href": f"{user}/addresses/a1"}}
                address = {
                    "street": "Road",
                    "number": "1",
                    "country": "UK",
                    "city": "G",
                    "postcode": "P",
                    "_links": links,
                }
                return 200, json.dumps({"_embedded": {"address": [address]}}).encode(), HAL
            case "GET", ["user", "customers", "c1", "cards"]:
                card = {"longNum": "5544154011345918", "_links": {"self": {"href": f"{user}/cards/k1"}}}
                return 200, json.dumps({"_embedded": {"card": [card]}}).encode(), HAL
            case "POST", ["orders"]:
                return 201, b'{"id":"o1"}', "application/json"
            case _:
                return 404, b'{"error":"not found","status_code":404,"status_text":"Not Found"}', "text/plain"


@pytest.fixture
async def backends() -> AsyncIterator[Backends]:
    state = Backends()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state.handle)
    async with TestServer(app) as server:
        state.address = str(server.make_url("")).rstrip("/")
        yield state


@dataclass
class Browser:
    """A client that keeps cookies and follows no redirects."""

    session: aiohttp.ClientSession
    base: str

    @asynccontextmanager
    async def send(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.session.request(
            method, URL(self.base + path, encoded=True), allow_redirects=False, **options
        ) as response:
            await response.read()
            yield response


def endpoints(base: str) -> Endpoints:
    user = f"{base}/user"
    return Endpoints(
        catalogue=base, carts=f"{base}/carts", orders=base, customers=f"{user}/customers",
        addresses=f"{user}/addresses", cards=f"{user}/cards", login=f"{user}/login", register=f"{user}/register",
    )  # fmt: skip


@pytest.fixture
async def shops(backends: Backends) -> AsyncIterator[Callable[..., Any]]:
    """Makes front-ends with a browser each: `await shops(version="v2")`."""
    servers: list[TestServer] = []
    sessions: list[aiohttp.ClientSession] = []

    async def start(*, base: str | None = None, **settings: Any) -> Browser:
        server = TestServer(build(Settings(**settings), endpoints(base or backends.address)))
        await server.start_server()
        servers.append(server)
        sessions.append(aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)))
        return Browser(sessions[-1], str(server.make_url("")).rstrip("/"))

    yield start
    for session in sessions:
        await session.close()
    for server in servers:
        await server.close()


@pytest.fixture
async def shop(shops: Callable[..., Any]) -> Browser:
    return await shops()


@dataclass
class Program:
    """A service as its own process."""

    process: asyncio.subprocess.Process
    port: int
    lines: list[str]

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 60)


@pytest.fixture
async def programs() -> AsyncIterator[Callable[..., Any]]:
    """Starts `python -m MODULE ARGS…` and waits for the line that says it is ready."""
    running: list[tuple[Program, asyncio.Task[None]]] = []

    async def start(module: str, *arguments: str, port: int, ready: str, **environment: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            env={**os.environ, "PYTHONPATH": str(DEMO), **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        lines: list[str] = []
        seen = asyncio.Event()

        async def listen() -> None:
            assert process.stdout is not None
            async for raw in process.stdout:
                lines.append(raw.decode(errors="replace").rstrip())
                if ready in lines[-1]:
                    seen.set()
            seen.set()

        program = Program(process, port, lines)
        running.append((program, asyncio.create_task(listen())))
        await asyncio.wait_for(seen.wait(), 60)
        assert any(ready in line for line in lines), lines
        return program

    yield start
    for program, task in reversed(running):
        await program.stop()
        await task


@pytest.fixture(scope="session")
def mariadb_folder(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Path | None:
    """Debian's MariaDB unpacked into a folder; None where the machine has it installed."""
    if shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        return None
    try:
        layers = asyncio.run(Layers(tmp_path_factory.mktemp("mariadb")).ensure(["mariadb-server-core"]))
    except LayerError as error:
        lacking(f"MariaDB is neither installed nor to be had: {error}")
    return layers[0]


@pytest.fixture
def mariadb(mariadb_folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the test find mariadbd."""
    if mariadb_folder:
        libraries = ":".join(str(folder) for folder in (mariadb_folder / "usr/lib").glob("*-linux-gnu"))
        monkeypatch.setenv("PATH", f"{mariadb_folder}/usr/sbin:{os.environ['PATH']}")
        monkeypatch.setenv("LD_LIBRARY_PATH", libraries)


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()
