"""The circuit breaker lesson: the demo's own manifests, and fortio inside the mesh."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from .conftest import BIN, until

pytestmark = pytest.mark.system

INSTALL = "1-sock-shop-install/1-sock-shop-complete-demo-istio.yaml"
LESSON = "3-circuit-breaker"
#: Of 200 calls 135 fail with one connection and 105 with two, give or take 9 and 6; of so many the shares are apart.
CALLS = 2000
#: The lesson's own command, with more calls so that shares are no matter of chance, and more patience than fortio's
#: three seconds, so that it is none of who else uses the machine.
LOAD = (
    f"/usr/local/bin/fortio load -c 3 -qps 0 -n {CALLS} -timeout 60s -loglevel Warning http://front-end:80/index.html"
)
OVERFLOW = "cluster.outbound|80||front-end.sock-shop.svc.cluster.local.upstream_rq_pending_overflow"


def documents(path: Path) -> str:
    """The documents of a file that are about the front end, to the letter."""
    about = re.compile(r"^metadata:\n(?: .*\n)*?  name: front-end(-v1)?$", flags=re.MULTILINE)
    chosen = [text for text in re.split(r"^---\s*$", path.read_text(), flags=re.MULTILINE) if about.search(text)]
    assert len(chosen) == 2
    return "---".join(chosen)


@pytest.fixture(scope="module")
def shop(mesh, shared):
    """A mesh with the front end and fortio, as the demo installs them; and the demo's folder."""
    demo = shared / "sockshop-istio"
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "namespace", "sock-shop")
    mesh.kubectl("label", "namespace", "sock-shop", "istio-injection=enabled")
    mesh.kubectl("apply", "-n", "sock-shop", "-f", "-", given=documents(demo / INSTALL))
    mesh.kubectl("apply", "-f", str(demo / LESSON / "3-fortio.yaml"))
    for name in ("front-end-v1", "fortio-deploy"):
        mesh.kubectl("rollout", "status", "-n", "sock-shop", f"deployment/{name}", "--timeout=180s")
    # The demo's pods have no probes: one that runs need not listen yet.
    ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://front-end:80/index.html")
    inside = ("exec", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "fortio", "--")
    until("the front end answers", lambda: mesh.kubectl(*inside, *ask, code=None).stdout == "200")
    return mesh, demo / LESSON


class Loaded:
    """A pod that has run the lesson's command, and still runs."""

    def __init__(self, mesh, name: str) -> None:
        self._mesh, self.name = mesh, name
        container = {"name": "fortio", "image": "istio/fortio:latest_release", "command": ["/bin/sh", "-c"]}
        container["args"] = [f"{LOAD}; echo exit=$?; exec sleep infinity"]
        metadata = {"name": name, "namespace": "sock-shop"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
        mesh.kubectl("apply", "-f", "-", given=json.dumps(pod))
        self.text = until("the load has ended", self._log, seconds=180)

    def _log(self) -> str:
        text = self._mesh.kubectl("logs", "-n", "sock-shop", self.name, "-c", "fortio", code=None).stdout
        return text if "exit=" in text else ""

    @property
    def codes(self) -> dict[int, int]:
        """How often each status came."""
        return {
            int(code): int(count) for code, count in re.findall(r"^Code +(-?\d+) : (\d+) ", self.text, re.MULTILINE)
        }

    def overflows(self) -> int:
        """What the pod's own Envoy counted."""
        target = ["port-forward", "-n", "sock-shop", f"pod/{self.name}", ":15000"]
        forward = subprocess.Popen(
            [str(BIN / "kubectl"), *target], stdout=subprocess.PIPE, text=True, env=self._mesh.environment
        )
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())[1]
            with urlopen(f"http://127.0.0.1:{port}/stats?format=json&filter=pending_overflow", timeout=60) as answer:
                stats = json.load(answer)["stats"]
        finally:
            forward.terminate()
            forward.wait()
            forward.stdout.close()
        return next((stat["value"] for stat in stats if stat.get("name") == OVERFLOW), 0)


def limits(mesh, connections: int | None) -> dict:
    """The cluster of a proxy that is there already, once it has so many connections as its limit; None = many."""

    def active() -> dict | None:
        target = ["proxy-config", "cluster", "deploy/fortio-deploy", "-n", "sock-shop", "-o", "json"]
        (cluster,) = json.loads(mesh.plait(*target, "--fqdn", "front-end.sock-shop.svc.cluster.local").stdout)
        thresholds = cluster.get("circuit_breakers", {}).get("thresholds", [])
        found = [t.get("max_connections") for t in thresholds if t.get("priority", "DEFAULT") == "DEFAULT"]
        reached = connections in found if connections else not any(n and n < 1000 for n in found)
        return cluster if reached else None

    return until(f"{connections or 'any number of'} connections at most", active)


def test_fortio_answers_in_its_pod(shop) -> None:
    """At the path of the demo's time and at today's; its server echoes on the port that the manifest names."""
    mesh, _ = shop
    inside = ("exec", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "fortio", "--")
    for program in ("/usr/local/bin/fortio", "/usr/bin/fortio"):
        done = mesh.kubectl(*inside, program, "load", "-curl", "http://front-end:80/index.html")
        assert "HTTP/1.1 200 OK" in done.stdout + done.stderr
        assert "<title>WeaveSocks</title>" in done.stdout
    echo = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://localhost:8080/?status=418")
    until("fortio's server", lambda: mesh.kubectl(*inside, *echo, code=None).stdout == "418")
    said = "http-echo server listening on tcp 0.0.0.0:8080"
    log = ("logs", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "fortio")
    until("fortio's server listens", lambda: said in mesh.kubectl(*log).stdout)


def test_without_a_rule_all_pass(shop) -> None:
    mesh, _ = shop
    mesh.kubectl("delete", "destinationrule", "front-end", "-n", "sock-shop", "--ignore-not-found")
    limits(mesh, None)
    loaded = Loaded(mesh, "load-free")
    assert loaded.codes == {200: CALLS}
    assert "Sockets used: 3 (for perfect keepalive, would be 3)" in loaded.text
    assert loaded.overflows() == 0
    assert "exit=0" in loaded.text


def test_with_few_connections_a_share_fails(shop) -> None:
    mesh, lesson = shop
    text = (lesson / "3-circuit-breaker.yaml").read_text()
    mesh.kubectl("apply", "-f", "-", given=text.replace("maxConnections: 2", "maxConnections: 1"))
    limits(mesh, 1)
    one = Loaded(mesh, "load-one")
    failed = one.codes.get(503, 0)
    assert set(one.codes) == {200, 503}
    assert 0.1 * CALLS < failed < 0.9 * CALLS, one.text
    assert one.text.count('"msg":"Non ok http code"') == failed
    (sockets,) = re.findall(r"^Sockets used: (\d+) ", one.text, re.MULTILINE)
    assert failed <= int(sockets) <= failed + 3, "a failure costs its connection"
    assert one.overflows() == failed, "each failure is an overflow, counted by the caller's own proxy"
    assert "exit=0" in one.text, "as fortio: failures are a result, not an error"
    mesh.kubectl("apply", "-f", "-", given=text)
    cluster = limits(mesh, 2)
    assert cluster["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == 1
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"]["max_requests_per_connection"] == 1
    two = Loaded(mesh, "load-two")
    assert 0 < two.codes.get(503, 0) < failed, two.text
    assert two.overflows() == two.codes[503]
