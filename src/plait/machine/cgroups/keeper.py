"""The process that removes a mesh's groups when all of the mesh has ended, however it ended.

The kernel takes processes, namespaces and mounts along with the last that uses them, but not control groups. The
keeper is a copy of the launcher that holds nothing of it and waits for the end of init, which is PID 1 of everything
in a group: the kernel reports that end when no process of the mesh is left. SIGKILL of any process of the mesh is seen
so, and a keeper that is killed itself is replaced by the launcher.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from plait.machine.cgroups.ground import Ground
from plait.machine.cgroups.sharing import leave

#: Seconds between two looks at what does not report itself, and how long it is looked at.
_LOOK: Final = 0.01
_PATIENCE: Final = 10.0
_SET_NAME: Final = 15  # prctl(2)


def start(ground: Ground, outer: int) -> int:
    """Start the keeper of a mesh whose init is, or will be, the only child of `outer`; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_nothing()
        _keep(ground, outer)
        code = 0
    finally:
        os._exit(code)


def clear(ground: Ground) -> None:
    """Remove the groups of a mesh that has ended; waits some seconds for the last of it to go."""
    end = time.monotonic() + _PATIENCE
    while not leave(ground) and time.monotonic() < end:
        time.sleep(_LOOK)


def _become_nothing() -> None:
    """Give up what the launcher had: sockets of the host most of all."""
    os.setsid()
    os.chdir("/")
    signal.set_wakeup_fd(-1)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_SET_NAME, b"plait-keeper", 0, 0, 0)


def _keep(ground: Ground, outer: int) -> None:
    descriptor = _init_of(outer)
    if descriptor is not None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    clear(ground)


def _init_of(outer: int) -> int | None:
    """A pidfd of init; None if the mesh ended before it had one, so that it has made no groups."""
    while True:
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            if children:
                return os.pidfd_open(int(children[0]))
            if Path(f"/proc/{outer}/stat").read_text().rpartition(") ")[2][0] in "ZX":
                return None
        except OSError:
            return None  # one of the two has ended just now, and init with it
        time.sleep(_LOOK)
