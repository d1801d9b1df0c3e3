"""A mesh's life as its owner sees it: up, up again, killed, down, up, gone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import until

pytestmark = pytest.mark.system


def stat(pid: int) -> list[str]:
    """The fields of a process from its state on; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def below(pid: int) -> set[int]:
    """The process and all its descendants."""
    parents = {each: int(fields[1]) for each in everyone() if (fields := stat(each))}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def network_namespaces(pids: set[int]) -> set[str]:
    """The network namespaces that processes are in."""
    found = set()
    for pid in pids:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
        except OSError:
            continue
    return found


def listeners() -> set[str]:
    """The sockets that listen on addresses of the machine's own namespace, by their inodes.

    By these and not by their ports: a port that one mesh has given back is soon another's.
    """
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return {row[9] for row in rows if row[3] == "0A"}


def listening(pids: set[int]) -> set[str]:
    """The listeners that processes hold."""
    found = set()
    for pid in pids:
        try:
            found |= {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:
            continue
    return {inode for inode in listeners() if f"socket:[{inode}]" in found}


def everyone() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


class Footprint:
    """What a mesh has on this machine at some moment: told by what nobody else gets afterwards.

    A number of a process may be another's a minute later, so its start counts too. The kernel gives the number of a
    namespace to the next one that anybody makes, another mesh for example; namespaces are held open, so that their
    numbers stay theirs.
    """

    def __init__(self, launcher: int, state: Path) -> None:
        self.state = state
        pids = below(launcher)
        self.begun = {pid: fields[19] for pid in pids if (fields := stat(pid))}
        self.sockets = listening(pids)
        own = network_namespaces({os.getpid()})
        self.held: dict[str, int] = {}
        for pid in pids:
            try:
                holder = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            except OSError:
                continue
            name = f"net:[{os.fstat(holder).st_ino}]"
            if name in own or name in self.held:
                os.close(holder)
            else:
                self.held[name] = holder

    def left(self) -> str:
        """What is left of it; empty when nothing is. A zombie that its parent has not collected yet is nothing."""
        found = (pid for pid, begun in self.begun.items() if (fields := stat(pid)) and fields[19] == begun
                 and fields[0] not in {"Z", "X"})  # fmt: skip
        if processes := sorted(found):
            return f"processes {processes}"
        if namespaces := network_namespaces(everyone()) & self.held.keys():
            return f"network namespaces {sorted(namespaces)}"
        if sockets := listeners() & self.sockets:
            return f"listening sockets {sorted(sockets)}"
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.state) in line]
        return f"mounts {mounts}" if mounts else ""


@contextmanager
def footprint(launcher: int, state: Path) -> Iterator[Footprint]:
    """Of the mesh with this launcher and this state folder, as it is now."""
    found = Footprint(launcher, state)
    try:
        yield found
    finally:
        for holder in found.held.values():
            os.close(holder)


@pytest.fixture(scope="module")
def up(mesh):
    mesh.plait("up", "--ports", "auto")
    return mesh


@pytest.fixture
def running(up):
    """The mesh, up whatever the test before did to it."""
    up.plait("up", "--ports", "auto")
    return up


def resource_versions(mesh) -> dict[str, str]:
    found = {}
    for kind in ("deployments", "services", "serviceaccounts", "pods", "namespaces"):
        for obj in mesh.get(kind, "-A")["items"]:
            found[f"{kind} {obj['metadata'].get('namespace')}/{obj['metadata']['name']}"] = obj["metadata"][
                "uid"
            ] + str(obj["metadata"].get("generation"))
    return found


def test_status_names_what_runs(running) -> None:
    status = running.status()
    assert status["ready"] is True
    assert {"http", "https", "api", "console"} <= set(status["ports"])
    names = {process["name"] for process in status["processes"]}
    assert {"launcher", "init", "api", "node", "relay", "agent"} <= names
    assert any(name.startswith("pod/istio-system/istiod-") for name in names)
    assert all(Path(f"/proc/{process['pid']}").exists() for process in status["processes"])
    until("its gateway has all there is", lambda: running.status()["proxies"] == {"total": 1, "synced": 1})


def test_a_second_up_changes_nothing(running) -> None:
    before, processes = resource_versions(running), running.status()["processes"]
    done = running.plait("up")
    assert "export KUBECONFIG=" in done.stdout
    assert resource_versions(running) == before
    assert running.status()["processes"] == processes


def test_a_mesh_of_a_version_without_an_agent_is_told_that_it_has_none(running) -> None:
    plan = running.state / "plan.json"
    kept = plan.read_text()
    told = "started by a version of plait without an agent"
    assert told not in running.plait("status").stdout
    try:
        plan.write_text(json.dumps({**json.loads(kept), "settings": {**json.loads(kept)["settings"], "agent": False}}))
        assert told in running.plait("status").stdout
        assert told in running.plait("up").stderr
    finally:
        plan.write_text(kept)


