"""Where the own group is, on machines as they are: the lines are those of real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.machine.cgroups.ground import Ground, Place
from plait.machine.cgroups.hierarchies import find

#: systemd with both versions: controllers in 1, `unified` has none.
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID_OWN = "9:name=systemd:/user.slice\n4:memory:/one/two\n2:cpu,cpuacct:/\n0::/user.slice\n"
UNIFIED = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
SCOPE = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope\n"
#: A container that sees its own part of the hierarchies of the machine.
DOCKER = """\
9 8 0:1 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
10 8 0:2 /docker/1f /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
"""


def found(tmp_path: Path, mounts: str, own: str) -> Ground:
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cgroup").write_text(own)
    return find("plait-x", proc=tmp_path)


@pytest.mark.parametrize(
    ("mounts", "own", "memory", "cpu"),
    [
        (HYBRID, HYBRID_OWN, ("/sys/fs/cgroup/memory/one/two", 1), ("/sys/fs/cgroup/cpu,cpuacct", 1)),
        (UNIFIED, "0::/\n", ("/sys/fs/cgroup", 2), ("/sys/fs/cgroup", 2)),
        (UNIFIED, SCOPE, *[(f"/sys/fs/cgroup{SCOPE[3:-1]}", 2)] * 2),
        # Memory was given to version 1 alone.
        (
            HYBRID.replace("/sys/fs/cgroup/cpu,cpuacct", "/gone").replace("cgroup cgroup rw,cpu,cpuacct", "tmpfs t rw"),
            "4:memory:/\n0::/a\n",
            ("/sys/fs/cgroup/memory", 1),
            ("/sys/fs/cgroup/unified/a", 2),
        ),
        (
            DOCKER,
            "4:memory:/docker/1f\n3:cpu:/docker/1f/x\n",
            ("/sys/fs/cgroup/memory", 1),
            ("/sys/fs/cgroup/cpu/x", 1),
        ),
        ("9 8 0:1 / /a\\040b rw - cgroup2 none rw\n", "0::/c:d\n", *[("/a b/c:d", 2)] * 2),
        # What is mounted last hides what was there before.
        (UNIFIED + "36 24 0:30 / /other rw - cgroup2 cgroup2 rw\n", "0::/\n", *[("/other", 2)] * 2),
    ],
)
def test_the_own_group_by_controller(tmp_path: Path, mounts: str, own: str, memory: tuple, cpu: tuple) -> None:
    ground = found(tmp_path, mounts, own)
    assert ground.refused == {}
    assert ground.places == {
        "memory": Place(folder=memory[0], version=memory[1]),
        "cpu": Place(folder=cpu[0], version=cpu[1]),
    }


@pytest.mark.parametrize(
    ("mounts", "own", "problem"),
    [
        ("", "0::/\n", "no mounted control groups have memory"),
        (UNIFIED, "", "no mounted control groups have memory"),
        (UNIFIED, "4:memory:/\n3:cpu:/\n0::/\n", "no mounted control groups have memory"),
        (UNIFIED.replace("rw,nosuid", "ro,nosuid"), "0::/\n", "/sys/fs/cgroup is mounted read-only"),
        (UNIFIED.replace("cgroup2 rw", "cgroup2 ro"), "0::/\n", "/sys/fs/cgroup is mounted read-only"),
        (UNIFIED, "0::/../other\n", "plait's own group /../other is not below /sys/fs/cgroup"),
        (UNIFIED.replace(" / ", " /part ", 1), "0::/elsewhere\n", "plait's own group /elsewhere is not below"),
    ],
)
def test_why_there_is_none(tmp_path: Path, mounts: str, own: str, problem: str) -> None:
    ground = found(tmp_path, mounts, own)
    assert ground.places == {}
    assert set(ground.refused) == {"memory", "cpu"}
    assert problem in ground.refused["memory"].problem
    assert ground.refused["memory"].fix


def test_a_kernel_without_control_groups(tmp_path: Path) -> None:
    ground = find("plait-x", proc=tmp_path / "none")
    assert ground.places == {}
    assert "No such file" in ground.refused["cpu"].problem
