"""`python -m plait.app.launcher PLAN`: the one process of a mesh on the host.

It starts init in a node namespace of its own and waits. Whatever ends it, SIGKILL included, ends the mesh whole: the
parent-death signal takes `unshare`, `unshare` takes init, and init is PID 1 of everything else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

#: As root a mesh needs no user namespace; the options of the other rungs stand in front of these.
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


def node_command(python: str, plan: Path) -> list[str]:
    """The command that becomes init, PID 1 of a new node namespace."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, python, "-m", "plait.machine.init", str(plan)]


def main() -> None:
    """Run until init ends or SIGTERM asks for the mesh to stop; the listening sockets are inherited and passed on."""
    plan = Path(sys.argv[1])
    inherited = tuple(int(number) for number in sys.argv[2:])
    pid_file = plan.parent / "launcher.pid"
    node = subprocess.Popen(
        node_command(sys.executable, plan), pass_fds=inherited, stdin=subprocess.DEVNULL, start_new_session=True
    )
    for number in inherited:
        os.close(number)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(node.pid))
    code = node.wait()
    pid_file.unlink(missing_ok=True)
    (plan.parent / "init.sock").unlink(missing_ok=True)
    sys.exit(0 if code in {0, -signal.SIGTERM} else 1)


def _stop(unshare: int) -> None:
    """Ask init to stop: `unshare` itself ignores SIGTERM while it waits, or would leave init without one."""
    try:
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        os.kill(int(children[0]) if children else unshare, signal.SIGTERM)
    except OSError:
        return


if __name__ == "__main__":
    main()
