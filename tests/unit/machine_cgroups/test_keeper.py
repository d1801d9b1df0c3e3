"""The keeper of a mesh's groups: real processes, and folders in the place of groups."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

KEEP = """
import os, sys
from plait.machine.cgroups import keeper
from plait.machine.cgroups.ground import Ground, Place
folder, outer = sys.argv[1], int(sys.argv[2])
ground = Ground(prefix="plait-k", places={"memory": Place(folder=folder, version=1)})
print(keeper.start(ground, outer), flush=True)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_groups_stay_as_long_as_init_lives_and_go_with_it(tmp_path: Path) -> None:
    mine, others = tmp_path / "plait-k.pod", tmp_path / "plait-l.pod"
    mine.mkdir()
    others.mkdir()
    # The outer process stands for the `unshare` that waits for init, its only child.
    outer = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert outer.stdout is not None
    init = int(outer.stdout.readline())
    launcher = subprocess.Popen(
        [sys.executable, "-c", KEEP, str(tmp_path), str(outer.pid)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert launcher.stdout is not None
        keeper = os.pidfd_open(int(launcher.stdout.readline()))
        try:
            assert select.select([keeper], [], [], 0.3)[0] == [], "it waits"
            assert mine.is_dir()
            os.kill(init, signal.SIGKILL)
            assert launcher.wait(60) == 0
        finally:
            os.close(keeper)
    finally:
        for process in (outer, launcher):
            process.kill()
            process.communicate()
    assert list(tmp_path.iterdir()) == [others]
