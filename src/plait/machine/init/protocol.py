"""The words init and its clients exchange: JSON lines over a unix stream socket.

Init is PID 1 of the node namespace and the parent of everything that must outlive the process that asked for it. A
record of a process stays until it is forgotten, so that a restarted node finds what ended while it was away.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Spawn(msgspec.Struct, frozen=True, kw_only=True, tag="spawn", tag_field="op"):
    """Start a process as init's child.

    `name` is unique among records, for example `pod/UID/app/0`. `env` is the whole environment. `log` is a file that
    gets stdout and stderr as CRI lines (`time stream P|F text`), made with its folders, rotated at 10 MiB, five kept;
    without it output is thrown away. `forks` says that the process is an `nsenter` or `unshare --fork`: signals and
    `inner_pid` then mean its single child. `stdin` is what it reads: nothing, a pipe, or a terminal, which its output
    goes to as well; init holds the other end for those who attach, and closes a pipe after its first user if
    `stdin_once`. `owner` is the uid that may open these again by name. The answer is a `Process`.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = "/"
    log: str | None = None
    forks: bool = False
    stdin: Literal["none", "pipe", "terminal"] = "none"
    stdin_once: bool = False
    owner: int | None = None


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag="signal", tag_field="op"):
    """Send a signal to the process (to its inner child where it `forks`); an ended process is no error."""

    name: str
    signal: int


class List(msgspec.Struct, frozen=True, kw_only=True, tag="list", tag_field="op"):
    """Answer with all records whose name starts with `prefix`."""

    prefix: str = ""


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag="forget", tag_field="op"):
    """Drop the record of an ended process; an unknown name is no error."""

    name: str


class Watch(msgspec.Struct, frozen=True, kw_only=True, tag="watch", tag_field="op"):
    """From now on this connection gets an `Answer` with one `Process` whenever a process ends."""


class Attach(msgspec.Struct, frozen=True, kw_only=True, tag="attach", tag_field="op"):
    """From the answer on this connection carries frames (`machine.frames`): the output of a process with a log, and,
    for those with `stdin`, what is written to it. A frame STATUS says that the process has ended.
    """

    name: str
    stdin: bool = False


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A record: one process that init started. Times are seconds since the epoch.

    `exit_code` is the exit status, or 128 + signal number where a signal ended it (`signal` then says which).
    """

    name: str
    pid: int
    state: Literal["running", "ended"]
    inner_pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: float
    ended_at: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What init says: `error` is None unless the request failed."""

    error: str | None = None
    processes: tuple[Process, ...] = ()


Request = Spawn | Signal | List | Forget | Watch | Attach
