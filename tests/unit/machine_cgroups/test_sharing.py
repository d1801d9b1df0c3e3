"""Version 2 on the kernel itself: a group that holds processes, and one that holds nobody but plait.

With whatever controller there is in version 2; the rules are the same for all that are not threaded.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

#: Goes into a group, takes it as its own, and gives it back.
PROGRAM = """
import json, sys
from pathlib import Path
from plait.machine.cgroups.ground import Ground, Place
from plait.machine.cgroups.sharing import leave, share
own, controller = Path(sys.argv[1]), sys.argv[2]
(own / "cgroup.procs").write_text("0")
def tell(ground, **more):
    inside = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    refused = {name: why.problem for name, why in ground.refused.items()}
    children = sorted(each.name for each in own.iterdir() if each.is_dir())
    control = (own / "cgroup.subtree_control").read_text().split()
    print(json.dumps({"in": Path(inside).name, "refused": refused, "children": children, "control": control, **more}))
ground = share(Ground(prefix="plait-t", places={controller: Place(folder=str(own), version=2)}))
tell(ground)
tell(ground, done=leave(ground))
"""
#: Those to which "no internal processes" does not apply.
THREADED = {"cpu", "cpuset", "perf_event", "pids"}


def own_group() -> Path | None:
    """The group of version 2 that this runs in."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    point = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    return point / path.lstrip("/") if point and path else None


@pytest.fixture
def mine(lacking: Callable[[str], None]) -> Iterator[Path]:
    """The group that this runs in; whoever else runs these tests in it waits."""
    own = own_group()
    if own is None:
        lacking("no control groups of version 2 are mounted")
    held = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)
    yield own
    os.close(held)


@pytest.fixture
def group(mine: Path, lacking: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    """A group that takes processes and has a controller to share out: a child of the one this runs in."""
    own = mine
    shared = (own / "cgroup.subtree_control").read_text().split()
    there = [name for name in (own / "cgroup.controllers").read_text().split() if name not in THREADED]
    if not there:
        lacking(f"{own} has no controller that is not threaded")
    made, controller = own / f"plait-test-{uuid.uuid4().hex[:8]}", there[0]
    try:
        if controller not in shared:
            (own / "cgroup.subtree_control").write_text(f"+{controller}")
        made.mkdir()
    except OSError as error:
        lacking(f"{own} cannot have children with controllers: {error}")
    try:
        yield made, controller
    finally:
        with suppress(FileNotFoundError):
            made.rmdir()
        if controller not in shared:
            (own / "cgroup.subtree_control").write_text(f"-{controller}")


def take(group: Path, controller: str) -> list[dict[str, Any]]:
    """What the program says after taking the group, and after giving it back."""
    command = [sys.executable, "-c", PROGRAM, str(group), controller]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_plait_moves_itself_and_comes_back(group: tuple[Path, str]) -> None:
    own, controller = group
    taken, given = take(own, controller)
    assert taken == {"in": "plait-t.plait", "refused": {}, "children": ["plait-t.plait"], "control": [controller]}
    assert given == {"in": own.name, "refused": {}, "children": [], "control": [], "done": True}


def test_plait_moves_nobody_else(group: tuple[Path, str]) -> None:
    own, controller = group
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        (own / "cgroup.procs").write_text(str(other.pid))
        for told in take(own, controller):
            problem = f"{own} holds other processes (cat {other.pid}), so it may not share out controllers"
            assert told["refused"] == {controller: problem}
            assert (told["in"], told["children"], told["control"]) == (own.name, [], [])
        assert str(other.pid) in (own / "cgroup.procs").read_text().split()
    finally:
        other.communicate()


def test_a_controller_that_is_not_there_is_said(group: tuple[Path, str]) -> None:
    own, _ = group
    for told in take(own, "gravity"):
        assert told["refused"] == {"gravity": f"{own} has no controller gravity to share out"}
        assert (told["in"], told["children"]) == (own.name, [])


def test_what_another_mesh_uses_stays_shared_out(group: tuple[Path, str]) -> None:
    own, controller = group
    (own / "cgroup.subtree_control").write_text(f"+{controller}")
    other = own / "plait-other.pod"
    other.mkdir()
    program = """
import sys
from pathlib import Path
from plait.machine.cgroups.ground import Ground, Place
from plait.machine.cgroups.sharing import leave
own, controller = sys.argv[1:]
places = {controller: Place(folder=own, version=2)}
leave(Ground(prefix="plait-t", places=places, shared=(controller,)))
print(Path(own, "cgroup.subtree_control").read_text(), end="")
"""
    command = [sys.executable, "-c", program, str(own), controller]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [controller]
    finally:
        other.rmdir()
