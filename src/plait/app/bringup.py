"""Brings a mesh up, step by step, and takes it down again; every wait says what it waits for."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from plait.app import images, install, pki, pki_examination, plan, ports, rungs, store_copies, system
from plait.app.demos import Demo
from plait.app.readiness import BringUpError, NotReadyInTimeError, Report, Step, Waiter
from plait.app.rungs import Rung
from plait.app.state import State
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import ApiError, NotFound
from plait.kube.kinds import DEPLOYMENT
from plait.machine import host_sockets
from plait.machine.cgroups import claim, hierarchies, keeper, sharing
from plait.machine.cgroups.ground import Ground, prefix_of
from plait.machine.host_sockets import Reach
from plait.machine.images.table import Table

#: Seconds between two looks at something that cannot tell by itself (a socket that does not answer yet).
_LOOK = 0.05
_SHOWN_LINES = 15
#: Bytes of room below which no mesh is begun: its store, keys and logs take as much in the first minutes.
ROOM = 4 * 1024 * 1024
#: Seconds that large volumes may take to be deleted.
_WIPE = 300.0


def start(
    state: State,
    wanted: Mapping[str, int],
    *,
    auto: bool,
    rung: Rung,
    envoy: Path | None = None,
    outside: Reach = "network",
) -> int:
    """Start the launcher in the background; returns its pid.

    Raises PortTakenError, DamagedStoreError, DamagedKeysError, TableError, OSError, before anything is started.
    """
    # Pods have uids of their own, which must pass the folders of a mesh and read what is unpacked there. What others
    # must not read has a mode of its own.
    os.umask(0o022)
    store_copies.examine(state.store, state.command)
    pki_examination.examine(state.pki, state.command)
    sockets = ports.bind(wanted, auto=auto)
    actual = {name: listener.getsockname()[1] for name, listener in sockets.items()}
    state.make()
    examine_room(state.root, ROOM)
    machine = plan.settings(state, actual, envoy=envoy, outside=outside, rung=rung.name, ground=_ground(state))
    Table.load(images.ordered(map(Path, machine.image_tables), state.images))
    service = "kubernetes.default.svc"
    names = ["localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local"]
    pki.ensure(state.pki, ["127.0.0.1", str(machine.bridge_ip), str(machine.api_vip)], names)
    pki.write_kubeconfig(state.kubeconfig, state.pki, mesh=state.name, port=actual["api"])
    fds = {name: listener.fileno() for name, listener in sockets.items()}
    channels = {process: host_sockets.channel() for process in ("relay", "node")}
    kept = {process: ours.fileno() for process, (ours, _) in channels.items()}
    doors = {process: theirs.fileno() for process, (_, theirs) in channels.items()}
    plan.write(state, machine, fds, doors)
    passed = (*fds.values(), *doors.values())
    with (state.logs / "launcher.log").open("ab") as log:
        launcher = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "plait.app.launcher",
                str(state.plan),
                *map(str, passed),
                "--",
                *map(str, kept.values()),
            ],
            pass_fds=(*passed, *kept.values()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    # The launcher goes on after this process: nobody waits for it here.
    launcher.returncode = 0
    until_known(launcher.pid)
    try:
        state.pid_file.write_text(f"{launcher.pid}\n")
    except OSError:
        # Nobody would find it again.
        os.kill(launcher.pid, signal.SIGKILL)
        raise
    for opened in (*sockets.values(), *(end for ends in channels.values() for end in ends)):
        opened.close()
    return launcher.pid


def examine_room(folder: Path, least: int) -> None:
    """Raise OSError where the folder's file system has fewer bytes left: a mesh that ends then cannot log why."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < least:
        words = f"{free // 1024} KiB are left, and a mesh begins with {least // 1024} KiB"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {words}")


def until_known(pid: int) -> None:
    """Wait until a process that was just started can be told by its command line (see `State.launcher_pid`).

    It is empty until the kernel has loaded the program, which is after `Popen` has returned: whoever looked then would
    take the mesh for one that is not running.
    """
    process = Path("/proc", str(pid))
    with suppress(OSError):  # it has ended
        while not (process / "cmdline").read_bytes() and (process / "exe").exists():
            time.sleep(0.001)


