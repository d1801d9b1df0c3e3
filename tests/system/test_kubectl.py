"""What people do with kubectl all day, on a mesh of its own: everything here is the real kubectl, node and Envoy."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import BIN, Mesh, until
from .manifests import deployment, listed, namespace, pod, service
from .programs import BURGLAR, CALL_V6, LISTEN_V6, SERVER

pytestmark = pytest.mark.system


def serving(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    http = {"name": "http", "port": 80, "targetPort": "web"}
    return service(name, namespace, http, {"name": "tcp-hello", "port": 25, "targetPort": 2525}, **spec)


def running(name: str, namespace: str, replicas: int, *command: str, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "python:3", "command": list(command), **more}
    return deployment(name, namespace, container, replicas=replicas, terminationGracePeriodSeconds=1)


def finished(mesh: Mesh, namespace: str, name: str) -> str:
    """The output of a pod that runs to its end, which must be a good one."""
    phase = "jsonpath={.status.phase}"
    ends = ("Succeeded", "Failed")
    get = ("get", "pod", "-n", namespace, name, "-o", phase)
    end = until(f"{namespace}/{name} ends", lambda: (now := mesh.kubectl(*get).stdout) in ends and now)
    said = mesh.kubectl("logs", "-n", namespace, name, "-c", "c").stdout
    assert end == "Succeeded", said
    return said


def pid_of(mesh: Mesh, process: str) -> int:
    return next(int(found["pid"]) for found in mesh.status()["processes"] if found["name"] == process)


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    """The mesh, with a server of two pods in `meshed`, and `plain` beside it."""
    mesh.plait("up", "--ports", "auto")
    namespaces = [namespace("meshed"), namespace("plain", injected=False)]
    ports = [{"name": "web", "containerPort": 8000}]
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, "timeoutSeconds": 60}
    server = running("server", "meshed", 2, "python", "-uc", SERVER, ports=ports, readinessProbe=probe)
    mesh.kubectl("apply", "-f", "-", given=listed(*namespaces))
    mesh.kubectl("apply", "-f", "-", given=listed(server, serving("server", "meshed")))
    mesh.kubectl("rollout", "status", "-n", "meshed", "deploy/server", "--timeout=180s")
    return mesh


def test_pods_that_cannot_run_say_why(up: Mesh) -> None:
    broken = [
        pod("bad-image", "plain", container={"image": "nobody/knows:1"}),
        pod("no-program", "plain", "no-such-program"),
        pod("no-volume", "plain", "true", volumes=[{"name": "v", "configMap": {"name": "absent"}}],
            container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        pod("no-key", "plain", "true", container={"env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a"}}}]}),
        pod("root", "plain", "true", securityContext={"runAsNonRoot": True}),
        pod("crash", "plain", "sh", "-c", "echo dying; exit 3"),
    ]  # fmt: skip
    up.kubectl("apply", "-f", "-", given=listed(*broken))
    state = "{.status.containerStatuses[0].state.waiting.reason}"
    for name, reason in (
        ("bad-image", "ImagePullBackOff"),
        ("no-program", "CrashLoopBackOff"),
        ("no-volume", "ContainerCreating"),
        ("no-key", "CreateContainerConfigError"),
        ("root", "CreateContainerConfigError"),
        ("crash", "CrashLoopBackOff"),
    ):
        up.kubectl("wait", "-n", "plain", f"pod/{name}", f"--for=jsonpath={state}={reason}", "--timeout=180s")
    for words in (
        "plait image add nobody/knows:1 -- COMMAND",
        'exec: "no-such-program": executable file not found in $PATH',
        'configmap "absent" not found',
        'secret "absent" not found',
        "container has runAsNonRoot and image will run as root",
    ):
        described = ("describe", "pods", "-n", "plain", "--show-events=true")
        until(words, lambda words=words, described=described: words in up.kubectl(*described).stdout)
    assert up.kubectl("logs", "-n", "plain", "crash", "--previous").stdout == "dying\n"
    up.kubectl("delete", "pods", "-n", "plain", *(item["metadata"]["name"] for item in broken))


def test_a_pod_sees_its_configuration_and_follows_it(up: Mesh) -> None:
    show = 'while :; do echo "$(cat /cm/a) $(cat /secret/p) $(cat /me/labels) $A $EXPANDED"; sleep 0.1; done'
    volumes = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "secret", "secret": {"secretName": "secret"}},
        {"name": "me", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    container = {
        "volumeMounts": [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}},
            {"name": "EXPANDED", "value": "$(A)-$$(A)-$(NONE)"},
        ],
    }
    up.kubectl("create", "configmap", "cm", "-n", "plain", "--from-literal=a=one")
    up.kubectl("create", "secret", "generic", "secret", "-n", "plain", "--from-literal=p=one")
    up.kubectl(
        "apply",
        "-f",
        "-",
        given=listed(pod("watcher", "plain", "sh", "-c", show, volumes=volumes, container=container)),
    )
    up.kubectl("wait", "-n", "plain", "pod/watcher", "--for=condition=Ready", "--timeout=180s")

    def last() -> str:
        return up.kubectl("logs", "-n", "plain", "watcher", "--tail=1").stdout.strip()

    until("the first state", lambda: last() == 'one one app="watcher" one one-$(A)-$(NONE)')
    up.kubectl("patch", "configmap", "cm", "-n", "plain", "-p", '{"data": {"a": "two"}}')
    up.kubectl("patch", "secret", "secret", "-n", "plain", "-p", '{"stringData": {"p": "two"}}')
    up.kubectl("label", "pod", "watcher", "-n", "plain", "app=changed", "--overwrite")
    until("the second state", lambda: last() == 'two two app="changed" one one-$(A)-$(NONE)')


def test_services_are_found_and_reached_from_every_kind_of_pod(up: Mesh) -> None:
    script = """
