"""Why groups cannot be made, in words, and the one line that mends it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from plait.machine.cgroups.ground import Refusal

_ROOT: Final = "run as root: sudo .venv/bin/plait up"
_SYSTEMD: Final = Path("/run/systemd/system")


def refusal(folder: str, version: int, error: OSError) -> Refusal:
    """What an error says of the groups in a folder."""
    what = f"no group can be made in {folder}: {error.strerror}"
    if error.errno == errno.EROFS:
        return Refusal(problem=what, fix=f"mount it to be written, as root: mount -o remount,rw {folder}")
    if error.errno == errno.ENOENT:
        return Refusal(
            problem=f"{what}: {error.filename}", fix="use a kernel with CONFIG_MEMCG and CONFIG_CFS_BANDWIDTH"
        )
    return Refusal(problem=what, fix=_ROOT if version == 1 and os.geteuid() != 0 else alone(folder))


def alone(folder: str) -> str:
    """How to start plait in a group that is all its own."""
    if _SYSTEMD.is_dir():
        user = "" if os.geteuid() == 0 else "--user "
        return (
            f"let systemd give plait a group of its own: systemd-run {user}--scope -p Delegate=yes .venv/bin/plait up"
        )
    return (
        f"start plait in a group of its own, as root: G={folder} sh -c 'mkdir -p $G/rest $G/plait; "
        "for p in $(cat $G/cgroup.procs); do echo $p >$G/rest/cgroup.procs; done; "
        "echo +memory +cpu >$G/cgroup.subtree_control; echo $$ >$G/plait/cgroup.procs; exec .venv/bin/plait up'"
    )


def delegation(folder: str) -> str:
    """How to get controllers into plait's group."""
    if _SYSTEMD.is_dir() and os.geteuid() != 0:
        return (
            "as root, then log in again: mkdir -p /etc/systemd/system/user@.service.d && "
            "printf '[Service]\\nDelegate=cpu memory pids\\n' >/etc/systemd/system/user@.service.d/delegate.conf"
        )
    return alone(folder)
