"""A real API server of the machine in a process and a folder of its own, for benchmarks.

python benchmarks/api_server.py FOLDER    serves on a free port of loopback, which it prints
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from plait.app import pki
from plait.app.admission import Rules
from plait.inject import convert_workload
from plait.kube.access import Access
from plait.machine.api.schema import load_schemas
from plait.machine.api.server import serve
from plait.machine.api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running one: how an administrator reaches it, and its process id."""

    access: Access
    pid: int


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    """Serve from an empty store until the block ends; the folder is removed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pki.ensure(folder, ["127.0.0.1"], ["localhost"])
        command = (sys.executable, __file__, name)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(60):
                port = int(await process.stdout.readline())
            certificate, token = (folder / "ca.crt").read_text(), pki.token(folder, "admin")
            yield ApiServer(Access(server=f"https://127.0.0.1:{port}", ca=certificate, token=token), process.pid)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def main() -> None:
    """Serve until killed."""
    folder = Path(sys.argv[1])
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    settings = ApiSettings(
        sockets=(listening,),
        certificate=folder / "server.crt",
        key=folder / "server.key",
        ca=folder / "ca.crt",
        tokens=folder / "tokens.json",
        account_key=folder / "sa.key",
        store=folder / "store.db",
        node_socket=folder / "node.sock",
        service_network=IPv4Network("10.42.128.0/17"),
        api_vip=IPv4Address("10.42.128.1"),
        address=(IPv4Address("10.42.0.1"), 6443),
        version="0.0.0",
    )
    port = listening.getsockname()[1]
    asyncio.run(
        serve(
            settings,
            schemas=load_schemas(),
            admission=Rules(),
            convert=convert_workload,
            started=lambda: print(port, flush=True),
        )
    )


if __name__ == "__main__":
    main()
