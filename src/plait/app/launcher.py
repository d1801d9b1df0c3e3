"""`python -m plait.app.launcher PLAN FD…`: the one process of a mesh on the host.

It starts init in a node namespace of its own and waits. Whatever ends it, SIGKILL included, ends the mesh whole: the
parent-death signal takes `unshare`, `unshare` takes init, and init is PID 1 of everything else. While it waits it does
what needs the host's network: it has Debian packages fetched for the node.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

from plait.machine import private_socket

#: As root a mesh needs no user namespace; the options of the other rungs stand in front of these.
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
#: Debian policy: names of source and binary packages.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
#: Seconds a client of the socket has to say what it wants.
_PATIENCE = 2.0


def node_command(python: str, plan: Path) -> list[str]:
    """The command that becomes init, PID 1 of a new node namespace."""
    return [*_UNTIL_WE_DIE, "unshare", *NAMESPACES, python, "-m", "plait.machine.init", str(plan)]


_UNTIL_WE_DIE = ("setpriv", "--pdeathsig", "KILL")


class Launcher:
    """Waits for the node's end, and for requests on the socket meanwhile."""

    def __init__(self, plan: Path, inherited: tuple[int, ...]) -> None:
        self._folder = plan.parent
        self._selector = selectors.DefaultSelector()
        self._fetches: list[subprocess.Popen[bytes]] = []
        self._selector.register(private_socket.listen(self._folder / "fetch.sock"), selectors.EVENT_READ)
        command = node_command(sys.executable, plan)
        self._node = subprocess.Popen(command, pass_fds=inherited, stdin=subprocess.DEVNULL, start_new_session=True)
        for number in inherited:
            os.close(number)

    def run(self) -> int:
        """Until the node has ended; its exit code."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ)
        while (code := self._node.poll()) is None:
            for key, _ in self._selector.select():
                if key.fileobj is reader:
                    reader.recv(4096)
                elif isinstance(key.fileobj, socket.socket):
                    self._accept(key.fileobj)
            self._fetches = [fetch for fetch in self._fetches if fetch.poll() is None]
        for fetch in self._fetches:
            fetch.kill()
            fetch.wait()
        return code

    def _accept(self, listener: socket.socket) -> None:
        """Start a fetch; it answers on the connection itself, so that this process never waits for it."""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_PATIENCE)
            try:
                packages = connection.recv(4096).decode("ascii", "replace").split()
            except OSError:
                return
            if not packages or not all(map(_PACKAGE.fullmatch, packages)):
                return
            connection.settimeout(None)
            layers = str(self._folder / "images" / "layers")
            command = [*_UNTIL_WE_DIE, sys.executable, "-m", "plait.app.fetch", layers, *packages]
            self._fetches.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=connection.fileno()))

    def _stop(self) -> None:
        """Ask init to stop: `unshare` itself ignores SIGTERM while it waits, or would leave init without one."""
        outer = self._node.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            os.kill(int(children[0]) if children else outer, signal.SIGTERM)
        except OSError:
            return


def main() -> None:
    """Run until init ends or SIGTERM asks for the mesh to stop; the listening sockets are inherited and passed on."""
    plan = Path(sys.argv[1])
    code = Launcher(plan, tuple(int(number) for number in sys.argv[2:])).run()
    for name in ("launcher.pid", "init.sock", "fetch.sock"):
        (plan.parent / name).unlink(missing_ok=True)
    sys.exit(0 if code in {0, -signal.SIGTERM} else 1)


if __name__ == "__main__":
    main()
