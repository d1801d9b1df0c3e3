"""Groups as folders: what is written where, and what of it is taken away again.

On plain folders, which take files of any name; that the kernel does as it is told is for the system tests.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plait.machine.cgroups import groups
from plait.machine.cgroups.ground import Ground, Place, Refusal, prefix_of
from plait.machine.cgroups.limits import Limits

BOTH = Limits(memory=4096, quota=20000)


def ground(tmp_path: Path, version: int) -> Ground:
    """Ground as a machine of that version has it: a folder for each controller, or one for both."""
    folders = {"memory": tmp_path / "memory", "cpu": tmp_path / ("cpu" if version == 1 else "memory")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    places = {name: Place(folder=str(folder), version=version) for name, folder in folders.items()}
    return Ground(prefix="plait-x", places=places)


def empty(folder: Path) -> None:
    """A folder of control groups can be removed with its files in it; these here cannot."""
    for file in folder.glob("*/*"):
        file.unlink()


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (
            1,
            {
                "memory/plait-x.a/memory.limit_in_bytes": "4096",
                "cpu/plait-x.a/cpu.cfs_period_us": "100000",
                "cpu/plait-x.a/cpu.cfs_quota_us": "20000",
            },
        ),
        (2, {"memory/plait-x.a/memory.max": "4096", "memory/plait-x.a/cpu.max": "20000 100000"}),
    ],
)
def test_a_group_has_its_limits_and_goes(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    mine = ground(tmp_path, version)
    joins = groups.make(mine, "a", BOTH)
    assert {str(f.relative_to(tmp_path)): f.read_text() for f in tmp_path.glob("*/*/*")} == files
    assert list(joins) == sorted({str(tmp_path / Path(f).parent / "cgroup.procs") for f in files}, reverse=True)
    assert groups.joins(mine, "a") == joins
    assert not groups.remove(mine, "a"), "as long as something is in it"
    for place in mine.folders:
        empty(place)
    assert groups.remove(mine, "a")
    assert groups.remove(mine, "a"), "what is gone is gone"
    assert groups.joins(mine, "a") == ()
    assert not list(tmp_path.glob("*/*"))


def test_only_what_is_limited_costs_a_group(tmp_path: Path) -> None:
    mine = ground(tmp_path, 1)
    assert groups.make(mine, "a", Limits(quota=20000)) == (str(tmp_path / "cpu/plait-x.a/cgroup.procs"),)
    assert [path.name for path in tmp_path.glob("*/*")] == ["plait-x.a"]


def test_beside_a_home_of_plait_every_container_has_a_group(tmp_path: Path) -> None:
    mine = replace(ground(tmp_path, 2), home=str(tmp_path / "memory/plait-x.plait"))
    assert groups.make(mine, "a", Limits()) == (str(tmp_path / "memory/plait-x.a/cgroup.procs"),)
    assert list((tmp_path / "memory/plait-x.a").iterdir()) == []
    assert groups.make(mine, "b", BOTH) == (str(tmp_path / "memory/plait-x.b/cgroup.procs"),)
    refusal = Refusal(problem="why", fix="how")
    assert groups.make(mine.without(["cpu"], refusal), "c", Limits()) == (), "where CPU is not dealt out by group"
    assert groups.make(ground(tmp_path, 2), "c", Limits()) == ()


def test_what_the_machine_does_not_allow_is_left_out(tmp_path: Path) -> None:
    refusal = Refusal(problem="why", fix="how")
    mine = ground(tmp_path, 1).without(["memory"], refusal)
    assert mine.refused == {"memory": refusal}
    assert groups.make(mine, "a", Limits(memory=1)) == ()
    assert groups.memory_kills(mine, "a") == 0
    assert groups.make(mine, "b", BOTH) == (str(tmp_path / "cpu/plait-x.b/cgroup.procs"),)


def test_nothing_is_left_of_a_group_that_cannot_be_made(tmp_path: Path) -> None:
    mine = ground(tmp_path, 1)
    (tmp_path / "cpu").rmdir()
    with pytest.raises(FileNotFoundError):
        groups.make(mine, "a", Limits(quota=20000))
    (tmp_path / "cpu").mkdir()
    assert groups.sweep(mine) == []


@pytest.mark.parametrize(("version", "file"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_kills_are_counted_per_group(tmp_path: Path, version: int, file: str) -> None:
    mine = ground(tmp_path, version)
    groups.make(mine, "a", BOTH)
    assert groups.memory_kills(mine, "a") == 0
    (tmp_path / "memory/plait-x.a" / file).write_text("oom 1\noom_kill 1\n")
    assert groups.memory_kills(mine, "a") == 1
    assert groups.memory_kills(mine, "b") == 0


def test_a_sweep_takes_what_is_ours_and_empty(tmp_path: Path) -> None:
    mine = ground(tmp_path, 2)
    for name in ("plait-x.a.c.0", "plait-x.b.c.0", "plait-y.a", "plait-xx.a", "other"):
        (tmp_path / "memory" / name).mkdir()
    (tmp_path / "memory/plait-x.b.c.0/busy").touch()
    assert groups.remove_all(mine, "a.")
    assert groups.sweep(mine) == [tmp_path / "memory/plait-x.b.c.0"]
    assert sorted(path.name for path in (tmp_path / "memory").iterdir()) == [
        "other",
        "plait-x.b.c.0",
        "plait-xx.a",
        "plait-y.a",
    ]


def test_no_ground_is_no_work() -> None:
    assert groups.make(Ground(), "a", BOTH) == ()
    assert groups.sweep(Ground()) == []
    assert groups.memory_kills(Ground(), "a") == 0


def test_each_state_folder_has_a_word_of_its_own() -> None:
    words = {prefix_of(Path("/state/a")), prefix_of(Path("/state/b"))}
    assert len(words) == 2
    assert all(word.startswith("plait-") and "." not in word for word in words)
