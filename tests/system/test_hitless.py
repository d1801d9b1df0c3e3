"""No request fails when configuration or pods change as they should: routes and subsets, rollouts, scale, drains,
the gateway.

`PLAIT_HITLESS_CYCLES=1000` makes the test of subsets last, `PLAIT_HITLESS_RATE` sets its calls a second, and
`PLAIT_HITLESS_SEED` another course.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from plait.machine.init.relay import PATIENCE

from .api_client import Api
from .conftest import BIN, Mesh, until
from .hitless_programs import CALLER, JOB, LEAVER, SERVER
from .manifests import READY, deployment, listed, namespace, python, service

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]

log = logging.getLogger(__name__)

CYCLES = int(os.environ.get("PLAIT_HITLESS_CYCLES", "30"))
RATE = int(os.environ.get("PLAIT_HITLESS_RATE", "200"))
SEED = int(os.environ.get("PLAIT_HITLESS_SEED", "1"))
NETWORKING = "networking.istio.io/v1"
WEB = "web.hit.svc.cluster.local"


def meta(name: str) -> dict[str, str]:
    return {"name": name, "namespace": "hit"}


def server(version: str, replicas: int) -> dict[str, Any]:
    container = python(SERVER, env=[{"name": "VERSION", "value": version}], readinessProbe=READY)
    return deployment(f"web-{version}", "hit", container, labels={"app": "web", "version": version}, replicas=replicas)


def subsets(timeout: str = "10s", **versions: str) -> dict[str, Any]:
    """The DestinationRule with these subsets; another timeout makes other clusters of them all."""
    listed = [{"name": name, "labels": {"version": version}} for name, version in versions.items()]
    policy = {"connectionPool": {"tcp": {"connectTimeout": timeout}}}
    spec = {"host": "web", "trafficPolicy": policy, "subsets": listed}
    return {"apiVersion": NETWORKING, "kind": "DestinationRule", "metadata": meta("web"), "spec": spec}


def route(subset: str) -> dict[str, Any]:
    """The VirtualService that sends everything to one subset."""
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web", "subset": subset}}]}]}
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": meta("web"), "spec": spec}


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    """Two versions of a server, a caller that never stops, and the gateway before the server."""
    mesh.plait("up", "--ports", "auto")
    objects = [
        namespace("hit"),
        service("web", "hit"),
        server("v1", 2),
        server("v2", 1),
        deployment("caller", "hit", python(CALLER, env=[{"name": "RATE", "value": str(RATE)}])),
        {
            "apiVersion": NETWORKING,
            "kind": "Gateway",
            "metadata": meta("door"),
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        },
        {
            "apiVersion": NETWORKING,
            "kind": "VirtualService",
            "metadata": meta("door"),
            "spec": {"hosts": ["*"], "gateways": ["door"], "http": [{"route": [{"destination": {"host": "web"}}]}]},
        },
    ]
    mesh.kubectl("apply", "-f", "-", given=listed(*objects))
    rolled_out(mesh, "web-v1", "web-v2", "caller")
    until("the caller succeeds", lambda: said(mesh) and "failed" in said(mesh)[-1] and said(mesh)[-1]["versions"])
    return mesh


def rolled_out(mesh: Mesh, *names: str) -> None:
    for name in names:
        mesh.kubectl("-n", "hit", "rollout", "status", f"deployment/{name}", "--timeout=180s")


def said(mesh: Mesh) -> list[dict[str, Any]]:
    """What the caller has said so far."""
    lines = mesh.kubectl("-n", "hit", "logs", "deployment/caller", "-c", "c").stdout.splitlines()
    return [json.loads(line) for line in lines]


@contextmanager
def no_failure(mesh: Mesh, course: str = "") -> Iterator[None]:
    """Between entry and exit, and a moment after, every call succeeds, and there are calls."""
    before = len(said(mesh))
    yield
    end = len(said(mesh))
    until("calls go on", lambda: len(said(mesh)) > end + 4)
    lines = said(mesh)[before:]
    failed = [line for line in lines if "status" in line]
    counts = [line["calls"] for line in lines if "calls" in line]
    # The caller says it four times a second.
    log.info("%s: %d calls, %.0f a second", course, counts[-1] - counts[0], 4 * (counts[-1] - counts[0]) / len(counts))
    assert not failed, f"{course}: {len(failed)} of {counts[-1] - counts[0]} calls: {failed[:5]}\n{access_log(mesh)}"
    assert counts[-1] - counts[0] > len(counts), "there were calls"


def access_log(mesh: Mesh) -> str:
    """What the caller's sidecar has written of calls that failed."""
    lines = mesh.kubectl("-n", "hit", "logs", "deployment/caller", "-c", "istio-proxy", code=None).stdout.splitlines()
    return "\n".join([line for line in lines if '" 200 ' not in line][-10:])


def test_subsets_come_and_go(up: Mesh) -> None:
    """Add a subset, shift everything to it, remove the one before: in three writes, as fast as chance will have it."""
    chance = random.Random(SEED)
    with closing(Api(up)) as api, no_failure(up, f"{CYCLES} cycles of seed {SEED}"):
        api.apply(subsets(s0="v1"))
        api.apply(route("s0"))
        for number in range(1, CYCLES + 1):
            old, new = f"s{number - 1}", f"s{number}"
            versions = ("v1", "v2") if number % 2 else ("v2", "v1")
            timeout = chance.choice(("5s", "6s"))
            both, one = {old: versions[0], new: versions[1]}, {new: versions[1]}
            for obj in (subsets(timeout, **both), route(new), subsets(timeout, **one)):
                api.apply(obj)
                time.sleep(chance.choice((0.0, 0.005, 0.02, 0.1)))


