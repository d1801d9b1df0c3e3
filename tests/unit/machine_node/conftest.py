"""A node with its API server in a namespace of its own, without the mesh: what pods do on it is real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plait.app import pki, plan, ports
from plait.app.state import State
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import ApiError, NotFound
from plait.kube.kinds import EVENT, NODE, POD
from plait.kube.portforward import port_forward
from plait.machine import host_sockets
from plait.proxy.admin import Admin

PATIENCE = 60.0
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


@dataclass
class Machine:
    """A running machine: init, API server and node."""

    state: State
    process: subprocess.Popen[bytes]

    @property
    def init(self) -> int:
        """Init's pid."""
        return children(self.process.pid)[0]

    def service(self, name: str) -> int | None:
        """The pid of one of plait's own processes; None while it is being started again."""
        for pid in children(self.init):
            with contextlib.suppress(OSError):
                if f"plait.app.{name}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None

    def processes(self) -> list[int]:
        """Everything that runs below init."""
        found, todo = [], [self.init]
        while todo:
            below = children(todo.pop())
            found += below
            todo += below
        return found

    def command_lines(self) -> str:
        """What runs below init, one command a line."""
        lines = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        return "\n".join(lines)

    def evidence(self) -> str:
        """The ends of its logs."""
        logs = sorted(self.state.logs.glob("*.log"))
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-30:]) for path in logs)


class Cluster:
    """What tests do with the machine through its API."""

    def __init__(self, machine: Machine, client: Client) -> None:
        self.machine = machine
        self.client = client

    async def until(self, what: str, probe: Callable[[], Awaitable[Any]]) -> Any:
        """The first true value of `probe`."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(ApiError):
                if value := await probe():
                    return value
            await asyncio.sleep(0.03)
        pytest.fail(f"not within {PATIENCE:.0f} s: {what}\n{self.machine.evidence()}")

    async def http(self, pod: str, port: int) -> int:
        """The status with which a server in a pod answers."""
        server = Admin(lambda: port_forward(self.client, "default", pod, port), name=f"pod {pod}")
        return (await server.request("/"))[0]

    async def start(self, name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
        """Create a pod."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5, **spec},
        }
        return await self.client.create(POD, body)

    async def pod(self, name: str) -> dict[str, Any]:
        return await self.client.get(POD, name, "default")

    async def when(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The pod, as soon as it is as it should be."""
        last: dict[str, Any] = {}

        async def look() -> dict[str, Any] | None:
            last.update(await self.pod(name))
            return last if holds(last) else None

        try:
            return await self.until(f"pod {name}", look)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\nlast seen: {last.get('status')}")

    async def ready(self, name: str) -> dict[str, Any]:
        """The pod, as soon as it is ready."""
        return await self.when(name, lambda pod: condition(pod, "Ready") == "True")

    async def phase(self, name: str, phase: str) -> dict[str, Any]:
        """The pod, as soon as it is in a phase."""
        return await self.when(name, lambda pod: pod["status"].get("phase") == phase)

    async def gone(self, name: str) -> None:
        async def look() -> bool:
            try:
                await self.pod(name)
            except NotFound:
                return True
            return False

        await self.until(f"pod {name} gone", look)

    async def log(self, name: str, **options: Any) -> str:
        return b"".join([piece async for piece in self.client.logs("default", name, **options)]).decode()

    async def events(self, name: str) -> dict[str, list[str]]:
        """Messages of a pod's events by reason."""
        found: dict[str, list[str]] = {}
        for event in (await self.client.list(EVENT, "default")).items:
            if event["involvedObject"]["name"] == name:
                found.setdefault(event["reason"], []).append(event["message"])
        return found


def condition(pod: dict[str, Any], name: str) -> str | None:
    """The status of a condition."""
    conditions = pod["status"].get("conditions") or ()
    return next((c["status"] for c in conditions if c["type"] == name), None)


def container(pod: dict[str, Any], name: str = "c") -> dict[str, Any]:
    """The status of a container."""
    statuses = [*(pod["status"].get("containerStatuses") or ()), *(pod["status"].get("initContainerStatuses") or ())]
    return next((c for c in statuses if c["name"] == name), {})


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.fixture(scope="session")
def as_root(lacking: Callable[[str], None]) -> None:
    """For what only root may do: enter namespaces, mount, make device nodes."""
    if os.geteuid() != 0:
        lacking("needs root")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, as_root: None) -> Iterator[Machine]:
    state = State("nodetest", tmp_path_factory.mktemp("state"))
    state.make()
    sockets = ports.bind(dict.fromkeys(("http", "https", "api", "console"), 0), auto=True)
    numbers = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    settings = plan.settings(state, numbers)
    pki.ensure(state.pki, ["127.0.0.1", str(settings.bridge_ip), str(settings.api_vip)], ["localhost"])
    pki.write_kubeconfig(state.kubeconfig, state.pki, mesh=state.name, port=numbers["api"])
    fds = {name: sock.fileno() for name, sock in sockets.items()}
    # Nobody answers on the other ends: nothing in these tests goes out.
    channels = [host_sockets.channel() for _ in range(2)]
    doors = dict(zip(("relay", "node"), (theirs.fileno() for _, theirs in channels), strict=True))
    plan.write(state, settings, fds, doors)
    with (state.logs / "launcher.log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES,
             sys.executable, "-m", "plait.machine.init", str(state.plan)],
            pass_fds=(*fds.values(), *doors.values()), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
    for sock in (*sockets.values(), *(end for ends in channels for end in ends)):
        sock.close()
    made = Machine(state, process)
    yield made
    left = made.processes()
    for pid in children(process.pid):
        os.kill(pid, signal.SIGTERM)
    try:
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
async def cluster(machine: Machine) -> AsyncIterator[Cluster]:
    async with Client(Access.from_kubeconfig(machine.state.kubeconfig)) as client:
        made = Cluster(machine, client)

        async def registered() -> bool:
            node = await client.get(NODE, "plait")
            return any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in (node.get("status") or {}).get("conditions") or ()
            )

        await made.until("node Ready", registered)
        await made.until(
            "service account", lambda: client.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        )
        yield made
        for pod in (await client.list(POD, "default")).items:
            with contextlib.suppress(NotFound):
                await client.delete(POD, pod["metadata"]["name"], "default", grace_seconds=0)
