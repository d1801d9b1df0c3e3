"""Meshes for tests that do what a user does: real plait, kubectl, curl and Envoy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

BIN = Path(sys.executable).parent
#: Seconds after which a condition that should hold does not: generous, since machines are shared.
PATIENCE = 90.0

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], *, seconds: float = PATIENCE) -> T:
    """The first true value of `probe`; fails with the last one when time is up."""
    end = time.monotonic() + seconds
    value = None
    while time.monotonic() < end:
        if value := probe():
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {seconds:.0f} s: {what}; last seen: {value!r}")


@dataclass(frozen=True)
class Mesh:
    """A mesh of its own, with a state folder of its own, on free ports."""

    name: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its commands run with."""
        return {**os.environ, "XDG_STATE_HOME": str(self.home), "KUBECONFIG": str(self.state / "kubeconfig")}

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.home / "plait" / self.name

    def plait(self, *arguments: str, given: str = "", code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run plait; the exit status must be `code` unless that is None."""
        return self._run([str(BIN / "plait"), "--name", self.name, *arguments], code, given)

    def kubectl(self, *arguments: str, given: str = "", code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl against it."""
        return self._run([str(BIN / "kubectl"), *arguments], code, given)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def curl(self, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run curl through the ingress gateway."""
        return self._run(["curl", "-sS", "--max-time", "20", *arguments, self.url(path)], None)

    def code(self, path: str, *arguments: str) -> int:
        """The HTTP status of a request through the ingress gateway; 0 if there was no answer."""
        return int(self.curl(path, "-o", "/dev/null", "-w", "%{http_code}", *arguments).stdout or 0)

    def url(self, path: str) -> str:
        """Where a path of the ingress gateway is."""
        return f"http://127.0.0.1:{self.status()['ports']['http']}{path}"

    def status(self) -> dict[str, Any]:
        """`plait status -o json`."""
        return json.loads(self.plait("status", "-o", "json", code=None).stdout)

    def _run(self, command: list[str], code: int | None, given: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=300,
            check=False,
        )
        if code is not None and done.returncode != code:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.evidence()}")
        return done

    def evidence(self) -> str:
        """The ends of its logs, for a failure's report."""
        logs = sorted((self.state / "logs").glob("*.log"))
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-15:]) for path in logs)


@pytest.fixture(scope="session")
def capable(lacking: Callable[[str], None]) -> None:
    """Skip, or in CI fail, where this machine cannot run a mesh."""
    done = subprocess.run([str(BIN / "plait"), "doctor"], capture_output=True, text=True, check=False)
    if done.returncode:
        lacking(f"a mesh cannot run here:\n{done.stdout}")


@pytest.fixture(scope="module")
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, capable: None) -> Iterator[Mesh]:
    """A mesh name and folder for one module, brought up by the tests or other fixtures, taken down at the end."""
    name = "t-" + request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:20]
    made = Mesh(name, tmp_path_factory.mktemp("state"))
    yield made
    made.plait("down", "--wipe", code=None)
