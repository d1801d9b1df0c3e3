"""Programs in pods reach what the machine reaches, and the mesh's policy and the operator still decide."""

from __future__ import annotations

import contextlib
import http.server
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.serving import served

from .conftest import Mesh, until
from .manifests import listed, service
from .programs import SERVER

pytestmark = pytest.mark.system


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, *_: object) -> None:
        """Quiet."""


def own_address() -> str | None:
    """An address of this machine that is not loopback; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.200", 9))
        return str(probe.getsockname()[0])
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """An HTTP server of this machine, on all its addresses; its port."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Hello)
    with served(server):
        yield server.server_port


@pytest.fixture(scope="module")
def pods(mesh: Mesh) -> Mesh:
    """A mesh that lets pods reach the host too, with a pod in the mesh and one outside of it."""
    mesh.plait("up", "--ports", "auto", "--outside", "host")
    mesh.kubectl("create", "namespace", "meshed")
    mesh.kubectl("label", "namespace", "meshed", "istio-injection=enabled")
    for namespace in ("default", "meshed"):
        mesh.kubectl("-n", namespace, "run", "caller", "--image=debian", "--", "sleep", "100000")
    for namespace in ("default", "meshed"):
        mesh.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/caller", "--timeout=180s")
    return mesh


def call(mesh: Mesh, namespace: str, url: str) -> str:
    """What curl in the pod prints, its error included."""
    done = mesh.kubectl(
        "-n", namespace, "exec", "caller", "-c", "caller", "--", "curl", "-sS", "-m", "60", url, code=None
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("namespace", ["default", "meshed"])
def test_the_machines_own_programs_are_reached_by_name_and_by_address(pods: Mesh, server: int, namespace: str) -> None:
    assert call(pods, namespace, f"http://host.plait.internal:{server}/") == "outside"
    if (address := own_address()) is not None:
        assert call(pods, namespace, f"http://{address}:{server}/") == "outside"


def test_the_pods_own_loopback_stays_its_own_and_metadata_services_are_out_of_reach(pods: Mesh, server: int) -> None:
    assert "outside" not in call(pods, "default", f"http://127.0.0.1:{server}/")
    # The relay takes the connection and resets it: curl may meet that while it still connects.
    said = call(pods, "default", "http://169.254.169.254/")
    assert "reset" in said or "Couldn't connect" in said


def test_registry_only_stops_what_is_not_declared(pods: Mesh, server: int) -> None:
    given = pods.kubectl("-n", "istio-system", "get", "configmap", "istio", "-o", "yaml", "--ignore-not-found").stdout
    assert call(pods, "meshed", f"http://host.plait.internal:{server}/") == "outside"
    pods.kubectl(
        "apply",
        "-f",
        "-",
        given="""\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
""",
    )
    try:
        command = ["-n", "meshed", "exec", "caller", "-c", "caller", "--", "sh", "-c"]
        loop = f"until ! curl -sf -m 5 http://host.plait.internal:{server}/ >/dev/null; do :; done; echo stopped"
        assert "stopped" in pods.kubectl(*command, loop).stdout
        assert call(pods, "default", f"http://host.plait.internal:{server}/") == "outside", "not in the mesh"
    finally:
        if given:
            pods.kubectl("replace", "-f", "-", given=given)
        else:
            pods.kubectl("-n", "istio-system", "delete", "configmap", "istio")


def test_a_node_port_is_open_on_loopback_and_follows_its_service(pods: Mesh) -> None:
    pods.kubectl("-n", "meshed", "run", "web", "--image=python:3", "--port=8000", "--", "python3", "-c", SERVER)
    # Which one a Service gets by itself follows from its name, so another run of these tests may have that already.
    with some_node_port() as holder:
        number = holder.getsockname()[1]
    port = {"name": "http", "port": 80, "targetPort": 8000, "nodePort": number}
    web = service("web", "meshed", port, type="NodePort", selector={"run": "web"})
    pods.kubectl("apply", "-f", "-", given=listed(web))

    def code() -> int:
        ask = ["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{number}/"]
        return int(subprocess.run(ask, capture_output=True, text=True, check=False).stdout)

    until("an answer", lambda: code() == 200)
    relay = next(process["pid"] for process in pods.status()["processes"] if process["name"] == "relay")
    os.kill(relay, signal.SIGKILL)
    until("an answer of the relay that was started again", lambda: code() == 200)
    pods.kubectl("-n", "meshed", "delete", "service", "web")
    until("it is closed", lambda: code() == 0)


def some_node_port() -> socket.socket:
    """A socket that holds a node port which nobody on this machine has."""
    for port in random.sample(range(30000, 32768), 100):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    pytest.fail("all node ports of this machine are in use")


def test_a_node_port_that_is_taken_is_told_and_opened_when_it_is_free(pods: Mesh) -> None:
    with some_node_port() as holder:
        taken = holder.getsockname()[1]
        pods.kubectl("create", "service", "nodeport", "unlucky", "--tcp=80:80", f"--node-port={taken}")
        told = ("events", "--for", "service/unlucky")
        until("an event", lambda: f"127.0.0.1:{taken} cannot be opened" in pods.kubectl(*told).stdout)

    def opened() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", taken)):
            return True
        return False

    until("it is open", opened)


def test_nothing_leaves_when_it_is_off(pods: Mesh, server: int) -> None:
    pods.plait("down")
    pods.plait("up", "--ports", "auto", "--outside", "off")
    pods.kubectl("-n", "default", "wait", "--for=condition=Ready", "pod/caller", "--timeout=180s")
    assert "Could not resolve host" in call(pods, "default", f"http://host.plait.internal:{server}/")
    if (address := own_address()) is not None:
        assert "outside" not in call(pods, "default", f"http://{address}:{server}/")
