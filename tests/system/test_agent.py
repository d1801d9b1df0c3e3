"""The agent of a mesh: certificates of pods' proxies, kept fresh, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Mesh, until
from .manifests import READY, account, deployment, listed, namespace, python, service
from .programs import SERVER

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: Calls for ever: on one connection, and on a new one each time. Says how each call went, numbered.
CALLER = """
import http.client, itertools, time
kept = http.client.HTTPConnection("web", timeout=60)
for number in itertools.count():
    words = []
    for connection in (kept, http.client.HTTPConnection("web", timeout=60)):
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            words.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            words.append(type(error).__name__)
    connection.close()
    print(number, *words, flush=True)
    time.sleep(0.02)
"""
OUTPUT: dict[str, Any] = {"capture_output": True, "text": True}
#: A life of so many seconds is what the short-lived pods' certificates have.
LIFE = 20


def workload(name: str, program: str, *, lifetime: int = 0, **more: object) -> dict[str, Any]:
    annotations = {}
    if lifetime:
        annotations["proxy.istio.io/config"] = json.dumps({"proxyMetadata": {"SECRET_TTL": f"{lifetime}s"}})
    container = python(program, name=name, **more)
    return deployment(name, "ids", container, annotations=annotations, serviceAccountName=name)


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    """A server whose certificates live for seconds, and a caller."""
    mesh.plait("up", "--ports", "auto")
    objects = [
        namespace("ids"),
        service("web", "ids"),
        *(account(name, "ids") for name in ("web", "caller")),
        workload("web", SERVER, lifetime=LIFE, readinessProbe=READY),
        workload("caller", CALLER),
    ]
    mesh.kubectl("apply", "-f", "-", given=listed(*objects))
    mesh.kubectl("-n", "ids", "rollout", "status", "deployment/web", "deployment/caller", "--timeout=180s")
    until("calls succeed", lambda: [call[1:] for call in calls(mesh)[-5:]] == [["200", "200"]] * 5)
    return mesh


def calls(mesh: Mesh) -> list[list[str]]:
    done = mesh.kubectl("-n", "ids", "logs", "deployment/caller", "-c", "caller", code=None)
    return [] if done.returncode else [line.split() for line in done.stdout.splitlines()]


def failed(mesh: Mesh, since: int = 0) -> list[list[str]]:
    return [call for call in calls(mesh)[since:] if call[1:] != ["200", "200"]]


def secrets(mesh: Mesh, target: str, namespace: str = "ids") -> dict[str, list[str]]:
    """The rows of `proxy-config secret` by name."""
    done = mesh.plait("proxy-config", "secret", target, "-n", namespace, code=None)
    rows = [line.replace("Cert Chain", "Chain").split() for line in done.stdout.splitlines()[1:]]
    return {row[0]: row[1:] for row in rows if len(row) > 6}


def pid(mesh: Mesh, name: str = "agent") -> int | None:
    return next((each["pid"] for each in mesh.status()["processes"] if each["name"] == name), None)


def sockets(mesh: Mesh) -> set[str]:
    """The pods for which the agent has a socket."""
    target = str(pid(mesh, "init"))
    # The folder is the agent's alone; of an ordinary user's mesh only its own root can look.
    within = ["--user"] if Path(f"/proc/{target}/ns/user").readlink() != Path("/proc/self/ns/user").readlink() else []
    look = ["find", "/run/plait/agent", "-name", "socket"]
    # A folder that goes meanwhile is an error to `find`: who asks looks again.
    done = subprocess.run(["nsenter", "-t", target, *within, "--mount", "--", *look], check=False, **OUTPUT)
    return {Path(line).parent.name for line in done.stdout.splitlines()}


def living(mesh: Mesh) -> set[str]:
    """The pods with a proxy."""
    return {
        pod["metadata"]["uid"]
        for pod in mesh.get("pods", "-A")["items"]
        if any(container["name"] == "istio-proxy" for container in pod["spec"]["containers"])
    }


def test_every_proxy_has_a_certificate_of_its_own_service_account(up: Mesh) -> None:
    for name in ("web", "caller"):
        found = secrets(up, f"deploy/{name}")
        assert found["default"][0:3] == ["Chain", "ACTIVE", "true"]
        assert found["default"][-1] == f"spiffe://cluster.local/ns/ids/sa/{name}"
        assert found["ROOTCA"][0:3] == ["CA", "ACTIVE", "true"]
    gateway = secrets(up, "deploy/istio-ingressgateway", "istio-system")
    assert gateway["default"][-1].startswith("spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway")
    until("a socket for each", lambda: sockets(up) == living(up))


def test_proxies_ask_istiod_over_mutual_tls(up: Mesh) -> None:
    dump = json.loads(up.plait("proxy-config", "bootstrap", "deploy/caller", "-n", "ids").stdout)["bootstrap"]
    assert dump["node"]["metadata"]["PROXY_CONFIG"]["discoveryAddress"] == "istiod.istio-system.svc:15012"
    stats = up.kubectl(
        "-n", "ids", "exec", "deploy/caller", "-c", "caller", "--",
        "curl", "-s", "localhost:15000/stats?filter=cluster.xds-grpc.ssl.handshake",
    ).stdout  # fmt: skip
    assert int(stats.split(": ")[1]) >= 1


def test_certificates_are_renewed_and_no_connection_is_lost(up: Mesh) -> None:
    since = len(calls(up))
    serials: list[str] = []

    def three() -> bool:
        if (row := secrets(up, "deploy/web").get("default")) and row[3] not in serials:
            serials.append(row[3])
        return len(serials) >= 3

    until("the server has had three certificates", three)
    until("calls go on", lambda: len(calls(up)) > since + 50)
    assert not failed(up, since)


def test_who_kills_the_agent_kills_no_call_and_new_pods_get_certificates(up: Mesh) -> None:
    since, before = len(calls(up)), pid(up)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    late = workload("late", SERVER)
    late["spec"]["template"]["spec"]["serviceAccountName"] = "web"
    up.kubectl("apply", "-f", "-", given=json.dumps(late))
    until("the agent is back", lambda: pid(up) not in {None, before})
    up.kubectl("-n", "ids", "rollout", "status", "deployment/late", "--timeout=180s")
    assert secrets(up, "deploy/late")["default"][-1] == "spiffe://cluster.local/ns/ids/sa/web"
    serial = secrets(up, "deploy/web")["default"][3]
    until("proxies hear of the new agent", lambda: secrets(up, "deploy/web")["default"][3] != serial)
    until("calls go on", lambda: len(calls(up)) > since + 50)
    assert not failed(up, since)
    until("a socket for each", lambda: sockets(up) == living(up))


def test_a_node_that_comes_back_finds_the_identities_as_they_were(up: Mesh) -> None:
    serial, agent, node = secrets(up, "deploy/caller")["default"][3], pid(up), pid(up, "node")
    assert node is not None
    os.kill(node, signal.SIGKILL)
    until("the node is back", lambda: pid(up, "node") not in {None, node})
    up.kubectl("-n", "ids", "rollout", "restart", "deployment/late")
    up.kubectl("-n", "ids", "rollout", "status", "deployment/late", "--timeout=180s")
    until("only living pods have sockets", lambda: sockets(up) == living(up))
    assert pid(up) == agent
    assert secrets(up, "deploy/caller")["default"][3] == serial


def test_a_pod_that_goes_takes_its_socket_along(up: Mesh) -> None:
    up.kubectl("-n", "ids", "delete", "deployment/late", "--wait")
    until("its pods are gone", lambda: not up.get("pods", "-n", "ids", "-l", "app=late")["items"])
    until("and their sockets", lambda: sockets(up) == living(up))


@pytest.fixture
def patient(up: Mesh) -> Iterator[Mesh]:
    yield up
    up.kubectl("-n", "istio-system", "scale", "deployment/istiod", "--replicas=1")
    up.kubectl("-n", "istio-system", "rollout", "status", "deployment/istiod", "--timeout=180s")


def test_without_istiod_certificates_hold_and_new_pods_wait_for_theirs(patient: Mesh) -> None:
    # Certificates that live for seconds would end meanwhile, as they should.
    patient.kubectl("apply", "-f", "-", given=json.dumps(workload("web", SERVER)))
    patient.kubectl("-n", "ids", "rollout", "status", "deployment/web", "--timeout=180s")
    patient.kubectl("-n", "istio-system", "scale", "deployment/istiod", "--replicas=0")
    until("istiod is gone", lambda: not patient.get("pods", "-n", "istio-system", "-l", "app=istiod")["items"])
    since = len(calls(patient))
    late = workload("late", SERVER)
    late["spec"]["template"]["spec"]["serviceAccountName"] = "web"
    patient.kubectl("apply", "-f", "-", given=json.dumps(late))
    until("calls go on", lambda: len(calls(patient)) > since + 50)
    assert not failed(patient, since)
    patient.kubectl("-n", "istio-system", "scale", "deployment/istiod", "--replicas=1")
    patient.kubectl("-n", "ids", "rollout", "status", "deployment/late", "--timeout=180s")
    assert secrets(patient, "deploy/late")["default"][1] == "ACTIVE"