import re, socket, urllib.request
def web(url, host=""):
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode(), answer.headers.get("server", "")
for _ in range(60): print("pod", web("http://server.meshed")[0])
print("name", socket.gethostbyname("server.meshed.svc.cluster.local") == socket.gethostbyname("server.meshed"))
with socket.create_connection(("server.meshed", 25), 60) as c: print("hello", c.recv(99).decode().strip())
print("strange", web("http://server.meshed", host="strange")[0])
print("by", web("http://server.meshed")[1])
with socket.socket() as s: print("nothing", s.connect_ex(("server.meshed", 81)) != 0)
"""
    free = {"traffic.sidecar.istio.io/excludeOutboundPorts": "80,25"}
    callers = {
        ("plain", "plain"): {},
        ("meshed", "meshed"): {},
        ("meshed", "excluded"): {"annotations": free},
    }
    up.kubectl("apply", "-f", "-", given=listed(*(
        pod(name, namespace, "python", "-c", script, restartPolicy="Never", **more)
        for (namespace, name), more in callers.items()
    )))  # fmt: skip
    with ThreadPoolExecutor() as pool:
        said = dict(zip(callers, pool.map(lambda key: finished(up, *key), callers), strict=True))
    for caller, text in said.items():
        lines = text.splitlines()
        assert len({line for line in lines if line.startswith("pod server-")}) == 2, (caller, text)
        assert "name True" in lines
        assert any(line.startswith("hello 220 server-") for line in lines), (caller, text)
        # No route knows this name, so the sidecar lets the call through to the Service's address.
        assert any(line.startswith("strange server-") for line in lines), (caller, text)
    # Istio: `envoy` is the caller's sidecar, `istio-envoy` the called one's.
    assert "by envoy" in said["meshed", "meshed"]
    assert "by envoy" not in said["meshed", "excluded"]


def test_endpoints_that_somebody_wrote_are_reached_and_go_with_their_service(up: Mesh) -> None:
    first = up.get("pods", "-n", "meshed", "-l", "app=server")["items"][0]
    meta = {"name": "written", "namespace": "meshed"}
    spec = {"ports": [{"name": "http", "port": 80}]}
    subset = {"addresses": [{"ip": first["status"]["podIP"]}], "ports": [{"name": "http", "port": 8000}]}
    objects = listed(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]},
    )
    up.kubectl("apply", "-f", "-", given=objects)
    script = "import urllib.request; print(urllib.request.urlopen('http://written.meshed', timeout=60).read().decode())"
    for place in ("meshed", "plain"):
        caller = pod("to-written", place, "python", "-c", script, restartPolicy="Never")
        up.kubectl("apply", "-f", "-", given=listed(caller))
        assert finished(up, place, "to-written").split()[0] == first["metadata"]["name"]
    up.kubectl("delete", "service", "-n", "meshed", "written")
    slices = ("-n", "meshed", "-l", "kubernetes.io/service-name=written")
    until("the slices are gone", lambda: not up.get("endpointslices", *slices)["items"])
    left = ("get", "endpoints", "-n", "meshed", "-o", "name")
    until("and what was written", lambda: up.kubectl(*left).stdout.split() == ["endpoints/server"])


def test_pods_do_not_reach_each_other_past_their_sidecars(up: Mesh) -> None:
    """Every pod on the bridge has a link-local IPv6 address, which no sidecar captures: it must lead nowhere."""
    up.kubectl("apply", "-f", "-", given=listed(pod("target", "meshed", "python", "-uc", LISTEN_V6)))
    up.kubectl("wait", "-n", "meshed", "pod/target", "--for=condition=Ready", "--timeout=180s")

    def address() -> str:
        return up.kubectl("logs", "-n", "meshed", "target", "-c", "c").stdout.strip()

    found = until("the target reaches itself", address)
    callers = [(namespace, f"call-{namespace}") for namespace in ("meshed", "plain")]
    call = ("python", "-uc", CALL_V6, found)
    up.kubectl(
        "apply", "-f", "-", given=listed(*(pod(name, space, *call, restartPolicy="Never") for space, name in callers))
    )
    for caller in callers:
        assert finished(up, *caller) == "shut\n"


def test_the_uid_of_the_proxy_is_not_captured(up: Mesh, one_uid: bool, lacking: Callable[[str], None]) -> None:
    if one_uid:
        lacking("the whole mesh is one uid here: there is no user 1337")
    call = """
