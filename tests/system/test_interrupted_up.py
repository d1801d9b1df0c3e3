"""Ctrl-C while a mesh comes up, at several moments: nothing of it is left, and the next `plait up` works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import BIN, Mesh, until
from .test_lifecycle import below, footprint

pytestmark = pytest.mark.system


@dataclass
class Attempt:
    """A `plait up` in progress; what it says is read line by line."""

    mesh: Mesh
    process: subprocess.Popen[str]

    def until_it_says(self, pattern: str) -> None:
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if re.search(pattern, line):
                return
        pytest.fail(f"it did not say {pattern!r}, but:\n{''.join(said)}")

    def launcher(self) -> int:
        return int((self.mesh.state / "launcher.pid").read_text())

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)


@contextmanager
def attempt(mesh: Mesh, *arguments: str) -> Iterator[Attempt]:
    folder = mesh.home / "tmp"
    folder.mkdir(exist_ok=True)
    # Whoever starts the tests with & or nohup has made them deaf to Ctrl-C, and with them what they start.
    with subprocess.Popen(
        ["env", "--default-signal=INT", BIN / "plait", "--name", mesh.name, "up", "--ports", "auto", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**mesh.environment, "TMPDIR": str(folder)},
    ) as process:
        yield Attempt(mesh, process)


def init_begins(attempt: Attempt) -> None:
    """Until init has begun, which takes a while before it hears of anything: PID 1 misses signals until it listens."""

    def begun() -> bool:
        try:
            pids = below(attempt.launcher())
            return any(b"plait.machine.init" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
        except (OSError, ValueError):
            return False

    until("init begins", begun)


def packages(attempt: Attempt) -> None:
    """Until Debian packages for an image are being fetched or unpacked."""

    def fetching() -> bool:
        for pid in below(attempt.launcher()):
            try:
                if b"plait.app.fetch" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
            except OSError:
                continue
        return False

    attempt.until_it_says("sock-shop: applying")
    until("packages are fetched", fetching)


MOMENTS: dict[str, Callable[[Attempt], None]] = {
    "init begins": init_begins,
    "the API server starts": lambda up: up.until_it_says("Kubernetes API: starting"),
    "the control plane starts": lambda up: up.until_it_says(r"control plane: \d+ of"),
    "packages are installed": packages,
    "pods start": lambda up: up.until_it_says(r"sock-shop: \d+ of"),
}


@pytest.mark.parametrize(
    ("moment", "how"), [*((moment, "once") for moment in MOMENTS), ("pods start", "twice"), ("pods start", "SIGTERM")]
)
def test_nothing_is_left_of_an_up_that_was_interrupted(mesh: Mesh, moment: str, how: str) -> None:
    # Whatever one that failed has left.
    mesh.plait("down", code=None)
    with ExitStack() as stack:
        up = stack.enter_context(attempt(mesh, "--demo", "sock-shop"))
        MOMENTS[moment](up)
        of = stack.enter_context(footprint(up.launcher(), mesh.state))
        up.interrupt(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
        if how == "twice":
            up.until_it_says("interrupted")
            up.interrupt()
        _, said = up.process.communicate(timeout=180)
        assert up.process.returncode == 130, said
        assert "Traceback" not in said
        assert "it had not stopped" not in said, said
        until("nothing is left", lambda: not of.left())
    assert list((mesh.home / "tmp").iterdir()) == []
    assert mesh.plait("status", code=3)


def test_the_next_up_works(mesh: Mesh) -> None:
    mesh.plait("up", "--demo", "sock-shop", "--ports", "auto", "--timeout", "280")
    assert mesh.status()["ready"] is True


def test_a_mesh_that_ran_before_goes_on(mesh: Mesh) -> None:
    mesh.plait("up", "--ports", "auto")
    first = mesh.status()["processes"]
    with attempt(mesh, "--demo", "bookinfo") as up:
        up.until_it_says("bookinfo: applying")
        up.interrupt()
        _, said = up.process.communicate(timeout=180)
    # It may have said how far it was before it heard of that.
    assert (up.process.returncode, said.splitlines()[-1]) == (130, "plait: interrupted")
    assert "Traceback" not in said
    assert [p for p in mesh.status()["processes"] if p["name"] == "launcher"] == [
        p for p in first if p["name"] == "launcher"
    ]


def test_a_program_that_is_no_envoy_is_refused_before_anything_starts(mesh: Mesh) -> None:
    mesh.plait("down", "--wipe")
    for program in ("/bin/true", "/etc/passwd"):
        done = mesh.plait("up", "--ports", "auto", "--envoy", program, code=2)
        assert "Invalid value for --envoy: " in done.stderr
    assert not (mesh.state / "launcher.pid").exists()


def test_another_envoy_is_run(mesh: Mesh, tmp_path: Path) -> None:
    """From a path with a blank, as a link."""
    other = tmp_path / "my envoy"
    other.symlink_to(BIN / "envoy")
    mesh.plait("up", "--ports", "auto", "--envoy", str(other))
    assert mesh.status()["ready"] is True


def test_a_narrow_umask_and_an_odd_place_are_no_obstacle(mesh: Mesh) -> None:
    """What pods run from is not theirs, and may be unpacked by who lets nobody read his files."""
    mesh.plait("down", "--wipe")
    odd = Mesh("t-odd", mesh.home / "a ü")
    before = os.umask(0o077)
    try:
        done = odd.plait("up", "--ports", "auto")
        odd.kubectl("run", "a", "--image=busybox", "--command", "--", "sleep", "1000")
        odd.kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=180s")
        assert "uid=" in odd.kubectl("exec", "a", "--", "id").stdout
        line = done.stdout.splitlines()[-1]
        told = subprocess.run(["sh", "-c", f"{line}; echo $KUBECONFIG"], capture_output=True, text=True, check=True)
        assert told.stdout == f"{odd.state / 'kubeconfig'}\n"
    finally:
        os.umask(before)
        odd.plait("down", "--wipe", code=None)
