"""`python -m plait.app.launcher PLAN FD… -- CHANNEL…`: the one process of a mesh on the host.

It starts init in a node namespace of its own and waits. Whatever ends it, SIGKILL included, ends the mesh whole: the
parent-death signal takes `unshare`, `unshare` takes init, and init is PID 1 of everything else. While it waits it does
what needs the host's network: it has Debian packages fetched for the node, and gives it sockets towards the outside.
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

import msgspec

from plait.app import rungs
from plait.app.plan import PATH
from plait.app.state import command_for
from plait.machine import host_sockets, private_socket
from plait.machine.cgroups import keeper
from plait.machine.init.plan import Plan

#: Debian policy: names of source and binary packages.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
#: Seconds after which init is asked to stop once more. PID 1 of a namespace hears no signal that it has no handler
#: for, and while init is being started it has none yet.
_ASK_AGAIN = 0.2
#: Seconds a client of the socket has to say what it wants.
_PATIENCE = 2.0


class Launcher:
    """Waits for the node's end, and for requests on the socket meanwhile."""

    def __init__(self, plan: Path, inherited: tuple[int, ...], channels: tuple[int, ...] = ()) -> None:
        self._folder = plan.parent
        machine = msgspec.json.decode(plan.read_bytes(), type=Plan).settings
        alias = host_sockets.host_alias(machine.pod_network)
        #: The name of the mesh.
        self.mesh = machine.name
        self._giver = host_sockets.Giver(reach=machine.outside, mesh=machine.network, alias=alias)
        self._selector = selectors.DefaultSelector()
        self._fetches: list[subprocess.Popen[bytes]] = []
        self._selector.register(private_socket.listen(self._folder / "fetch.sock"), selectors.EVENT_READ, self._accept)
        for number in channels:
            self._selector.register(socket.socket(fileno=number), selectors.EVENT_READ, self._give)
        command = (*rungs.node_command(), sys.executable, "-m", "plait.machine.init", str(plan))
        # A user's own PATH often lacks the folders of ip and nft.
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        rung = rungs.of(machine.rung)
        self._node = rungs.start(rung, command, env=environment, pass_fds=inherited, start_new_session=True)
        for number in inherited:
            os.close(number)
        self._stopping = False
        self._ground = machine.ground
        self._keeper = keeper.start(self._ground, self._node.pid) if self._ground.places else None

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
            for key, _ in self._selector.select(_ASK_AGAIN if self._stopping else None):
                if key.fileobj is reader:
                    reader.recv(4096)
                else:
                    key.data(key.fileobj)
            self._fetches = [fetch for fetch in self._fetches if fetch.poll() is None]
            self._keep_keeper()
            if self._stopping:
                self._ask_to_stop()
        for fetch in self._fetches:
            fetch.kill()
            fetch.wait()
        self._clear()
        return code

    def _keep_keeper(self) -> None:
        """Replace a keeper that something has ended."""
        if self._keeper is not None and os.waitpid(self._keeper, os.WNOHANG) != (0, 0):
            self._keeper = keeper.start(self._ground, self._node.pid)

    def _clear(self) -> None:
        """Wait until the keeper has removed the control groups, or remove them."""
        if self._keeper is not None and os.waitpid(self._keeper, 0)[1] != 0:
            keeper.clear(self._ground)

    def _accept(self, listener: socket.socket) -> None:
        """Start a fetch; it answers on the connection itself, so that this process never waits for it."""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_PATIENCE)
            try:
                packages = connection.recv(4096).decode("ascii", "replace").split()
            except OSError:
                return  # it asked for nothing in time, or has gone
            if not packages or not all(map(_PACKAGE.fullmatch, packages)):
                return
            connection.settimeout(None)
            layers = str(self._folder / "images" / "layers")
            command = [*rungs.UNTIL_WE_DIE, sys.executable, "-m", "plait.app.fetch", layers, *packages]
            self._fetches.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=connection.fileno()))

    def _give(self, channel: socket.socket) -> None:
        """Answer a request for a socket."""
        if not self._giver.serve(channel):
            self._selector.unregister(channel)
            channel.close()

    def _stop(self) -> None:
        self._stopping = True

    def _ask_to_stop(self) -> None:
        """Ask init to stop: `unshare` itself ignores SIGTERM while it waits, or would leave init without one."""
        outer = self._node.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            os.kill(int(children[0]) if children else outer, signal.SIGTERM)
        except OSError:
            return  # it has ended: there is nothing to stop


def last_words(code: int, command: str) -> str:
    """What the log ends with for the exit code of `unshare` (negative: the signal); empty if the end was asked for.
    `command` is how commands about this mesh begin.

    Of an init that was killed `unshare` says nothing that a person could use, and its code is 1.
    """
    if code in {0, -signal.SIGTERM}:
        return ""
    how = f"was ended by signal {-code}" if code < 0 else "was killed, or failed as told above"
    return (
        f"launcher: the mesh has ended: init, the first of its processes, {how}; {command} up starts the mesh again "
        "with the objects that are stored"
    )


def put_away(store: Path) -> None:
    """Remove the side files of a store that was closed: its server, who is nobody in this folder, may not.

    After a crash something is in them, and they stay.
    """
    log = store.with_name(f"{store.name}-wal")
    if log.exists() and not log.stat().st_size:
        for file in (log, store.with_name(f"{store.name}-shm")):
            file.unlink(missing_ok=True)


def main() -> None:
    """Run until init ends or SIGTERM asks for the mesh to stop; the listening sockets are inherited and passed on."""
    plan, between = Path(sys.argv[1]), sys.argv.index("--")
    inherited, channels = (tuple(map(int, numbers)) for numbers in (sys.argv[2:between], sys.argv[between + 1 :]))
    launcher = Launcher(plan, inherited, channels)
    code = launcher.run()
    put_away(plan.parent / "store.db")
    for name in ("launcher.pid", "init.sock", "fetch.sock"):
        (plan.parent / name).unlink(missing_ok=True)
    sys.exit(last_words(code, command_for(launcher.mesh)) or 0)


if __name__ == "__main__":
    main()
