"""Limits of containers, by the kernel's control groups: who goes over memory is killed, who goes over CPU waits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait.machine.cgroups import hierarchies
from plait.machine.cgroups.ground import Ground, prefix_of

from .conftest import BIN, Mesh, until
from .manifests import listed, pod

pytestmark = pytest.mark.system

GREEDY = "x = bytearray(200 << 20); print(len(x))"
BUSY = "while True: pass"
#: What the kernel counts in a group, in both versions.
THROTTLED = "nr_throttled"


def limited(name: str, program: str, limits: dict[str, str], **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "resources": {"limits": limits}}
    return pod(name, "default", "python", "-uc", program, container=container, **spec)


PODS = (
    limited("greedy", GREEDY, {"memory": "64Mi"}),
    limited("once", GREEDY, {"memory": "64Mi"}, restartPolicy="Never"),
    limited("busy", BUSY, {"cpu": "200m"}),
    limited("modest", "import time; time.sleep(100000)", {"memory": "64Mi", "cpu": "500m"}),
    limited("meshed", "import time; time.sleep(100000)", {}),
    limited("free", "import time; time.sleep(100000)", {}),
)


PODS[-2]["metadata"].update(
    labels={"sidecar.istio.io/inject": "true"},
    annotations={"sidecar.istio.io/proxyCPULimit": "500m", "sidecar.istio.io/proxyMemoryLimit": "96Mi"},
)


@pytest.fixture(scope="module")
def up(mesh: Mesh, lacking: Callable[[str], None]) -> Mesh:
    said = mesh.plait("doctor").stdout
    if "limits: memory by" not in said or "cannot be limited" in said:
        lacking(f"control groups cannot be made here:\n{said}")
    mesh.plait("up", "--ports", "auto")
    return mesh


@pytest.fixture
def running(up: Mesh) -> Mesh:
    """The mesh with its pods, whatever the test before did to it."""
    up.plait("up", "--ports", "auto")
    up.kubectl("apply", "-f", "-", given=listed(*PODS))
    up.kubectl("wait", "pod/modest", "pod/free", "pod/busy", "--for=condition=Ready", "--timeout=180s")
    return up


def ground(mesh: Mesh) -> Ground:
    """Where the mesh's groups are: it was started from where this runs."""
    return hierarchies.find(prefix_of(mesh.state))


def groups(mesh: Mesh, pod: str = "") -> list[Path]:
    """The groups of the mesh, or of one of its pods, that there are."""
    uid = mesh.get("pod", pod)["metadata"]["uid"] if pod else ""
    found = ground(mesh)
    pattern = f"{found.prefix}.*.{uid}.*" if uid else f"{found.prefix}.*"
    return [group for folder in found.folders for group in folder.glob(pattern)]


def container(mesh: Mesh, name: str) -> dict[str, Any]:
    return (mesh.get("pod", name)["status"].get("containerStatuses") or [{}])[0]


def keeper(launcher: int) -> int | None:
    """The process that removes the groups."""
    for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        with contextlib.suppress(OSError):  # one that has just ended
            if Path(f"/proc/{pid}/comm").read_text() == "plait-keeper\n":
                return int(pid)
    return None


def launcher(mesh: Mesh) -> int:
    return next(process["pid"] for process in mesh.status()["processes"] if process["name"] == "launcher")


