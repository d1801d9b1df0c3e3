"""A whole API server on loopback, with keys of its own and a fake node; nothing of plait is patched."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import ssl
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.api_settings import api_settings

from plait.app.pki import ensure
from plait.inject.legacy import convert_workload
from plait.machine.api.admission import AdmissionResult
from plait.machine.api.schema import load_schemas
from plait.machine.api.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.machine.api.admission import Admission, AdmissionRequest
    from plait.machine.api.schema import FieldError, Schemas

ADMIN, VIEWER = "admin-token", "viewer-token"
KUBECTL = Path(sys.executable).parent / "kubectl"


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return load_schemas()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's keys and certificates, and tokens of these tests."""
    folder = tmp_path_factory.mktemp("pki")
    ensure(folder, ["127.0.0.1"], ["localhost"])
    tokens = [
        {"token": ADMIN, "user": "admin", "groups": ["system:masters"]},
        {"token": VIEWER, "user": "viewer", "groups": []},
    ]
    (folder / "tokens.json").write_text(json.dumps(tokens))
    return folder


class AdmitAll:
    """Admission that changes and refuses nothing."""

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        return AdmissionResult(obj=request.obj)

    def beside(self, *_: object) -> tuple[FieldError, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running server and a session that is its admin."""

    url: str
    session: aiohttp.ClientSession
    folder: Path
    pki: Path
    node_socket: Path
    program: Path = KUBECTL

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = ADMIN, **headers: str
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, decoded JSON and the response. `Content_Type` and the like become headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        data = io.BytesIO(body) if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        named.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.url + path, data=data, headers=named) as response:
            text = await response.read()
            value = json.loads(text) if response.content_type.endswith("json") and text else text.decode()
            return response.status, value, response

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        """What a POST stored; fails unless it is a 201."""
        status, obj, _ = await self.ask("POST", path, body)
        assert status == 201, obj
        return obj

    async def kubectl(self, *arguments: str, stdin: str = "", code: int | None = 0) -> tuple[str, str]:
        """Output and errors of kubectl; fails on another exit code than `code` (None: any)."""
        process = await self.start_kubectl(*arguments)
        out, err = (text.decode() for text in await process.communicate(stdin.encode()))
        assert code is None or process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return out, err

    async def start_kubectl(self, *arguments: str) -> asyncio.subprocess.Process:
        """A running kubectl; the caller waits for its end."""
        return await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        """What kubectl needs to find the server, and a cache of its own."""
        return {"KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(self.folder), "PATH": os.environ["PATH"]}


def _write_kubeconfig(folder: Path, pki: Path, url: str) -> None:
    cluster = {"server": url, "certificate-authority": str(pki / "ca.crt")}
    (folder / "kubeconfig").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {"token": ADMIN}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }
        )
    )


@asynccontextmanager
async def running(
    folder: Path, pki: Path, schemas: Schemas, admission: Admission | None = None
) -> AsyncIterator[Cluster]:
    """Serve from the store in `folder` until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    settings = api_settings(listening, pki=pki, folder=folder)
    _write_kubeconfig(folder, pki, url)
    ready = asyncio.Event()
    serving = asyncio.create_task(
        serve(settings, schemas=schemas, admission=admission or AdmitAll(), convert=convert_workload, started=ready.set)
    )
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        await serving
    trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    async with AsyncExitStack() as stack:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
        await stack.enter_async_context(session)
        try:
            yield Cluster(url=url, session=session, folder=folder, pki=pki, node_socket=settings.node_socket)
        finally:
            serving.cancel()
            await asyncio.wait({serving})
            listening.close()


@pytest.fixture
async def cluster(tmp_path: Path, pki: Path, schemas: Schemas) -> AsyncIterator[Cluster]:
    async with running(tmp_path, pki, schemas) as made:
        yield made


@pytest.fixture
def run_cluster() -> Any:
    """The function that runs a server, for tests that restart it."""
    return running


class FakeNode:
    """The node's stream socket: port 80 of any pod greets and echoes, port 81 sends a lot, others refuse."""

    LARGE = 3_000_000

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.queries: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
            if target.startswith("/logs/"):
                await self._log(target, writer)
            else:
                await self._connect(target, reader, writer)
        except ConnectionError:
            pass  # the API closed its side: the client had enough
        finally:
            writer.close()

    async def _log(self, target: str, writer: asyncio.StreamWriter) -> None:
        self.queries.append(target)
        if "/waiting" in target:
            status = {
                "kind": "Status",
                "code": 400,
                "reason": "BadRequest",
                "message": 'container "waiting" is waiting',
            }
            body = json.dumps(status).encode()
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (line := await self.lines.get()) is not None:
            text = line.encode() + b"\n"
            writer.write(b"%x\r\n" % len(text) + text + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _connect(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = target.rsplit("/", 1)[1]
        if port not in {"80", "81"}:
            body = json.dumps({"kind": "Status", "code": 502, "message": f"nothing listens on {port}"}).encode()
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        if port == "81":
            writer.write(b"x" * self.LARGE)
            await writer.drain()
            return
        while piece := await reader.read(65536):
            writer.write(b"echo:" + piece)
            await writer.drain()


@pytest.fixture
async def node(cluster: Cluster) -> AsyncIterator[FakeNode]:
    made = FakeNode()
    server = await asyncio.start_unix_server(made.handle, str(cluster.node_socket))
    async with server:
        yield made


@pytest.fixture
async def pod(cluster: Cluster) -> dict[str, Any]:
    """A pod `p` in `default` that counts as running, with the containers `app` and `waiting`."""
    containers = [{"name": "app", "image": "x"}, {"name": "waiting", "image": "x"}]
    annotations = {"kubectl.kubernetes.io/default-container": "app"}
    meta = {"name": "p", "annotations": annotations, "labels": {"app": "p"}}
    await cluster.made(
        "/api/v1/namespaces/default/pods",
        {"metadata": meta, "spec": {"nodeName": "plait", "containers": containers}},
    )
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.42.0.9"}
    states = [
        {"name": name, "ready": True, "restartCount": 0, "image": "x", "imageID": "", "state": {"running": {}}}
        for name in ("app", "waiting")
    ]
    code, obj, _ = await cluster.ask(
        "PATCH",
        "/api/v1/namespaces/default/pods/p/status",
        {"status": {**status, "containerStatuses": states}},
        Content_Type="application/strategic-merge-patch+json",
    )
    assert code == 200, obj
    return obj
