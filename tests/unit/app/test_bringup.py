"""What a start promises to whoever looks at the mesh next."""

import subprocess
import sys
from pathlib import Path

import pytest

from plait.app.bringup import examine_room, until_known


def test_a_launcher_is_known_by_its_command_line_once_a_start_has_returned() -> None:
    for _ in range(50):
        with subprocess.Popen([sys.executable, "-S", "-c", "input()", "marker"], stdin=subprocess.PIPE) as process:
            until_known(process.pid)
            assert b"marker" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.kill()


def test_one_that_has_ended_is_not_waited_for() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        until_known(process.pid)
    with subprocess.Popen(["true"]) as process:
        until_known(process.pid)


def test_a_mesh_begins_where_there_is_room_for_it(tmp_path: Path) -> None:
    examine_room(tmp_path, 1)
    with pytest.raises(OSError, match=r"No space left on device: \d+ KiB are left, and a mesh begins with"):
        examine_room(tmp_path, 1 << 60)
