"""An authority with Istio's wire form, and an agent with sockets of its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from plait.agent.agent import Agent
from plait.agent.authority import Authority
from plait.agent.client import AgentClient
from plait.agent.protocol import SOCKET, Istiod, Workload
from plait.api import certificate_service
from plait.kit import certificates
from plait.rpc import Door, Server
from plait.rpc.stream import Refusal

NAME = "istiod.istio-system.svc"


@dataclass
class SmallAuthority:
    """Signs for whoever shows a token `NAMESPACE/ACCOUNT`; `refuses` is what it says to everybody instead."""

    folder: Path
    refuses: str = ""
    seconds: int = 3600
    asked: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0
    _door: Door | None = None

    def __post_init__(self) -> None:
        self.new_root()

    def new_root(self) -> None:
        self.key, self.root = certificates.make_root(certificates.name("root"), dt.datetime.now(dt.UTC))

    @property
    def roots(self) -> str:
        return certificates.pem(self.root).decode()

    @property
    def istiod(self) -> Istiod:
        return Istiod(addresses=(f"127.0.0.1:{self.port}",), name=NAME, roots=self.roots)

    def sign(self, public, alternative: x509.GeneralName, seconds: int) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        ends = now + dt.timedelta(seconds=seconds)
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        return (
            certificates.draft(
                x509.Name([]), self.root.subject, public, begins=now - dt.timedelta(minutes=2), ends=ends
            )
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=True)
            .add_extension(certificates.usage(signs_certificates=False), critical=True)
            .add_extension(uses, critical=False)
            .sign(self.key, SHA256())
        )

    async def start(self) -> None:
        key = certificates.new_key()
        path = self.folder / "authority.pem"
        own = self.sign(key.public_key(), x509.DNSName(NAME), 3600)
        path.write_bytes(certificates.key_pem(key) + certificates.pem(own))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(path)
        tls.set_alpn_protocols(["h2"])
        handlers = {certificate_service.METHOD: self._create}
        self._door = await Server().open(f"127.0.0.1:{self.port}", handlers, tls=tls)
        self.port = self._door.port

    async def stop(self) -> None:
        if self._door is not None:
            await self._door.close()
            self._door = None

    async def _create(self, stream) -> None:
        request = certificate_service.decode_request(await stream.receive())
        token = stream.metadata.get("authorization", "").removeprefix("Bearer ")
        self.asked.append((token, request.seconds))
        if self.refuses:
            await stream.refuse(Refusal.UNAUTHENTICATED, self.refuses)
        csr = x509.load_pem_x509_csr(request.csr.encode())
        assert csr.is_signature_valid
        namespace, account = token.split("/")
        uri = x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/{namespace}/sa/{account}")
        leaf = self.sign(csr.public_key(), uri, request.seconds or self.seconds)
        await stream.send(certificate_service.encode_response([certificates.pem(leaf).decode(), self.roots]))


class Machine:
    """An agent that can be killed and started again, and who tells it of workloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.troubles: list[tuple[str, str]] = []
        self.client = AgentClient(folder / SOCKET)
        self.agent = Agent(Authority(), Server())
        self._tasks: list[asyncio.Task[None]] = []
        self._agent: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.agent = Agent(Authority(), Server())
        self._agent = asyncio.create_task(self.agent.run(self.folder / SOCKET))

    async def kill(self) -> None:
        assert self._agent is not None
        self._agent.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._agent

    def begin(self, uid: str, token: str, *, seconds: int = 0) -> Path:
        """A workload; its socket."""
        folder = self.folder / uid
        folder.mkdir(exist_ok=True)
        self.client.begin(Workload(uid=uid, name=f"pod {uid}", token=token, folder=str(folder), seconds=seconds))
        return folder / "socket"


async def until(condition, *, seconds: float = 60.0):
    """Wait until it holds, and return what it gave."""
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.01)
        return found


@pytest.fixture
def folder():
    # Unix sockets have short paths: pytest's own folders can be too long.
    with tempfile.TemporaryDirectory(prefix="sds") as name:
        yield Path(name)


@pytest.fixture
async def authority(folder):
    made = SmallAuthority(folder)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def machine(folder):
    made = Machine(folder)
    await made.start()
    telling = asyncio.create_task(made.client.run(lambda *told: made.troubles.append(told)))
    yield made
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await made.kill()
