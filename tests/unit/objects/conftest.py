"""A real API server with plait's own rules at its door, and the commands that speak to it."""

from __future__ import annotations

import asyncio
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.api_settings import api_settings

from plait.app import pki
from plait.app.admission import Rules
from plait.cli.istioctl import main as istioctl
from plait.cli.main import main as plait
from plait.inject import convert_workload
from plait.machine.api.schema import load_schemas
from plait.machine.api.server import serve


class Server:
    """Serves from a loop in a thread of its own, since commands bring their own loops."""

    def __init__(self, folder: Path) -> None:
        (folder / "pki").mkdir()
        pki.ensure(folder / "pki", ["127.0.0.1"], ["localhost"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.kubeconfig = folder / "kubeconfig"
        pki.write_kubeconfig(self.kubeconfig, folder / "pki", mesh="test", port=port)
        self._settings = api_settings(self._listening, pki=folder / "pki", folder=folder)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        rules = Rules()
        work = serve(
            self._settings,
            schemas=load_schemas(),
            admission=rules,
            convert=convert_workload,
            started=self._ready.set,
        )
        self._task = asyncio.create_task(work)
        await asyncio.wait({self._task})

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        assert self._loop is not None
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
        self._listening.close()


@dataclass(frozen=True)
class Commands:
    """Runs the commands in one namespace, made for one test; `folder` is for its files."""

    kubeconfig: Path
    namespace: str
    folder: Path

    def __call__(self, *arguments: str, given: str = "", code: int = 0, program=plait) -> Result:
        name = "plait" if program is plait else "istioctl"
        done = CliRunner().invoke(
            program, ["--kubeconfig", str(self.kubeconfig), *arguments], input=given, prog_name=name
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    def istioctl(self, *arguments: str, given: str = "", code: int = 0) -> Result:
        return self(*arguments, given=given, code=code, program=istioctl)

    def file(self, text: str, name: str = "objects.yaml") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("NAMESPACE", self.namespace))
        return str(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("api"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def run(server: Server, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch) -> Commands:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    made = Commands(server.kubeconfig, f"n{zlib.crc32(request.node.name.encode())}", tmp_path)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}
    made("apply", "-f", "-", given=str(namespace).replace("'", '"'))
    return made


@pytest.fixture
def routes() -> Callable[[str], str]:
    """A VirtualService and a DestinationRule named front-end, to a subset."""

    def text(subset: str = "v1") -> str:
        return f"""\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: front-end
spec:
  hosts: ["front-end"]
  http:
  - route:
    - destination: {{host: front-end, subset: {subset}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata:
  name: front-end
spec:
  host: front-end
  subsets:
  - name: {subset}
    labels: {{version: {subset}}}
---
"""

    return text
