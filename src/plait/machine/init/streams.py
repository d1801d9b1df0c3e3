"""The three standard streams of a process that init starts: both ends of each."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

from plait.machine.init.protocol import Spawn


@dataclass(slots=True, kw_only=True)
class Streams:
    """`outputs` (stream -> end to read) and `stdin` (end to write) are init's; `theirs` become descriptors 0, 1, 2."""

    outputs: dict[str, int] = field(default_factory=dict)
    stdin: int | None = None
    theirs: tuple[int, int, int] = (subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)

    def close_theirs(self) -> None:
        """The process has them."""
        for fd in {fd for fd in self.theirs if fd >= 0}:
            os.close(fd)

    def close_ours(self) -> None:
        """The process could not be started."""
        for fd in (*self.outputs.values(), *([self.stdin] if self.stdin is not None else [])):
            os.close(fd)


def open_streams(request: Spawn, *, logged: bool) -> Streams:
    """What the process is to read and write. Raises OSError, with nothing left open.

    They belong to the user it runs as, so that it can open /dev/stdout and the like.
    """
    made = Streams()
    try:
        _open(made, request, logged=logged)
    except OSError:
        made.close_ours()
        made.close_theirs()
        raise
    return made


def _open(made: Streams, request: Spawn, *, logged: bool) -> None:
    if request.stdin == "terminal":
        made.outputs["stdout"], slave = os.openpty()
        made.theirs = (slave, slave, slave)
        made.stdin = os.dup(made.outputs["stdout"])
        os.set_blocking(made.stdin, False)
    else:
        if request.stdin == "pipe":
            reading, made.stdin = os.pipe()
            made.theirs = (reading, *made.theirs[1:])
            os.set_blocking(made.stdin, False)
        if logged:
            made.outputs["stdout"], writing = os.pipe()
            made.theirs = (made.theirs[0], writing, made.theirs[2])
            made.outputs["stderr"], writing = os.pipe()
            made.theirs = (*made.theirs[:2], writing)
    if request.owner is not None:
        for fd in {fd for fd in made.theirs if fd >= 0}:
            os.fchown(fd, request.owner, -1)