@pytest.mark.parametrize(("option", "value"), [("--outside", "off"), ("--envoy", "/bin/true")])
def test_what_cannot_be_changed_while_the_mesh_runs_is_refused(running, option: str, value: str) -> None:
    done = running.plait("up", option, value, code=1)
    assert f"plait --name {running.name} down, then up again" in done.stderr


def test_commands_at_the_same_moment_start_one_mesh_and_end_it(running) -> None:
    running.plait("down", "--wipe")
    for command in (("up", "--ports", "auto"), ("down",)):
        with ThreadPoolExecutor() as pool:
            done = list(pool.map(lambda _, words=command: running.plait(*words), range(2)))
        assert all(each.returncode == 0 for each in done)
        assert not any("not made" in each.stderr for each in done)
    assert running.status()["processes"] == []


def test_kubeconfig_path_is_only_the_path(running) -> None:
    assert running.plait("kubeconfig", "--path").stdout == f"{running.state / 'kubeconfig'}\n"
    assert running.kubectl("config", "current-context").stdout.strip() == f"plait-{running.name}"
    assert (running.state / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_without_the_token_nobody_comes_in(running) -> None:
    port = running.status()["ports"]["api"]
    done = running.kubectl("get", "pods", "--server", f"https://127.0.0.1:{port}", "--token", "wrong", code=None)
    assert done.returncode != 0
    assert "Unauthorized" in done.stderr or "logged in" in done.stderr


def test_the_api_server_runs_as_nobody_in_particular(running) -> None:
    pid = next(process["pid"] for process in running.status()["processes"] if process["name"] == "api")
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["CapPrm"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize("victim", ["launcher", "init"])
def test_after_sigkill_of_the_first_processes_nothing_is_left(running, victim: str) -> None:
    status = running.status()
    first = {process["name"]: process["pid"] for process in status["processes"]}
    with footprint(first["launcher"], running.state) as of:
        assert len(of.held) >= 3
        assert of.sockets
        os.kill(first[victim], signal.SIGKILL)
        until("nothing is left", lambda: not of.left())
    assert running.plait("status", code=3)
    if victim == "init":
        last = (running.state / "logs" / "launcher.log").read_text().splitlines()[-1]
        assert "init, the first of its processes, was killed" in last
        assert "plait --name t-lifecycle up starts the mesh again" in last


def test_down_and_up_bring_the_objects_back(running) -> None:
    running.kubectl("create", "namespace", "kept", "--dry-run=client", "-o", "yaml")
    running.kubectl("delete", "namespace", "kept", "--ignore-not-found", "--wait")
    running.kubectl("create", "namespace", "kept")
    running.kubectl("create", "configmap", "-n", "kept", "a", "--from-literal=k=v")
    status = running.status()
    (launcher,) = (process["pid"] for process in status["processes"] if process["name"] == "launcher")
    with footprint(launcher, running.state) as of:
        running.plait("down")
        assert not of.left()
    # All that was written is in the store itself.
    assert {file.name for file in running.state.glob("store.db*")} == {"store.db", "store.db.copy"}
    assert running.plait("status", code=3)
    running.plait("up", "--ports", "auto")
    assert running.get("configmap", "-n", "kept", "a")["data"] == {"k": "v"}
    assert running.status()["ready"] is True


def test_a_taken_port_is_said_with_the_way_out(running) -> None:
    taken = running.status()["ports"]["http"]
    done = running.plait("--name", "other", "up", "--port", f"http={taken}", code=1)
    assert f"127.0.0.1:{taken}" in done.stderr
    assert "--ports auto" in done.stderr


@pytest.mark.parametrize("process", ["api", "node"])
def test_a_killed_process_comes_back_and_pods_do_not_notice(running, process: str) -> None:
    def pid_of(name: str) -> int | None:
        return next((p["pid"] for p in running.status()["processes"] if p["name"] == name), None)

    pods = {pod["metadata"]["uid"] for pod in running.get("pods", "-A")["items"]}
    containers = {p["pid"] for p in running.status()["processes"] if p["name"].startswith("pod/")}
    before = pid_of(process)
    os.kill(before, signal.SIGKILL)
    until("it is started again", lambda: (now := pid_of(process)) and now != before)
    until("the mesh is ready", lambda: running.status()["ready"])
    assert {pod["metadata"]["uid"] for pod in running.get("pods", "-A")["items"]} == pods
    assert {p["pid"] for p in running.status()["processes"] if p["name"].startswith("pod/")} == containers
