"""Meshes for tests that do what a user does: real plait, kubectl, curl and Envoy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .browser import Browser, program
from .waiting import until

__all__ = ["BIN", "LESSONS", "ROUTES", "Mesh", "until"]

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
#: The shop's own routes, and the files of the lessons in the documentation: tests apply what people are told to apply.
ROUTES = ROOT / "demo/sockshop/manifests/60-routes.yaml"
LESSONS = ROOT / "docs/lessons"


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
        return self._run(["curl", "-sS", "--max-time", "60", *arguments, self.url(path)], None)

    def code(self, path: str, *arguments: str) -> int:
        """The HTTP status of a request through the ingress gateway; 0 if there was no answer."""
        return int(self.curl(path, "-o", "/dev/null", "-w", "%{http_code}", *arguments).stdout or 0)

    def url(self, path: str) -> str:
        """Where a path of the ingress gateway is."""
        return f"http://127.0.0.1:{self.status()['ports']['http']}{path}"

    def status(self) -> dict[str, Any]:
        """`plait status -o json`."""
        done = self.plait("status", "-o", "json", code=None)
        assert done.stdout, f"plait status said nothing, but:\n{done.stderr}"
        return json.loads(done.stdout)

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
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def evidence(self) -> str:
        """What a person would look at next, for a failure's report: logs, pods, events, proxies."""
        told = [f"--- {path.name}\n{tail(path.read_text())}" for path in sorted((self.state / "logs").glob("*.log"))]
        looks: dict[str, Callable[[], subprocess.CompletedProcess[str]]] = {
            "pods": lambda: self.kubectl("get", "pods", "-A", "-o", "wide", code=None),
            "events": lambda: self.kubectl("events", "-A", "--types=Warning", code=None),
            "istiod": lambda: self.kubectl("logs", "-n", "istio-system", "deploy/istiod", code=None),
            "proxies": lambda: self.plait("proxy-status", code=None),
        }
        for name, look in looks.items() if (self.state / "kubeconfig").exists() else ():
            done = look()
            told.append(f"--- {name}\n{tail(done.stdout + done.stderr)}")
        return "\n".join(told)


def tail(text: str, lines: int = 20) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails tells what state its mesh is in."""
    report = yield
    if report.failed:
        values = getattr(item, "funcargs", {}).values()
        meshes = {mesh.name: mesh for value in values if isinstance(mesh := getattr(value, "mesh", value), Mesh)}
        report.sections += [(f"mesh {name}", mesh.evidence()) for name, mesh in meshes.items()]
    return report


@pytest.fixture(scope="session")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What `plait doctor` says of this machine, to a mesh that is none of the user's."""
    return Mesh("t-doctor", tmp_path_factory.mktemp("doctor")).plait("doctor", code=None)


@pytest.fixture(scope="session")
def capable(doctor: subprocess.CompletedProcess[str], lacking: Callable[[str], None]) -> None:
    """Skip, or in CI fail, where this machine cannot run a mesh."""
    if doctor.returncode:
        lacking(f"a mesh cannot run here:\n{doctor.stdout}")


@pytest.fixture(scope="session")
def one_uid(doctor: subprocess.CompletedProcess[str]) -> bool:
    """Whether all of a mesh is one user here (docs/features/rootless.md): pods then have no users of their own."""
    return "as one uid" in doctor.stdout.partition("namespaces: ")[2].partition("\n")[0]


@pytest.fixture(scope="module")
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, capable: None) -> Iterator[Mesh]:
    """A mesh name and folder for one module, brought up by the tests or other fixtures, taken down at the end."""
    name = "t-" + request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:20]
    made = Mesh(name, tmp_path_factory.mktemp("state"))
    yield made
    made.plait("down", "--wipe", code=None)


@pytest.fixture(scope="session")
def sock_shop(tmp_path_factory: pytest.TempPathFactory, capable: None) -> Iterator[Mesh]:
    """The mesh with the whole Sock Shop, as `make demo` has it; the lessons share it."""
    made = Mesh("t-shop", tmp_path_factory.mktemp("shop"))
    # Debian's packages are downloaded for its databases.
    made.plait("up", "--demo", "sock-shop", "--ports", "auto", "--timeout", "280")
    yield made
    made.plait("down", "--wipe", code=None)


#: A caller with a sidecar, in the west.
CALLER = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: threads, namespace: shop}
spec: {concurrency: 2, environmentVariables: {GREETING: hello}}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, labels: {app: caller, istio-locality: west.1}}
spec: {containers: [{name: caller, image: debian, command: [sleep, "100000"]}]}
"""


@pytest.fixture(scope="session")
def outer(tmp_path_factory: pytest.TempPathFactory, capable: None) -> Iterator[Mesh]:
    """A mesh whose pods reach programs of this machine, which join it, and a pod that calls them."""
    made = Mesh("t-outer", tmp_path_factory.mktemp("outer"))
    made.plait("up", "--ports", "auto", "--outside", "host")
    made.kubectl("apply", "-f", "-", given=CALLER)
    made.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/caller", "--timeout=180s")
    yield made
    made.plait("down", "--wipe", code=None)


@pytest.fixture
def lesson(sock_shop: Mesh) -> Mesh:
    """The shop, with the routes it came with in effect: all traffic to version 1, no faults."""
    sock_shop.kubectl("apply", "-f", str(ROUTES))
    # Until then its answers are those of the lesson before.
    sock_shop.kubectl("wait", "--for=condition=Settled", "-f", str(ROUTES), "--timeout=180s")
    return sock_shop


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Browser]:
    """A real browser, or a skip where there is none."""
    if (executable := program()) is None:
        lacking("no Chromium is installed (Debian: apt install chromium)")
    made = Browser(executable, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