@pytest.mark.parametrize("first", ["rule", "route"])
def test_one_file_in_either_order(up: Mesh, first: str) -> None:
    """A subset takes another's place, in one file: whichever object comes first, the two take effect together."""

    def both(number: int) -> str:
        objects = [subsets(**{f"{first}{number}": ("v1", "v2")[number % 2]}), route(f"{first}{number}")]
        return listed(*(objects if first == "rule" else reversed(objects)))

    up.kubectl("-n", "hit", "delete", "virtualservice/web", "destinationrule/web", "--ignore-not-found")
    with no_failure(up):
        for number in range(4):
            up.kubectl("apply", "-f", "-", given=both(number))
        up.kubectl("delete", "-f", "-", given=both(3))


def test_rolling_restart_and_scale(up: Mesh) -> None:
    with no_failure(up):
        up.kubectl("-n", "hit", "rollout", "restart", "deployment/web-v1", "deployment/web-v2")
        rolled_out(up, "web-v1", "web-v2")
        for replicas in (4, 1, 2):
            up.kubectl("-n", "hit", "scale", "deployment/web-v1", f"--replicas={replicas}")
            rolled_out(up, "web-v1")
        until("the others are gone", lambda: len(pods(up, "version=v1")) == 2)


def pods(mesh: Mesh, selector: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in mesh.get("pods", "-n", "hit", "-l", selector)["items"]]


def test_drain_of_one_pod(up: Mesh) -> None:
    """`kubectl drain` cordons the node and evicts; pods are started on a cordoned node too."""
    victim = pods(up, "version=v1")[0]
    up.kubectl("-n", "hit", "label", "pod", victim, "drain=this")
    (node,) = (item["metadata"]["name"] for item in up.get("nodes")["items"])
    with no_failure(up):
        try:
            up.kubectl(
                "drain", node, "--pod-selector=drain=this", "--force", "--delete-emptydir-data", "--timeout=180s"
            )
        finally:
            up.kubectl("uncordon", node)
        rolled_out(up, "web-v1")
    assert victim not in pods(up, "version=v1")


class Visitor(threading.Thread):
    """Calls through the gateway over one connection for as long as that lasts, then over the next."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.calls, self.failed, self.enough = port, 0, [], threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.enough.wait(0.02):
            self.calls += 1
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()


def test_gateway_restart(up: Mesh) -> None:
    """Connections that are kept, calls that last, and new connections: all go on."""
    port = up.status()["ports"]["http"]
    until("the gateway serves", lambda: up.code("/") == 200)
    visitors = [Visitor(port) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    long = subprocess.Popen(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://127.0.0.1:{port}/slow?7"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with no_failure(up):
        up.kubectl("-n", "istio-system", "rollout", "restart", "deployment/istio-ingressgateway")
        up.kubectl("-n", "istio-system", "rollout", "status", "deployment/istio-ingressgateway", "--timeout=180s")
        until(
            "the old one is gone",
            lambda: len(up.get("pods", "-n", "istio-system", "-l", "istio=ingressgateway")["items"]) == 1,
        )
        for visitor in visitors:
            visitor.enough.set()
            visitor.join()
    assert [visitor.failed for visitor in visitors] == [[]] * len(visitors)
    assert sum(visitor.calls for visitor in visitors) > 20
    status, _, size = long.communicate(timeout=180)[0].partition(" ")
    assert status == "200"
    assert int(size) > 16, "all of it, although the gateway it came through was told to end meanwhile"


def test_clients_wait_for_a_gateway_that_was_killed(up: Mesh) -> None:
    """Nobody is there for a moment; the host's socket is, and whoever comes waits, up to `PATIENCE`."""
    for _ in range(3):
        up.kubectl("-n", "istio-system", "delete", "pod", "-l", "istio=ingressgateway", "--grace-period=0", "--force")
        begun = time.monotonic()
        if up.code("/") == 200:
            return
        assert time.monotonic() - begun > PATIENCE, "sent away too soon"
        until("the gateway serves", lambda: up.code("/") == 200)
    pytest.fail(f"a gateway takes more than {PATIENCE:.0f} s to come back")


def test_a_sidecar_is_there_before_its_application_and_after_it(up: Mesh) -> None:
    container = {"name": "c", "image": "python:3", "command": ["python3", "-c", JOB]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("once"), "spec": spec}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta("leaver"),
        "spec": {"containers": [container | {"command": ["python3", "-c", LEAVER]}]},
    }
    up.kubectl("apply", "-f", "-", given=listed(job, pod))
    up.kubectl("-n", "hit", "wait", "job/once", "--for=condition=Complete", "--timeout=180s")
    assert up.kubectl("-n", "hit", "logs", "job/once", "-c", "c").stdout == "200\n"
    up.kubectl("-n", "hit", "wait", "pod/leaver", "--for=condition=Ready", "--timeout=180s")
    log = ["-n", "hit", "logs", "leaver", "-c", "c"]
    until("it has called", lambda: up.kubectl(*log).stdout == "first 200\n")
    address = up.get("pod", "-n", "hit", "leaver")["status"]["podIP"]
    ask = f"import urllib.request as r; print(r.urlopen('http://{address}:8000/').read().decode(), end='')"
    command = [BIN / "kubectl", "-n", "hit", "exec", "deployment/caller", "-c", "c", "--", "python3", "-c", ask]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=up.environment)
    until("it is asked", lambda: "asked" in up.kubectl(*log).stdout)
    following = subprocess.Popen([BIN / "kubectl", *log, "-f"], stdout=subprocess.PIPE, text=True, env=up.environment)
    up.kubectl("-n", "hit", "delete", "pod/leaver")
    assert following.communicate(timeout=180)[0].splitlines() == ["first 200", "asked"] + ["leaving 200"] * 10
    assert asking.communicate(timeout=180)[0] == "answered"