def test_over_its_memory_limit_a_container_is_killed_and_started_again(running: Mesh) -> None:
    until("a second start", lambda: container(running, "greedy").get("restartCount", 0) >= 1)
    last = container(running, "greedy")["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    told = running.kubectl("describe", "pod", "greedy").stdout
    assert "OOMKilled" in told.partition("Last State:")[2]
    assert "memory:  64Mi" in told.partition("Limits:")[2]
    reached = "Container app reached its memory limit of 64Mi"
    until("an Event", lambda: reached in running.kubectl("describe", "pod", "greedy").stdout)


def test_a_container_that_is_not_started_again_says_why_it_failed(running: Mesh) -> None:
    until("it has failed", lambda: running.get("pod", "once")["status"]["phase"] == "Failed")
    ended = container(running, "once")["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    until("its group has gone", lambda: not groups(running, "once"))


def test_a_cpu_limit_makes_it_wait(running: Mesh) -> None:
    (group,) = groups(running, "busy")

    def throttled() -> bool:
        counters = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        return int(counters[THROTTLED]) > 0

    until("the kernel has made it wait", throttled)
    quota = (group / "cpu.cfs_quota_us").read_text() if ground(running).places["cpu"].version == 1 else ""
    assert quota.strip() in {"20000", ""}


def test_what_is_started_beside_is_limited_too_and_others_are_not(running: Mesh) -> None:
    look = ("--", "cat", "/proc/self/cgroup")
    prefix = ground(running).prefix
    assert running.kubectl("exec", "modest", *look).stdout.count(prefix) >= 1
    assert prefix not in running.kubectl("exec", "free", *look).stdout
    assert groups(running, "free") == []
    running.kubectl("exec", "modest", "--", "python", "-c", GREEDY, code=137)
    running.kubectl("exec", "free", "--", "python", "-c", GREEDY)


def test_a_sidecar_has_the_limits_of_its_annotations(running: Mesh) -> None:
    running.kubectl("wait", "pod/meshed", "--for=condition=Ready", "--timeout=180s")
    found = groups(running, "meshed")
    assert {group.name.split(".")[3] for group in found} == {"istio-proxy"}
    written = [
        (group / file).read_text().split()[0]
        for group in found
        for file in ("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max")
        if (group / file).exists()
    ]
    assert sorted(written) == ["100663296", "50000"]


def test_limits_that_hold_are_no_warning(running: Mesh) -> None:
    quiet = limited("quiet", BUSY, {"memory": "64Mi", "cpu": "1"})
    done = running.kubectl("create", "-f", "-", given=json.dumps(quiet))
    assert "Warning" not in done.stderr
    running.kubectl("delete", "pod", "quiet")


def test_groups_go_with_their_pod(running: Mesh) -> None:
    mine = groups(running, "modest")
    assert mine
    running.kubectl("delete", "pod", "modest")
    until("they are gone", lambda: not [group for group in mine if group.exists()])


def test_down_leaves_no_group(running: Mesh) -> None:
    assert groups(running)
    running.plait("down")
    assert groups(running) == []


@pytest.mark.parametrize("victim", ["launcher", "init", "keeper"])
def test_no_group_is_left_whoever_is_killed(running: Mesh, victim: str) -> None:
    """A keeper that is killed is replaced, and its successor is as good."""
    pids = {process["name"]: process["pid"] for process in running.status()["processes"]}
    first = keeper(pids["launcher"])
    assert first is not None
    assert groups(running)
    if victim == "keeper":
        os.kill(first, signal.SIGKILL)
        until("another keeper", lambda: keeper(pids["launcher"]) not in {None, first})
        victim = "launcher"
    os.kill(pids[victim], signal.SIGKILL)
    until("no group is left", lambda: not groups(running))


def test_what_is_left_when_all_are_killed_goes_at_the_next_start(running: Mesh) -> None:
    first = launcher(running)
    keeping = keeper(first)
    assert keeping is not None
    os.kill(first, signal.SIGSTOP)  # or it would replace its keeper
    left = groups(running)
    for pid in (keeping, first):
        os.kill(pid, signal.SIGKILL)
    assert left
    running.plait("up", "--ports", "auto")
    assert not [group for group in left if group.exists()]


SHUT = """
for folder in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do mount -o remount,bind,ro $folder; done
exec "$@"
"""


def test_where_groups_may_not_be_made_doctor_says_why(tmp_path: Path, lacking: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        lacking("only root can mount control groups read-only")
    command = ("unshare", "--mount", "sh", "-c", SHUT, "sh", str(BIN / "plait"), "doctor")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    line = next(line for line in done.stdout.splitlines() if "limits:" in line)
    assert line.startswith("! limits: ")
    assert "cannot be limited: " in line
    assert "is mounted read-only" in line
    assert "fix: mount them to be written, as root: mount -o remount,rw /" in done.stdout
