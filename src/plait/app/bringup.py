"""Brings a mesh up, step by step, and takes it down again; every wait says what it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from plait.app import install, pki, plan, ports, system
from plait.app.demos import Demo
from plait.app.readiness import BringUpError, NotReadyInTimeError, Report, Step, Waiter
from plait.app.state import State
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import ApiError

#: Seconds between two looks at something that cannot tell by itself (a socket that does not answer yet).
_LOOK = 0.05


def start(state: State, wanted: Mapping[str, int], *, auto: bool, envoy: Path | None = None) -> int:
    """Start the launcher in the background; returns its pid. Raises PortTakenError."""
    sockets = ports.bind(wanted, auto=auto)
    actual = {name: listener.getsockname()[1] for name, listener in sockets.items()}
    state.make()
    machine = plan.settings(state, actual, envoy=envoy)
    service = "kubernetes.default.svc"
    names = ["localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local"]
    pki.ensure(state.pki, ["127.0.0.1", str(machine.bridge_ip), str(machine.api_vip)], names)
    pki.write_kubeconfig(state.kubeconfig, state.pki, mesh=state.name, port=actual["api"])
    fds = {name: listener.fileno() for name, listener in sockets.items()}
    plan.write(state, machine, fds)
    with (state.logs / "launcher.log").open("ab") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "plait.app.launcher", str(state.plan), *map(str, fds.values())],
            pass_fds=tuple(fds.values()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    # The launcher goes on after this process: nobody waits for it here.
    launcher.returncode = 0
    state.pid_file.write_text(f"{launcher.pid}\n")
    for listener in sockets.values():
        listener.close()
    return launcher.pid


async def until_ready(state: State, launcher: int, *, demo: Demo | None, seconds: float, report: Report) -> None:
    """Wait for the API, install the control plane, then the demo, and wait until all of it is ready.

    Raises BringUpError, with the last lines of the log concerned, as soon as the launcher ends.
    """
    work = asyncio.create_task(_install(state, demo, seconds, report), name="bring up")
    death = asyncio.create_task(ended(launcher), name="launcher's end")
    try:
        await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise BringUpError(f"the mesh ended while it was starting:\n{tail(state.logs / 'launcher.log')}")
        await work
    finally:
        work.cancel()
        death.cancel()
        await asyncio.gather(work, death, return_exceptions=True)


async def ended(pid: int) -> None:
    """Return when the process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def stop(state: State, *, grace: float, report: Report) -> bool:
    """End the mesh; returns False if it was not running. After `grace` seconds it is killed."""
    pid = state.launcher_pid()
    if pid is None:
        return False
    report(Step("stopping", "applications get SIGTERM and up to 10 s"))
    os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await ended(pid)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        state.pid_file.unlink(missing_ok=True)
        state.init_socket.unlink(missing_ok=True)
    report(Step("stopping", "stopped", done=True))
    return True


async def _install(state: State, demo: Demo | None, seconds: float, report: Report) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    report(Step("Kubernetes API", "starting"))
    access = Access.from_kubeconfig(state.kubeconfig)
    async with Client(access, user_agent="plait") as client:
        await _answers(client, state, deadline)
        report(Step("Kubernetes API", access.server, done=True))
        await install.bring_up_to_date(client, system.manifests(state.ports()))
        waiter = Waiter(client, deadline, report)
        await waiter.node(state.boot())
        await waiter.deployments(system.NAMESPACE, "control plane")
        if demo is not None:
            report(Step(demo.name, "applying manifests"))
            await install.add_missing(client, [system.mesh_settings(access_log_file="/dev/stdout")])
            await install.add_missing(client, install.read_manifests(demo.manifests()))
            await waiter.deployments(demo.namespace, demo.name)


async def _answers(client: Client, state: State, deadline: float) -> None:
    while True:
        try:
            await client.request("GET", "/readyz")
        except ApiError as error:
            if asyncio.get_running_loop().time() > deadline:
                log = tail(state.logs / "api.log")
                raise NotReadyInTimeError(f"the API server does not answer: {error}\n{log}") from error
            await asyncio.sleep(_LOOK)
        else:
            return


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError as error:
        return f"  ({path}: {error.strerror})"
    return "\n".join(f"  {line}" for line in text)
