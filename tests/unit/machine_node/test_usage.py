"""What containers use, from a /proc made for the purpose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plait.machine.node.streams.usage import Root, measure

TICKS = os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, parent: int, *, ticks: int = 0, reaped: int = 0, pss: int = 0) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    fields = [str(parent), *["0"] * 9, str(ticks), "0", str(reaped), "0"]
    (folder / "stat").write_text(f"{pid} (a (strange) name) S {' '.join(fields)} 0 0\n")
    (folder / "smaps_rollup").write_text(f"00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss: 99 kB\nPss:   {pss} kB\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    process(tmp_path, 1, 0, ticks=TICKS, pss=10)
    process(tmp_path, 10, 1, ticks=TICKS, reaped=2 * TICKS, pss=100)
    process(tmp_path, 11, 10, ticks=3 * TICKS, pss=50)
    process(tmp_path, 20, 1, ticks=TICKS, pss=7)
    (tmp_path / "self").mkdir()
    return tmp_path


def root(pid: int, name: str = "app") -> Root:
    return Root(namespace="shop", pod="p", container=name, started_at=1.0, pid=pid)


def test_a_container_is_its_first_process_and_all_below(proc: Path) -> None:
    used = measure([root(10)], proc=proc)
    (container,) = used.containers
    assert container.cpu == pytest.approx(6.0)
    assert container.memory == 150 * 1024
    assert used.cpu == pytest.approx(8.0)
    assert used.memory == 167 * 1024


def test_a_container_that_has_ended_is_left_out(proc: Path) -> None:
    used = measure([root(10), root(99, "gone")], proc=proc)
    assert [each.container for each in used.containers] == ["app"]
