"""The shell script that turns an entered pod into a running container. Pure.

It runs as root in the pod's network, uts, ipc and pid namespaces and in a mount namespace of its own. A script, not
a command line: the environment holds secrets, and a command line of a parent process shows for as long as it lives.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from plait.machine.settings import TOOLS

#: The script's exit code where the container could not be started; the reason is in the file `start.err`.
FAILED = 125


def start_script(
    folder: Path,
    *,
    argv: Sequence[str],
    env: Mapping[str, str],
    workdir: str,
    setpriv: Sequence[str],
    terminal: bool = False,
) -> str:
    """The text. `folder` holds `fstab` and the mount point `root`, and gets `start.err`; the script's arguments are the
    files by which it joins control groups, which limit the program from its first step on.

    A `terminal` on descriptor 0 becomes the one that controls the program, in a session of its own.
    """
    root, errors = shlex.quote(str(folder / "root")), shlex.quote(str(folder / "start.err"))
    variables = [f"{name}={value}" for name, value in env.items()]
    program = shlex.join([*setpriv, "--", "/usr/bin/env", "-i", *variables, *argv])
    lines = [
        f"exec 3>&2 2>{errors}",
        f"for group do echo 0 >$group || exit {FAILED}; done",
        f"mount --fstab {shlex.quote(str(folder / 'fstab'))} -a || exit {FAILED}",
        f"cd {root} && pivot_root . . && umount -l . || exit {FAILED}",
    ]
    if workdir != "/":
        place = shlex.quote(workdir)
        lines.append(f"[ -d {place} ] || mkdir -p {place}")
        lines.append(f"cd {place} || exit {FAILED}")
    lines += [
        f"PATH={shlex.quote(env.get('PATH', TOOLS))}",
        f"command -v {shlex.quote(argv[0])} >/dev/null || {{",
        f"  printf '%s\\n' {shlex.quote(_not_found(argv[0]))} >&2",
        f"  exit {FAILED}",
        "}",
        f"PATH={TOOLS}",
        "exec 2>&3 3>&-",
        f"exec {'setsid --ctty ' if terminal else ''}setpriv {program}",
    ]
    return "\n".join(lines) + "\n"


def enter(pause: int, script: Path, joins: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that runs a start script in a pod, in the control groups that `joins` are of."""
    namespaces = ("--net", "--uts", "--ipc", "--pid")
    return ("nsenter", "--target", str(pause), *namespaces, "unshare", "--mount", "sh", str(script), *joins)


def exec_command(inner: int, joins: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that runs an exec script, which it reads from stdin, in the container whose process is `inner`.

    It is limited with the container if `joins` are of the container's control groups.
    """
    command = ("nsenter", "--target", str(inner), "--mount", "--net", "--uts", "--ipc", "--pid", "--root", "sh")
    if not joins:
        return command
    steps = [f"echo 0 >{shlex.quote(join)}" for join in joins]
    return ("sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh", *command)


def exec_script(*, argv: Sequence[str], env: Mapping[str, str], workdir: str, setpriv: Sequence[str]) -> str:
    """The text that runs a program beside those of a container, as one of them."""
    variables = [f"{name}={value}" for name, value in env.items()]
    program = shlex.join(["setpriv", *setpriv, "--", "/usr/bin/env", "-i", *variables, *argv])
    return f"cd {shlex.quote(workdir)}\nexec {program} </dev/null\n"


def session_script(
    *, argv: Sequence[str], env: Mapping[str, str], workdir: str, setpriv: Sequence[str], terminal: bool
) -> str:
    """The text that runs a program for a user who is connected to it, in a session of its own.

    It is read from descriptor 3; what hinders the program is written to descriptor 4. The program gets neither.
    """
    variables = [f"{name}={value}" for name, value in env.items()]
    session = ["setsid", *(["--ctty"] if terminal else [])]
    program = shlex.join([*session, "setpriv", *setpriv, "--", "/usr/bin/env", "-i", *variables, *argv])
    lines = [
        f"cd {shlex.quote(workdir)} 2>&4 || exit {FAILED}",
        f"PATH={shlex.quote(env.get('PATH', TOOLS))}",
        f"command -v {shlex.quote(argv[0])} >/dev/null 2>&1 || {{",
        f"  printf '%s\\n' {shlex.quote(_not_found(argv[0]))} >&4",
        f"  exit {FAILED}",
        "}",
        f"PATH={TOOLS}",
        "exec 3<&- 4>&-",
        f"exec {program}",
    ]
    return "\n".join(lines) + "\n"


def _not_found(program: str) -> str:
    if "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": executable file not found in $PATH'
