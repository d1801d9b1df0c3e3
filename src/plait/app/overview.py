"""What runs: the launcher's processes as the host sees them, and how far the proxies are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from plait.app.readiness import pod_ready
from plait.app.state import State
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import AccessError, ApiError
from plait.kube.kinds import POD, SERVICE
from plait.kube.portforward import port_forward
from plait.machine.init.client import InitClient, InitError
from plait.machine.services.hostports import NODE_PORTS_OPEN
from plait.proxy.admin import Admin, AdminError

SYNCZ_PORT = 15014

Overview = dict[str, Any]


def without_agent(state: State) -> str:
    """What is told of a mesh whose init is of before the agent: it goes on with the processes it was started with."""
    return (
        "this mesh was started by a version of plait without an agent: its proxies get no certificates, and speak "
        f"plain text to each other; {state.command} down, then {state.command} up"
    )


async def overview(state: State) -> Overview:
    """The value of `plait status -o json`: name, ready, urls, ports, processes, proxies; and what there is to tell:
    `problem`, `closed` (Services with node ports that are not open on this machine).
    """
    ports = state.ports()
    launcher = state.launcher_pid()
    result: Overview = {
        "name": state.name,
        "ready": False,
        "urls": urls(ports) if launcher else {},
        "ports": ports if launcher else {},
        "processes": [],
        "proxies": {"total": 0, "synced": 0},
    }
    if launcher is None:
        return result
    try:
        async with Client(Access.from_kubeconfig(state.kubeconfig), user_agent="plait") as client:
            pods = (await client.list(POD)).items
            unready = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods if not _ready(pod)]
            result["ready"] = bool(pods) and not unready
            if unready:
                result["problem"] = _waiting_for(unready)
            elif not state.agent():
                result["problem"] = without_agent(state)
            if closed := await _closed_ports(client):
                result["closed"] = closed
            result["processes"] = await processes(state, launcher, pods)
            result["proxies"] = await _proxies(client, pods)
    except (AccessError, ApiError, AdminError) as error:
        result["problem"] = str(error)
        # Where only istiod does not answer, the pods that processes belong to are known.
        result["processes"] = result["processes"] or await processes(state, launcher, [])
    return result


async def closed_ports(state: State) -> list[str]:
    """Of each Service with node ports that are not open on this machine: which, and why. None if the mesh has gone."""
    try:
        async with Client(Access.from_kubeconfig(state.kubeconfig), user_agent="plait") as client:
            return await _closed_ports(client)
    except (AccessError, ApiError):
        return []


async def _closed_ports(client: Client) -> list[str]:
    return [
        f"Service {service['metadata']['namespace']}/{service['metadata']['name']}: {condition.get('message', '')}"
        for service in (await client.list(SERVICE)).items
        for condition in (service.get("status") or {}).get("conditions") or ()
        if (condition.get("type"), condition.get("status")) == (NODE_PORTS_OPEN, "False")
    ]


def _waiting_for(pods: list[str]) -> str:
    """At most five of them by name."""
    more = f" and {len(pods) - 5} more" if len(pods) > 5 else ""
    return f"not ready: pod {', '.join(pods[:5])}{more}"


def urls(ports: dict[str, int]) -> dict[str, str]:
    """Addresses a person opens."""
    return {
        "ingress": f"http://127.0.0.1:{ports['http']}",
        "api": f"https://127.0.0.1:{ports['api']}",
    }


async def processes(state: State, launcher: int, pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Launcher, init, what init started, and what runs in the pods, with host pids.

    A container's name is `pod/NAMESPACE/POD/CONTAINER`.
    """
    found = [{"name": "launcher", "pid": launcher}]
    below = _descendants(launcher)
    init = next((pid for pid in below if _namespace_pids(pid)[1:] == [1]), None)
    if init is None:
        return found
    found.append({"name": "init", "pid": init})
    names = {pod["metadata"]["uid"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods}
    try:
        async with InitClient(state.init_socket) as client:
            records = await client.processes()
    except (OSError, InitError):
        return found
    host = {inside[1]: pid for pid in below if len(inside := _namespace_pids(pid)) > 1}
    for record in records:
        pid = host.get(record.inner_pid or record.pid)
        if record.state != "running" or pid is None:
            continue
        found.append({"name": _process_name(record.name, names), "pid": pid})
    listed = {entry["pid"] for entry in found}
    # Children that a container made itself, for example istiod's delivery process.
    for entry in list(found):
        if str(entry["name"]).startswith("pod/") and not str(entry["name"]).endswith("/pause"):
            for child in _descendants(int(str(entry["pid"]))):
                if child not in listed and (name := _module(child)):
                    listed.add(child)
                    found.append({"name": f"{entry['name']}/{name}", "pid": child})
    return found


def _process_name(record: str, names: dict[str, str]) -> str:
    parts = record.split("/")
    if parts[0] != "pod" or len(parts) < 3:
        return record
    return f"pod/{names.get(parts[1], parts[1])}/{parts[2]}"


def _module(pid: int) -> str:
    """What a process is, in a word; empty once it has ended."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    if "-m" in arguments:
        module, *roles = arguments[arguments.index("-m") + 1 :]
        role = roles[0] if roles and roles[0].isalpha() else ""
        return role or module.rpartition(".")[2]
    return os.path.basename(arguments[0])  # noqa: PTH119 -- argv[0] is a word, not a path of this process


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _namespace_pids(pid: int) -> list[int]:
    """The process's pids from the host's PID namespace inwards."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    except OSError:
        return []
    return []


def _ready(pod: dict[str, Any]) -> bool:
    return pod_ready(pod) or (pod.get("status") or {}).get("phase") == "Succeeded"


async def _proxies(client: Client, pods: list[dict[str, Any]]) -> dict[str, int]:
    istiod = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == "istio-system"
        and (pod["metadata"].get("labels") or {}).get("app") == "istiod"
        and _ready(pod)
    ]
    if not istiod:
        return {"total": 0, "synced": 0}
    namespace, name = (istiod[0]["metadata"][key] for key in ("namespace", "name"))
    debug = Admin(lambda: port_forward(client, namespace, name, SYNCZ_PORT), name=f"pod {name}", timeout=10.0)
    proxies = json.loads(await debug.get("/debug/syncz"))
    return {"total": len(proxies), "synced": sum(1 for proxy in proxies if _synced(proxy))}


def _synced(proxy: dict[str, Any]) -> bool:
    """Whether a proxy acknowledged all it was sent; a gateway without Gateways is sent no listeners."""
    states = {name: each["status"] for name, each in proxy["plait"]["types"].items()}
    # One that has just connected has asked for nothing yet.
    return states.get("cds") == "SYNCED" and set(states.values()) <= {"SYNCED", "NOT SENT"}