import os, urllib.request
def by():
    with urllib.request.urlopen("http://server.meshed", timeout=60) as answer: return answer.headers.get("server")
print(by()); os.setgid(1337); os.setuid(1337); print(by())
"""
    up.kubectl("apply", "-f", "-", given=listed(pod("two-uids", "meshed", "python", "-c", call, restartPolicy="Never")))
    captured, free = finished(up, "meshed", "two-uids").splitlines()
    assert captured == "envoy", "the caller's sidecar"
    assert free == "istio-envoy", "the called one's alone"


def test_root_in_a_pod_is_not_root_of_the_machine(up: Mesh) -> None:
    wishes = {"securityContext": {"privileged": True, "capabilities": {"add": ["ALL"]}}}
    done = up.kubectl("apply", "-f", "-", given=listed(
        pod("burglar", "plain", "python", "-uc", BURGLAR, restartPolicy="Never", hostPID=True, container=wishes),
        pod("spy", "plain", "ls", "/host", container={"volumeMounts": [{"name": "h", "mountPath": "/host"}]},
            volumes=[{"name": "h", "hostPath": {"path": str(up.state)}}]),
    ))  # fmt: skip
    for field in ("hostPID", "containers[0].securityContext.privileged", "securityContext.capabilities.add[0]"):
        assert re.search(rf"^Warning: spec\..*{re.escape(field)}: ", done.stderr, re.MULTILINE)
    said = dict(line.split(" ", 1) for line in finished(up, "plain", "burglar").splitlines())
    empty = ("homes", "run", "others", "chroot")
    refused = ("shadow", "pause", "raw", "ping", "mark", "mount", "disk", "kernel")
    # A Python of the machine's own /usr is written to in the pod's overlay; one kept elsewhere is mounted read-only.
    assert said.pop("code") in {"0", "refused"}
    assert Path(ctypes.__file__).read_text(), "the machine's own file is as it was"
    assert said == {**dict.fromkeys(empty, "[]"), **dict.fromkeys(refused, "refused")}
    message = ("get", "events", "-n", "plain", "--field-selector", "involvedObject.name=spy")
    until("why the other does not start", lambda: "which no pod may see" in up.kubectl(*message).stdout)


def test_the_token_of_a_pod_reads_no_secrets(up: Mesh) -> None:
    account = "--as=system:serviceaccount:plain:default"
    assert up.kubectl("auth", "can-i", "get", "pods", account).stdout == "yes\n"
    assert up.kubectl("auth", "can-i", "get", "secrets", account, code=1).stdout.startswith("no")
    assert "Forbidden" in up.kubectl("get", "secrets", "-n", "plain", account, code=1).stderr


def test_what_has_no_effect_is_said(up: Mesh) -> None:
    sidecar = {"name": "istio-proxy", "image": "istio/proxyv2:1.0.0"}
    old = running("old", "plain", 0, "true", resources={"requests": {"cpu": "1"}})
    old["spec"]["template"]["spec"] |= {"hostNetwork": True, "priorityClassName": "high"}
    old["spec"]["template"]["spec"]["containers"].append(sidecar)
    given = listed(old, serving("old", "plain", type="NodePort", externalTrafficPolicy="Local"))
    said = up.kubectl("apply", "-f", "-", "--dry-run=server", given=given).stderr
    for words in (
        "spec.template.spec.hostNetwork: has no effect",
        "spec.template.spec.priorityClassName: has no effect",
        "spec.template.spec.containers[0].resources.requests: reserves nothing",
        "spec.externalTrafficPolicy: has no effect",
        'Deployment "old": spec.template carries a sidecar (container istio-proxy',
    ):
        assert f"Warning: {words}" in said


def test_a_rollout_survives_the_death_of_node_and_api(up: Mesh) -> None:
    up.kubectl("apply", "-f", "-", given=listed(running("many", "plain", 12, "sleep", "1000")))
    os.kill(pid_of(up, "node"), signal.SIGKILL)
    up.kubectl("rollout", "status", "-n", "plain", "deploy/many", "--timeout=180s")
    up.kubectl("set", "env", "-n", "plain", "deploy/many", "A=1")
    os.kill(pid_of(up, "api"), signal.SIGKILL)

    def rolled_out() -> bool:
        return (
            up.kubectl("rollout", "status", "-n", "plain", "deploy/many", "--timeout=180s", code=None).returncode == 0
        )

    until("the rollout's end", rolled_out)
    up.kubectl("rollout", "undo", "-n", "plain", "deploy/many")
    up.kubectl("scale", "-n", "plain", "deploy/many", "--replicas=2")
    until("two pods", lambda: len(up.get("pods", "-n", "plain", "-l", "app=many")["items"]) == 2)
    up.kubectl("rollout", "status", "-n", "plain", "deploy/many", "--timeout=180s")
    history = up.kubectl("rollout", "history", "-n", "plain", "deploy/many").stdout
    assert re.findall(r"^\d+", history, re.MULTILINE) == ["2", "3"]


def test_a_client_side_apply_may_become_a_server_side_one(up: Mesh) -> None:
    given = listed(pod("both", "plain", "sleep", "1000"))
    up.kubectl("apply", "-f", "-", given=given)
    up.kubectl("apply", "--server-side", "-f", "-", given=given)
    assert up.kubectl("diff", "-f", "-", given=given).stdout == ""


def test_a_port_is_forwarded_to_a_service(up: Mesh) -> None:
    command = [str(BIN / "kubectl"), "port-forward", "-n", "meshed", "svc/server", ":80"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=up.environment) as forward:
        try:
            assert forward.stdout is not None
            port = forward.stdout.readline().split(" -> ")[0].rpartition(":")[2]
            said = subprocess.run(
                ["curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{port}"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        finally:
            forward.terminate()
    assert said.startswith("server-")


def test_top_shows_what_pods_and_the_node_use(up: Mesh) -> None:
    rows = [
        line.split()
        for line in up.kubectl("top", "pods", "-n", "meshed", "--containers", "--no-headers").stdout.splitlines()
    ]
    shown = {(row[0].rpartition("-")[0].rpartition("-")[0], row[1]): row[2:] for row in rows}
    assert {("server", "c"), ("server", "istio-proxy")} <= set(shown)
    for cpu, memory in shown.values():
        assert cpu.endswith("m")
        assert 1 <= int(memory.removesuffix("Mi")) < 500
    (node,) = up.kubectl("top", "nodes", "--no-headers").stdout.splitlines()
    assert node.split()[0] == "plait"
    assert up.kubectl("top", "pods", "-n", "meshed", "-l", "app=nobody").stderr.startswith("No resources found")
    assert 'pods.metrics.k8s.io "nobody" not found' in up.kubectl("top", "pod", "-n", "meshed", "nobody", code=1).stderr


def test_what_the_machine_cannot_do_without_comes_back(up: Mesh) -> None:
    up.kubectl("create", "namespace", "careless")
    up.kubectl("delete", "configmaps,serviceaccounts", "--all", "-n", "careless")
    up.kubectl("delete", "service", "kubernetes", "-n", "default")
    up.kubectl("delete", "node", "plait")
    until("a service account", lambda: up.get("serviceaccounts", "-n", "careless")["items"])
    up.kubectl("run", "after", "-n", "careless", "--image=busybox:1", "--restart=Never", "--", "echo", "runs")
    up.kubectl("wait", "-n", "careless", "pod/after", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")
    up.kubectl("wait", "node/plait", "--for=create", "--timeout=180s")
    up.kubectl("wait", "node/plait", "--for=condition=Ready", "--timeout=180s")
    up.kubectl("wait", "service/kubernetes", "-n", "default", "--for=create", "--timeout=180s")
    assert up.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"] == "10.42.128.1"


def test_a_namespace_goes_with_all_that_is_in_it(up: Mesh) -> None:
    up.kubectl("create", "namespace", "doomed")
    server = running("server", "doomed", 3, "sleep", "1000")
    up.kubectl(
        "apply", "-f", "-", given=listed(server, serving("server", "doomed"), pod("lone", "doomed", "sleep", "9"))
    )
    up.kubectl("rollout", "status", "-n", "doomed", "deploy/server", "--timeout=180s")
    up.kubectl("delete", "namespace", "doomed", "--timeout=180s")
    assert up.kubectl("get", "all,configmaps,secrets", "-n", "doomed", "-o", "name").stdout == ""
    assert [found["name"] for found in up.status()["processes"] if "/doomed/" in found["name"]] == []
