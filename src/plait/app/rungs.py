"""How a mesh gets its namespaces: four ways, from root down to a user with nothing but user namespaces.

Which of them works is found by doing it; what a sysctl says is not asked. All but the first begin with a user
namespace, in which the rest of plait is root: the same code runs on every rung.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from plait.app.plan import PATH
from plait.machine.settings import AGENT_UID, API_UID, RELAY_UID, RungName

#: Of a user namespace plait needs the uids and gids 0 to the last of its own processes'.
IDS: Final = max(API_UID, RELAY_UID, AGENT_UID) + 1
#: As many as pods may use: Kubernetes' usual range.
_WHOLE: Final = 65536
_NODE: Final = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
#: A process ends with the thread that started it, also by SIGKILL.
UNTIL_WE_DIE: Final = ("setpriv", "--pdeathsig", "KILL")
_SECONDS: Final = 10.0

#: Lines of a map: first id inside, first id outside, how many.
IdMap = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way. Without maps no user namespace is made; `helped` maps are written by newuidmap and newgidmap."""

    name: RungName
    uids: IdMap = ()
    gids: IdMap = ()
    helped: bool = False

    @property
    def one_uid(self) -> bool:
        """Whether uid 0 is the only one there is inside."""
        return sum(count for _, _, count in self.uids) == 1 if self.uids else False


class RungError(Exception):
    """A namespace could not be made; says why."""


def of(name: RungName) -> Rung:
    """The rung of that name for whoever runs this. Raises RungError where it has no ids to map."""
    uid, gid = os.geteuid(), os.getegid()
    match name:
        case "root":
            return Rung(name=name)
        case "user-namespace":
            return Rung(name=name, uids=((0, 0, _WHOLE),), gids=((0, 0, _WHOLE),))
        case "subuid":
            return Rung(
                name=name,
                uids=((0, uid, 1), (1, *_subordinate(Path("/etc/subuid")))),
                gids=((0, gid, 1), (1, *_subordinate(Path("/etc/subgid")))),
                helped=True,
            )
        case "one-uid":
            return Rung(name=name, uids=((0, uid, 1),), gids=((0, gid, 1),))


def ladder() -> tuple[RungName, ...]:
    """The rungs for whoever runs this, best first."""
    return ("root", "user-namespace", "one-uid") if os.geteuid() == 0 else ("subuid", "one-uid")


def choose() -> tuple[Rung | None, dict[RungName, str]]:
    """The best rung that works, and why each better one does not."""
    refused: dict[RungName, str] = {}
    for name in ladder():
        try:
            rung = of(name)
            problem = attempt(rung)
        except RungError as error:
            problem = str(error)
        else:
            if problem is None:
                return rung, refused
        refused[name] = problem
    return None, refused


def attempt(rung: Rung) -> str | None:
    """Make namespaces like the node's, and be the uids of plait's own processes there; None, or what went wrong."""
    others = () if rung.one_uid else ("setpriv", f"--reuid={API_UID}", f"--regid={API_UID}", "--clear-groups")
    return run(rung, (*node_command(), *others, "true"))


def node_command() -> tuple[str, ...]:
    """The words that put a command into the namespaces of a node, as their PID 1."""
    return (*UNTIL_WE_DIE, "unshare", *_NODE)


def run(rung: Rung, command: Sequence[str], *, given: str = "", seconds: float = _SECONDS * 2) -> str | None:
    """Run a command on a rung to its end, with the text `given` to read; None, or the last line of what went wrong."""
    try:
        process = start(
            rung,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": PATH},
        )
    except (RungError, OSError) as error:
        return str(error)
    try:
        _, errors = process.communicate(given.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"{command[0]} did not end"
    if process.returncode == 0:
        return None
    lines = [line for line in errors.decode(errors="replace").strip().splitlines() if "dmesg(1)" not in line]
    return (lines or [f"exit status {process.returncode}"])[-1]


def start(
    rung: Rung,
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a command, in a user namespace if the rung has one. Raises RungError, OSError."""

    def popen(words: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            pass_fds=tuple(descriptors),
            start_new_session=start_new_session,
        )

    if not rung.uids:
        return popen(command, pass_fds)
    ready, theirs_ready = os.pipe()
    theirs_go, go = os.pipe()
    try:
        words = (sys.executable, "-m", "plait.app.user_namespace", str(theirs_ready), str(theirs_go), *command)
        process = popen(words, (*pass_fds, theirs_ready, theirs_go))
    except BaseException:
        os.close(ready)
        os.close(go)
        raise
    finally:
        os.close(theirs_ready)
        os.close(theirs_go)
    try:
        if not os.read(ready, 1):
            _, errors = process.communicate()
            said = errors.decode(errors="replace").strip() if errors else ""
            raise RungError(said or "a user namespace is not allowed")
        try:
            _write_maps(rung, process.pid)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        os.write(go, b"1")
    finally:
        os.close(ready)
        os.close(go)
    return process


def _write_maps(rung: Rung, pid: int) -> None:
    for kind, ids in (("uid", rung.uids), ("gid", rung.gids)):
        if rung.helped:
            _helper(f"new{kind}map", pid, ids)
            continue
        if kind == "gid" and rung.one_uid:
            # Who may not set groups outside cannot be allowed to drop one inside.
            Path(f"/proc/{pid}/setgroups").write_text("deny")
        try:
            Path(f"/proc/{pid}/{kind}_map").write_text("".join(f"{a} {b} {n}\n" for a, b, n in ids))
        except OSError as error:
            raise RungError(f"{kind}_map: {error.strerror}") from error


def _helper(program: str, pid: int, ids: IdMap) -> None:
    found = shutil.which(program, path=PATH)
    if found is None:
        raise RungError(f"{program} is missing")
    numbers = [str(number) for line in ids for number in line]
    try:
        done = subprocess.run([found, str(pid), *numbers], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RungError(f"{program}: {error}") from error
    if done.returncode != 0:
        raise RungError(done.stderr.decode(errors="replace").strip() or f"{program}: exit status {done.returncode}")


def _subordinate(table: Path) -> tuple[int, int]:
    """First id and number of ids that a table gives to the user (subuid(5): by name or by number)."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    try:
        lines = [line.strip().split(":") for line in table.read_text().splitlines()]
    except OSError as error:
        raise RungError(f"{table}: {error.strerror}") from error
    ranges = [(int(line[1]), int(line[2])) for line in lines if len(line) == 3 and line[0] in {name, str(uid)}]
    if not ranges:
        raise RungError(f"{table} gives {name} no ids")
    first, count = max(ranges, key=lambda found: found[1])
    if count < IDS - 1:
        raise RungError(f"{table} gives {name} {count} ids, plait needs {IDS - 1}")
    return first, min(count, _WHOLE - 1)
