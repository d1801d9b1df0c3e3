"""Where one mesh keeps what it keeps: the state folder and the files others rely on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from plait.machine.cgroups.ground import Ground
from plait.machine.host_sockets import Reach
from plait.machine.settings import RungName

#: Longer ones cannot be bound (unix(7): 108 bytes with the zero at the end).
_SOCKET_PATH = 107
#: The mesh that nobody has to name.
DEFAULT: Final = "default"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class StateHomeError(ValueError):
    """The environment names no place for state folders."""


def command_for(name: str) -> str:
    """How a command about the mesh of this name begins, to be told."""
    return "plait" if name == DEFAULT else f"plait --name {name}"


@dataclass(frozen=True, slots=True)
class State:
    """Paths of the mesh `name` below `root`, normally `$XDG_STATE_HOME/plait/NAME`."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> State:
        """The state of a mesh by name.

        Raises ValueError for a name that cannot be a folder and a context, and StateHomeError.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"mesh name {name!r}: use lower-case letters, digits and '-', at most 32")
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        if not Path(base).is_absolute():
            # Its commands would find the mesh in one folder only.
            raise StateHomeError(f"XDG_STATE_HOME={base} is not an absolute path, which it has to be")
        return cls(name, Path(base) / "plait" / name)

    @property
    def command(self) -> str:
        """How a command about this mesh begins, to be told: `plait`, or `plait --name NAME`."""
        return command_for(self.name)

    @property
    def kubeconfig(self) -> Path:
        """For kubectl; mode 0600, since it holds the administrator's token."""
        return self.root / "kubeconfig"

    @property
    def pid_file(self) -> Path:
        """The launcher's process id while the mesh runs."""
        return self.root / "launcher.pid"

    @property
    def store(self) -> Path:
        """The objects: SQLite."""
        return self.root / "store.db"

    @property
    def logs(self) -> Path:
        """`NAME.log` of plait's own processes, `pods/…` of containers."""
        return self.root / "logs"

    @property
    def images(self) -> Path:
        """The user's image table and unpacked Debian packages."""
        return self.root / "images"

    @property
    def volumes(self) -> Path:
        """What `persist:` paths of images keep."""
        return self.root / "volumes"

    @property
    def pki(self) -> Path:
        """Certificate authority, server certificate, signing key and tokens of the API server; mode 0700."""
        return self.root / "pki"

    @property
    def plan(self) -> Path:
        """What the launcher told init at the last start."""
        return self.root / "plan.json"

    @property
    def init_socket(self) -> Path:
        """Init's socket, reachable from the host; mode 0600."""
        return self.root / "init.sock"

    @property
    def fetch_socket(self) -> Path:
        """The launcher's socket, by which the node has packages fetched; mode 0600."""
        return self.root / "fetch.sock"

    def make(self) -> None:
        """Create the folders. The root can be passed but not listed by others: the API server runs as its own user.

        Raises OSError.
        """
        longest = max(map(len, map(os.fsencode, (self.init_socket, self.fetch_socket))))
        if longest > _SOCKET_PATH:
            raise OSError(
                errno.ENAMETOOLONG, f"paths of sockets in it have {longest} bytes, {_SOCKET_PATH} are possible"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.logs, self.images, self.images / "layers", self.volumes):
            folder.mkdir(exist_ok=True)
        self.pki.mkdir(exist_ok=True)
        self.pki.chmod(0o700)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts, stops or deletes this mesh meanwhile; waits for whoever does. Raises OSError.

        The lock is on the folder itself, so that none of it stays behind. A folder that is empty afterwards is not
        kept.
        """
        while True:
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                held = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # whoever had it has deleted it just now
            try:
                # Some network file systems cannot: the mesh works all the same.
                with suppress(OSError):
                    fcntl.flock(held, fcntl.LOCK_EX)
                if not self._is(held):
                    # Who had it has deleted it.
                    continue
                try:
                    yield
                finally:
                    with suppress(OSError):  # it is not empty: a mesh's
                        self.root.rmdir()
                return
            finally:
                os.close(held)

    def _is(self, held: int) -> bool:
        try:
            return os.path.samestat(os.fstat(held), self.root.stat())
        except FileNotFoundError:
            return False

    def launcher_pid(self) -> int | None:
        """The launcher's pid if it lives; a left-over file, or a pid that something else now has, counts as none."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if b"plait.app.launcher" in command and os.fsencode(self.plan) in command else None

    def ports(self) -> dict[str, int]:
        """Host ports of the running or last mesh by name; empty if it never ran."""
        return {str(name): int(port) for name, port in self._settings().get("ports", {}).items()}

    def outside(self) -> Reach:
        """How far pods of the running or last mesh reach."""
        found: Reach = self._settings().get("outside", "network")
        return found

    def envoy(self) -> str:
        """Path of the Envoy of the running or last mesh."""
        return str(self._settings().get("envoy", ""))

    def boot(self) -> str:
        """What names the running or last start."""
        return str(self._settings().get("boot", ""))

    def rung(self) -> RungName:
        """How the running or last mesh got its namespaces."""
        found: RungName = self._settings().get("rung", "root")
        return found

    def agent(self) -> bool:
        """Whether the running or last mesh has an agent, as those have that were started by this version."""
        return bool(self._settings().get("agent", False))

    def ground(self) -> Ground:
        """Where the running or last mesh made control groups."""
        try:
            return msgspec.convert(self._settings().get("ground", {}), Ground)
        except msgspec.ValidationError:
            return Ground()

    def _settings(self) -> dict[str, Any]:
        try:
            settings: dict[str, Any] = json.loads(self.plan.read_bytes())["settings"]
        except (OSError, ValueError, KeyError):
            return {}
        return settings