async def until_ready(
    state: State, launcher: int, *, demo: Demo | None, seconds: float, report: Report, egress: bool = False
) -> None:
    """Wait for the API, install the control plane, then the demo, and wait until all of it is ready.

    `egress` asks for an egress gateway too. Raises BringUpError, with the last lines of the log concerned, as soon as
    the launcher ends.
    """
    work = asyncio.create_task(_install(state, demo, seconds, report, egress=egress), name="bring up")
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
    """End the mesh; returns False if it was not running. After `grace` seconds it is killed, and that is told."""
    pid = state.launcher_pid()
    if pid is None:
        return False
    report(Step("stopping", "applications get SIGTERM and up to 10 s"))
    os.kill(pid, signal.SIGTERM)
    outcome = "stopped"
    try:
        async with asyncio.timeout(grace):
            await ended(pid)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        state.pid_file.unlink(missing_ok=True)
        state.init_socket.unlink(missing_ok=True)
        outcome = f"killed: it had not stopped after {grace:g} s"
    report(Step("stopping", outcome, done=True))
    return True


def sweep(state: State) -> None:
    """Remove control groups of a mesh that has ended in a way that left some."""
    keeper.clear(state.ground())


def _ground(state: State) -> Ground:
    """Where the mesh may make control groups, tried; what any of its earlier starts left is removed first.

    Each start has a word of its own: the keeper of one that was killed just now must not touch those of the next.
    """
    word = prefix_of(state.root)
    sharing.leave(replace(state.ground(), prefix=word))
    return claim.claim(hierarchies.find(f"{word}.{secrets.token_hex(2)}"))


def wipe(state: State) -> None:
    """Delete the state folder. Raises OSError.

    On some rungs volumes belong to uids that only root in a user namespace like the mesh's may touch.
    """
    if state.rung() != "root":
        with suppress(rungs.RungError):  # the rung is gone; perhaps there is nothing of others' in there
            rungs.run(rungs.of(state.rung()), ("rm", "-rf", "--", str(state.root)), seconds=_WIPE)
    # Deletes what is left, or says why it cannot.
    if state.root.exists():
        shutil.rmtree(state.root)


async def _system(client: Client, state: State, *, egress: bool) -> list[dict[str, Any]]:
    """What is to be installed: an egress gateway that is there already is kept up to date."""
    objects = system.manifests(state.ports())
    if not egress:
        try:
            await client.get(DEPLOYMENT, system.EGRESS, system.NAMESPACE)
        except NotFound:
            return objects
    return [*objects, *system.egress_manifests()]


async def _install(state: State, demo: Demo | None, seconds: float, report: Report, *, egress: bool) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    report(Step("Kubernetes API", "starting"))
    access = Access.from_kubeconfig(state.kubeconfig)
    async with Client(access, user_agent="plait") as client:
        await _answers(client, state, deadline)
        report(Step("Kubernetes API", access.server, done=True))
        await install.bring_up_to_date(client, await _system(client, state, egress=egress))
        waiter = Waiter(client, deadline, report)
        try:
            await waiter.node(state.boot())
        except NotReadyInTimeError as error:
            raise NotReadyInTimeError(f"{error}\n{tail(state.logs / 'node.log')}") from error
        await waiter.deployments(system.NAMESPACE, "control plane")
        if demo is not None:
            report(Step(demo.name, "applying manifests"))
            await install.add_missing(client, [system.mesh_settings(access_log_file="/dev/stdout")])
            await install.add_missing(client, install.read_manifests(demo.manifests()))
            await waiter.deployments(demo.namespace, demo.name)
        try:
            store_copies.keep_copy(state.store)
        except (OSError, sqlite3.Error) as error:
            # The mesh runs all the same; the copy of the last good start stays.
            report(Step("copy of the store", f"not made: {error}", done=True))


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


def tail(path: Path) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        text = path.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
    except OSError as error:
        return f"  ({path}: {error.strerror})"
    return "\n".join(f"  {line}" for line in text)
