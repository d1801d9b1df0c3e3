"""The bootstrap in a real Envoy."""

import datetime as dt
import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from plait.inject import BootstrapConfig, bootstrap
from plait.kit import certificates
from plait.mesh.node import ProxyNode
from plait.proxy.envoy import find_envoy

pytestmark = pytest.mark.envoy

PORTS = (15000, 15021, 15090)
ROOT = certificates.pem(certificates.make_root(certificates.name("root"), dt.datetime.now(dt.UTC))[1]).decode()
ADMIN, READY, METRICS = map(str, PORTS)


@pytest.fixture(scope="module")
def envoy():
    return str(find_envoy())


def write(tmp_path, document):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("more", [{}, {"certificates": True}, {"roots": ROOT}], ids=["plain", "agent", "root"])
@pytest.mark.parametrize("kind", ["sidecar", "router"])
def test_envoy_takes_it_without_a_warning(envoy, tmp_path, kind, more):
    node = ProxyNode(kind=kind, ip="10.42.0.7", pod="web-1", namespace="shop", labels=(("app", "web"),))
    annotations = {
        "sidecar.istio.io/statsInclusionPrefixes": "cluster.outbound,http",
        "sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_total",
        "sidecar.istio.io/statsInclusionRegexps": r"listener\..*\.downstream_rq",
    }
    document = bootstrap(node, config=BootstrapConfig(token="t", annotations=annotations, **more))
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", write(tmp_path, document), "--disable-hot-restart"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "configuration" in done.stdout + done.stderr
    assert "[warning]" not in done.stderr, done.stderr


def moved(value, folder):
    """With unix sockets, named for their ports, in the place of the proxy's own addresses: others may have those."""
    if isinstance(value, list):
        return [moved(one, folder) for one in value]
    if not isinstance(value, dict):
        return value
    if (own := value.get("socket_address")) and own["port_value"] in PORTS:
        return {"pipe": {"path": str(folder / str(own["port_value"]))}}
    return {key: moved(one, folder) for key, one in value.items()}


def get(door, path):
    with (
        closing(HTTPConnection("localhost", timeout=60)) as connection,
        socket.socket(socket.AF_UNIX) as connection.sock,
    ):
        try:
            connection.sock.connect(str(door))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < deadline, "nothing came of it within 60 s"
        time.sleep(0.02)
    return value


@pytest.fixture
def folder():
    """Sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="boot") as name:
        yield Path(name)


@contextmanager
def serve(envoy, folder, document, lacking):
    if shutil.which("setpriv") is None:
        lacking("no setpriv is here")
    log = (folder / "envoy.log").open("wb")
    path = write(folder, moved(document, folder))
    command = [envoy, "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def sidecar():
    node = ProxyNode(kind="sidecar", ip="127.0.0.1", pod="web-1", namespace="shop")
    return bootstrap(node, config=BootstrapConfig(token="t", discovery_address="127.0.0.1:1"))


def test_it_is_not_ready_before_its_configuration_has_come(envoy, folder, lacking):
    with serve(envoy, folder, sidecar(), lacking):
        wait_for(lambda: get(folder / ADMIN, "/server_info")[0] == 200)
        assert get(folder / ADMIN, "/ready")[0] == 503
        assert get(folder / READY, "/healthz/ready")[0] == 0


def test_readiness_and_metrics_are_served_and_nothing_else(envoy, folder, lacking):
    document = sidecar()
    # Without a control plane to wait for, Envoy is ready at once.
    del document["dynamic_resources"], document["cluster_manager"]
    document["static_resources"]["clusters"] = document["static_resources"]["clusters"][:2]
    with serve(envoy, folder, document, lacking):
        wait_for(lambda: get(folder / READY, "/healthz/ready")[0] == 200)
        assert get(folder / READY, "/ready")[0] == 404
        assert get(folder / READY, "/quitquitquit")[0] == 404
        status, text = get(folder / METRICS, "/stats/prometheus")
        assert status == 200
        assert "envoy_server_live" in text
        assert get(folder / METRICS, "/config_dump")[0] == 404
