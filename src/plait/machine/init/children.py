"""The processes init has started: spawning, signalling, reaping, and their logs."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from plait.machine import frames
from plait.machine.init.console import Console
from plait.machine.init.logs import LineCutter, LogFile
from plait.machine.init.protocol import Process, Spawn
from plait.machine.init.streams import Streams, open_streams

#: The most that one readable pipe is read at a time: a chatty process does not starve the others.
READ_SIZE = 64 * 1024
#: How often a pipe of a process that has ended is read at once: as much as fits into one.
_LAST_READS = 17


class SpawnError(Exception):
    """A process could not be started; the text is for whoever asked."""


@dataclass(slots=True, kw_only=True)
class _Child:
    process: Process
    forks: bool
    log: LogFile | None
    console: Console
    pipes: dict[int, tuple[str, LineCutter]] = field(default_factory=dict)


class Children:
    """Init's table of processes. The caller runs the loop: `pipe_ready` for readable pipes, `reap` after SIGCHLD,
    `inner_ended` for what is registered as `inner`.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._by_name: dict[str, _Child] = {}
        self._by_pid: dict[int, _Child] = {}

    def spawn(self, request: Spawn, fds: Sequence[int] = ()) -> Process:
        """Start a process that inherits `fds` under the same numbers. Raises SpawnError."""
        if request.name in self._by_name:
            raise SpawnError(f"{request.name}: a process of this name is on record; forget it first")
        if not request.argv:
            raise SpawnError(f"{request.name}: argv is empty")
        log = _open_log(request)
        try:
            ends = open_streams(request, logged=log is not None)
        except OSError as error:
            if log:
                log.close()
            raise SpawnError(f"{request.name}: its input and output: {error.strerror}") from error
        try:
            popen = _start(request, ends, fds)
        except OSError as error:
            ends.close_ours()
            if log:
                log.close()
            raise SpawnError(f"{request.name}: {request.argv[0]}: {error.strerror}") from error
        finally:
            ends.close_theirs()
        process = Process(name=request.name, pid=popen.pid, state="running", started_at=time.time())
        terminal = request.stdin == "terminal"
        console = Console(ends.stdin, terminal=terminal, once=request.stdin_once, interest=self._interest)
        child = _Child(process=process, forks=request.forks, log=log, console=console)
        # Popen would warn about a child it never waited for; the reaping is done here.
        popen.returncode = 0
        for stream, read_end in ends.outputs.items():
            os.set_blocking(read_end, False)
            child.pipes[read_end] = (stream, LineCutter())
            self._selector.register(read_end, selectors.EVENT_READ, ("pipe", child))
        self._by_name[request.name] = child
        self._by_pid[popen.pid] = child
        return process

    def signal(self, name: str, number: int) -> None:
        """Signal a running process, or its inner child where it forks; ended or unknown ones are left alone."""
        child = self._by_name.get(name)
        if child is None or child.process.state == "ended":
            return
        pid = child.process.pid
        _kill((inner_pid(pid) if child.forks else None) or pid, number)

    def records(self, prefix: str = "") -> tuple[Process, ...]:
        """Records whose name starts with `prefix`, with the inner pid of those that fork."""
        return tuple(
            msgspec.structs.replace(child.process, inner_pid=inner_pid(child.process.pid))
            if child.forks and child.process.state == "running"
            else child.process
            for name, child in sorted(self._by_name.items())
            if name.startswith(prefix)
        )

    def forget(self, name: str) -> None:
        """Drop the record of an ended process."""
        child = self._by_name.get(name)
        if child is not None and child.process.state == "ended":
            del self._by_name[name]

    def reap(self) -> list[Process]:
        """Collect every child that has ended, adopted orphans too; the known ones are returned."""
        ended: list[Process] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            if os.WIFSTOPPED(status):
                self._stopped(pid)
                continue
            child = self._by_pid.pop(pid, None)
            if child is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            by_signal = -code if code < 0 else None
            child.process = msgspec.structs.replace(
                child.process,
                state="ended",
                exit_code=128 - code if code < 0 else code,
                signal=by_signal,
                ended_at=time.time(),
            )
            ended.append(child.process)
            self._last_words(child)

    def _stopped(self, pid: int) -> None:
        """An nsenter stops with its child and nothing tells it when that goes on: it would never see its end."""
        child = self._by_pid.get(pid)
        inner = inner_pid(pid) if child is not None and child.forks else None
        if inner is None:
            return
        try:
            fd = os.pidfd_open(inner)
        except ProcessLookupError:
            _kill(pid, signal.SIGCONT)
        else:
            self._selector.register(fd, selectors.EVENT_READ, ("inner", pid))

    def inner_ended(self, fd: int, pid: int) -> None:
        """The child of a stopped process has ended: let it wait for that, if it has not been continued meanwhile."""
        self._selector.unregister(fd)
        os.close(fd)
        if pid in self._by_pid:
            _kill(pid, signal.SIGCONT)

    def pipe_ready(self, fd: int, child: object) -> None:
        """Move what a process wrote into its log."""
        if not isinstance(child, _Child) or child.log is None or fd not in child.pipes:
            return
        stream, cutter = child.pipes[fd]
        try:
            data = os.read(fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # a terminal that nobody has open any more
            data = b""
        lines = cutter.feed(data) if data else cutter.end()
        if lines:
            child.log.write(stream, lines)
        if data:
            child.console.show(stream, data)
            if child.console.congested:
                self._pause(child)
        else:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            os.close(fd)
            del child.pipes[fd]
            if not child.pipes:
                child.log.close()
                child.log = None

    def console(self, name: str) -> Console | None:
        """What clients attach to; None where there is no such process with a log any more."""
        child = self._by_name.get(name)
        return child.console if child is not None and child.process.state == "running" and child.log else None

    def caught_up(self, console: Console) -> None:
        """A client has taken what was sent: the process may go on writing."""
        if console.congested:
            return
        for child in self._by_pid.values():
            if child.console is console:
                for fd in child.pipes.keys() - self._selector.get_map().keys():
                    self._selector.register(fd, selectors.EVENT_READ, ("pipe", child))

    def _pause(self, child: _Child) -> None:
        """As in container runtimes, a client that is behind holds the process up rather than miss something."""
        for fd in child.pipes.keys() & self._selector.get_map().keys():
            self._selector.unregister(fd)

    def _last_words(self, child: _Child) -> None:
        """Of a process that has ended: what is in its pipes still, for the log and for those attached."""
        for fd in list(child.pipes):
            for _ in range(_LAST_READS):
                if fd in child.pipes:
                    self.pipe_ready(fd, child)
            if fd in child.pipes and fd not in self._selector.get_map():
                self._selector.register(fd, selectors.EVENT_READ, ("pipe", child))
        child.console.close()
        for listener in tuple(child.console.listeners):
            listener.tell(frames.encode(frames.STATUS))

    def _interest(self, fd: int, waiting: bool) -> None:
        """Watch an input that is full, or stop doing so."""
        watched = fd in self._selector.get_map()
        if waiting and not watched:
            self._selector.register(fd, selectors.EVENT_WRITE, ("stdin", None))
        elif watched and not waiting:
            self._selector.unregister(fd)

    def stdin_ready(self, fd: int) -> Console | None:
        """Give a process more of its input; its console."""
        for child in self._by_pid.values():
            if child.console.stdin == fd:
                child.console.writable()
                return child.console
        return None

    def running(self) -> list[str]:
        """Names of running processes."""
        return [name for name, child in self._by_name.items() if child.process.state == "running"]


def inner_pid(pid: int) -> int | None:
    """The single child of an `nsenter` or `unshare --fork`; None while there is none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _open_log(request: Spawn) -> LogFile | None:
    if request.log is None:
        return None
    try:
        return LogFile(Path(request.log))
    except OSError as error:
        raise SpawnError(f"{request.name}: log {request.log}: {error.strerror}") from error


def _start(request: Spawn, ends: Streams, fds: Sequence[int]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        request.argv,
        env=request.env,
        cwd=request.cwd,
        stdin=ends.theirs[0],
        stdout=ends.theirs[1],
        stderr=ends.theirs[2],
        pass_fds=tuple(fds),
        start_new_session=True,
        restore_signals=True,
    )


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
