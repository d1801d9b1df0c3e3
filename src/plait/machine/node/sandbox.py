"""The namespaces of a pod: a pause process that holds them, and the pod's network.

Rules for capture are loaded before any link comes up, so no packet escapes them.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from plait.kit.aio.programs import communicate
from plait.machine.init.client import InitError
from plait.machine.init.protocol import Spawn
from plait.machine.node.record import PodRecord, pause_name
from plait.machine.settings import TOOLS

if TYPE_CHECKING:
    from plait.machine.node.processes import Processes

BRIDGE = "plait0"
#: So many pods get their network at a time: more would only make each other wait.
_AT_ONCE = 4


class SandboxError(Exception):
    """A pod's namespaces or network could not be made; says what and why."""


class Sandboxes:
    """Makes and ends sandboxes."""

    def __init__(self, processes: Processes, *, network: IPv4Network, gateway: IPv4Address) -> None:
        self._processes = processes
        self._network = network
        self._gateway = gateway
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hold(self, uid: str) -> int:
        """Start the pause process, or find it; its pid as the node sees it. Raises SandboxError."""
        name = pause_name(uid)
        if not self._processes.running(name):
            await self._processes.forget(name)
            try:
                await self._processes.spawn(Spawn(name=name, argv=_pause(), env={"PATH": TOOLS}, forks=True))
            except InitError as error:
                raise SandboxError(f"pause process: {error}") from error
        pid = await self._processes.inner_pid(name)
        if pid is None:
            raise SandboxError("pause process: it ended at once; `plait doctor` says which namespaces are not allowed")
        return pid

    async def connect(self, record: PodRecord, pause: int, *, folder: Path, hostname: str, rules: str) -> None:
        """Load `rules` (nft) and give the pod its address `record.ip`. Raises SandboxError."""
        if record.ip is None:
            raise SandboxError("no address")
        link = link_name(record.ip)
        (folder / "rules.nft").write_text(rules)
        (folder / "node.ip").write_text(
            f"link add {link} type veth peer name eth0 netns {pause}\nlink set {link} master {BRIDGE} up\n"
        )
        (folder / "pod.ip").write_text(
            f"addr add {record.ip}/{self._network.prefixlen} dev eth0\n"
            "link set lo up\nlink set eth0 up\n"
            f"route add default via {self._gateway}\n"
        )
        inside = (
            # The file belongs to the machine's root: in a user namespace only the system call is allowed.
            f"hostname {shlex.quote(hostname)} || echo {shlex.quote(hostname)} > /proc/sys/kernel/hostname; "
            # Ports below 1024 are anybody's, as in container runtimes. Where /proc/sys is read-only they are not.
            "{ echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; } 2>/dev/null; "
            f"nft -f {shlex.quote(str(folder / 'rules.nft'))} && ip -batch {shlex.quote(str(folder / 'pod.ip'))}"
        )
        outside = (
            # Left from an attempt that failed half-way.
            f"[ ! -e /sys/class/net/{link} ] || ip link del {link}; "
            f"ip -batch {shlex.quote(str(folder / 'node.ip'))} && "
            f"exec nsenter --target {pause} --net --uts sh -c {shlex.quote(inside)}"
        )
        async with self._turns:
            await _run(outside, "network")

    async def load(self, pause: int, rules: str) -> None:
        """Load a batch of nft in a pod's network namespace. Raises SandboxError."""
        async with self._turns:
            await _run(f"exec nsenter --target {pause} --net nft -f -", "rules", rules.encode())

    async def end(self, uid: str) -> None:
        """End everything in the pod: its pid namespace dies with the pause."""
        name = pause_name(uid)
        if self._processes.running(name):
            await self._processes.signal(name, signal.SIGKILL)
            await self._processes.end(name)
        await self._processes.forget(name)


def link_name(address: str) -> str:
    """The node's end of a pod's link: at most 15 characters, one per address."""
    return f"pl{int(IPv4Address(address)):08x}"


def _pause() -> tuple[str, ...]:
    # A plain sleep as PID 1 would collect zombies of what the containers leave behind.
    pause = ("catatonit", "-P") if shutil.which("catatonit", path=TOOLS) else None
    return (
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL",
        *(pause or ("env", "--ignore-signal=CHLD", "sleep", "infinity")),
    )  # fmt: skip


async def _run(script: str, what: str, stdin: bytes | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        script,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": TOOLS},
    )
    _, errors = await communicate(process, stdin)
    if process.returncode != 0:
        text = errors.decode("utf-8", "replace").strip() or f"exit code {process.returncode}"
        raise SandboxError(f"{what}: {text}")
