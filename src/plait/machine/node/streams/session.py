"""One program run beside those of a container, as one of them: its descriptors, its terminal, its end.

The program is a session of its own (with a controlling terminal where one is asked for), as container runtimes make
it: job control works, and everything it started can be found when its user hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plait.machine.node.script import exec_command, session_script
from plait.machine.settings import TOOLS

if TYPE_CHECKING:
    from plait.machine.node.actions import Place

#: The script and what it has to say are at these descriptors while the program is made.
_SCRIPT, _REPORT = 3, 4
#: Descriptors are moved above those that the child gets, so that none is put in the place of another.
_ABOVE = 10
_KEPT = 4096
#: Seconds a session gets to end by itself once its user has gone.
_FAREWELL = 1.0
# <asm-generic/ioctls.h>; Python has no names for them.
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441


@dataclass(slots=True, kw_only=True)
class Session:
    """A running program. The descriptors are our ends: None where it has none; `stdin` and `stdout` of a terminal
    are one and the same place.
    """

    pid: int
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    terminal: int | None = None
    report: int = -1
    _end: asyncio.Future[int] | None = field(default=None)
    _watch: int = -1

    async def end(self) -> int:
        """The exit code, or 128 + the number of the signal that ended it."""
        if self._end is None:
            loop = asyncio.get_running_loop()
            self._end = loop.create_future()
            self._watch = os.pidfd_open(self.pid)
            loop.add_reader(self._watch, self._ended)
        return await asyncio.shield(self._end)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if self._end is not None and not self._end.done():
            self._end.set_result(128 - code if code < 0 else code)

    def problem(self) -> str:
        """Why the program could not be started; asked for once it has ended. Empty if it was."""
        with contextlib.suppress(OSError):  # nothing was said
            return os.read(self.report, _KEPT).decode("utf-8", "replace").strip()
        return ""

    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size."""
        if self.terminal is not None:
            size = struct.pack("HHHH", min(height, 65535), min(width, 65535), 0, 0)
            with contextlib.suppress(OSError):  # the program has closed it
                fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    async def finish(self) -> None:
        """End the program, if it has not ended, and its whole session: a hang-up first, then by force.

        What a program that ended by itself left in the background stays, as in container runtimes.
        """
        self._close_terminal()
        if self._end is not None and self._end.done():
            return
        leader = _only_child(self.pid)
        ending = asyncio.create_task(self.end(), name=f"end of session {self.pid}")
        _signal_session(leader, signal.SIGHUP)
        await asyncio.wait((ending,), timeout=_FAREWELL)
        _signal_session(leader or _only_child(self.pid), signal.SIGKILL)
        # nsenter ends when the program has; one that had no time to start it is ended itself.
        await asyncio.wait((ending,), timeout=_FAREWELL)
        if not ending.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await ending

    def close(self) -> None:
        """Give back what only this object holds; the streams belong to whoever took them."""
        self._close_terminal()
        if self.report >= 0:
            os.close(self.report)
            self.report = -1

    def _close_terminal(self) -> None:
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None


def start(place: Place, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, terminal: bool) -> Session:
    """Run a command in a container; raises OSError.

    Called from the main thread: the program is to end with the thread that started it.
    """
    env: Mapping[str, str] = {"TERM": "xterm", **place.env} if terminal else place.env
    text = session_script(
        argv=command, env=env, workdir=place.workdir, setpriv=place.identity.setpriv(), terminal=terminal
    )
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:

        def pipe(*, inward: bool) -> tuple[int, int]:
            reading, writing = (_high(end) for end in os.pipe())
            mine, other = (writing, reading) if inward else (reading, writing)
            ours.callback(os.close, mine)
            theirs.callback(os.close, other)
            return mine, other

        def nothing() -> int:
            end = _high(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            theirs.callback(os.close, end)
            return end

        session = Session(pid=-1)
        if terminal:
            master, slave = open_terminal(place.inner)
            ours.callback(os.close, master)
            theirs.callback(os.close, slave)
            os.fchown(slave, place.identity.uid, -1)
            session.terminal = master
            session.stdin, session.stdout = (_dup(master, ours) for _ in range(2))
            ends = [slave, slave, slave]
        else:
            ends = []
            for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                mine, other = pipe(inward=name == "stdin") if wanted else (None, nothing())
                setattr(session, name, mine)
                ends.append(other)
        script = _high(os.memfd_create("exec"))
        theirs.callback(os.close, script)
        os.write(script, text.encode("utf-8", "surrogateescape"))
        session.report, report = pipe(inward=False)
        os.set_blocking(session.report, False)
        argv = ("setpriv", "--pdeathsig", "KILL", *exec_command(place.inner, place.joins), f"/proc/self/fd/{_SCRIPT}")
        session.pid = os.posix_spawnp(
            argv[0],
            argv,
            {"PATH": TOOLS},
            file_actions=[
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
                *((os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate([*ends, script, report])),
            ],
            # What Python ignores, or whoever started it had it ignore, programs would inherit.
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            setsigmask=(),
        )
        ours.pop_all()
        return session


def open_terminal(inner: int) -> tuple[int, int]:
    """Both ends of a new terminal, one that programs find under /dev/pts of their container; raises OSError."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    try:
        master = os.open(f"/proc/{inner}/root/dev/pts/ptmx", flags)
    except OSError:
        # A container without /dev/pts of its own: the terminal works, but has no name there.
        both = pty.openpty()
        return _high(both[0]), _high(both[1])
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, _TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise
    return _high(master), _high(slave)


def session_members(leader: int) -> list[int]:
    """Live processes of the session of `leader`, itself included, as this process sees them."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _session_of(pid) == leader]


def _session_of(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *_, session = text.rpartition(")")[2].split()[:4]
    return None if state in "ZX" else int(session)


def _signal_session(leader: int | None, number: int) -> None:
    if leader is None:
        return
    for pid in {leader, *session_members(leader)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _only_child(pid: int) -> int | None:
    """What nsenter has forked: the program itself, under its pid in the node's namespace."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _inheritable() -> list[int]:
    """Descriptors that this process was started with, beyond the first three, which a child would get too."""
    found = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208  (names are all there is)
        with contextlib.suppress(OSError):  # the one that this list was read by
            if int(entry) > 2 and os.get_inheritable(int(entry)):
                found.append(int(entry))
    return found


def _high(fd: int) -> int:
    """The same under a number that no child is given."""
    if fd >= _ABOVE:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    os.close(fd)
    return moved


def _dup(fd: int, stack: contextlib.ExitStack) -> int:
    made = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    stack.callback(os.close, made)
    return made
