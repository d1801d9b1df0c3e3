"""Which pods get a sidecar, which connections it takes, manual injection, and what its access log says."""

from __future__ import annotations

import json

import pytest
import yaml

from .conftest import until
from .manifests import namespace, service

pytestmark = pytest.mark.system

INJECT = "sidecar.istio.io/inject"
TRAFFIC = "traffic.sidecar.istio.io/"
SERVER = ["python", "-u", "-m", "http.server", "8000"]
#: How Envoy names itself to who asked through it, and the address under which it calls its application.
ENVOY, FROM_SIDECAR = "envoy", "127.0.0.6"


def container(name: str = "app") -> dict:
    return {"name": name, "image": "python:3", "args": SERVER}


def pod(name: str, namespace: str, *, labels: dict | None = None, annotations: dict | None = None) -> dict:
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container()]}}


def deployment(name: str, **template: dict) -> dict:
    labels = {"app": name}
    spec = {"containers": [container()], **template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


OBJECTS = (
    namespace("in"),
    namespace("out", injected=False),
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "accessLogFile: /dev/stdout\n"},
    },
    service("web", "out", {"name": "http", "port": 8000}),
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "out"},
        "spec": {
            "hosts": ["web"],
            "http": [
                {
                    "match": [{"uri": {"prefix": "/nowhere"}}],
                    "route": [{"destination": {"host": "web", "subset": "v9"}}],
                },
                {"route": [{"destination": {"host": "web"}}]},
            ],
        },
    },
    pod("web", "out", labels={"app": "web"}),
    pod("asked", "out", labels={INJECT: "true"}),
    pod("plain", "in"),
    pod("label", "in", labels={INJECT: "false"}),
    pod("annotation", "in", annotations={INJECT: "false"}),
    pod(
        "excluded",
        "in",
        annotations={TRAFFIC + "excludeInboundPorts": "8000", TRAFFIC + "excludeOutboundPorts": "8000"},
    ),
    pod("included", "in", annotations={TRAFFIC + "includeInboundPorts": "9", TRAFFIC + "includeOutboundIPRanges": ""}),
)


@pytest.fixture(scope="module")
def pods(mesh):
    """The mesh with all pods ready."""
    mesh.plait("up", "--ports", "auto")
    mesh.plait("apply", "-f", "-", given="---\n".join(yaml.safe_dump(obj) for obj in OBJECTS))
    for name in ("in", "out"):
        mesh.kubectl("wait", "-n", name, "--for=condition=Ready", "pod", "--all", "--timeout=180s")
    return mesh


def ready(mesh, namespace: str) -> dict[str, str]:
    """Pod to its READY column."""
    lines = mesh.kubectl("get", "pods", "-n", namespace, "--no-headers").stdout.splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def ask(mesh, who: str, namespace: str, url: str) -> str:
    """The head of the answer that a pod gets; empty without one, as long as who is asked does not listen yet."""
    command = ("curl", "-sS", "-o", "/dev/null", "-D", "-", "--max-time", "60", url)
    return mesh.kubectl("exec", "-n", namespace, who, "-c", "app", "--", *command, code=None).stdout


def test_the_pods_own_word_wins_over_its_namespace(pods) -> None:
    assert {name: count for name, count in ready(pods, "in").items() if name in {"plain", "label", "annotation"}} == {
        "plain": "2/2",
        "label": "1/1",
        "annotation": "1/1",
    }
    assert ready(pods, "out")["asked"] == "2/2"
    assert ready(pods, "out")["web"] == "1/1"


@pytest.mark.parametrize(
    ("who", "captured"), [("plain", True), ("label", False), ("excluded", False), ("included", False)]
)
def test_calls_go_through_the_sidecar_unless_their_port_or_range_is_left_out(pods, who: str, captured: bool) -> None:
    def answer() -> str | None:
        text = ask(pods, who, "in", "http://web.out:8000/")
        return text if " 200 " in text else None

    head = until("an answer", answer)
    assert (f"server: {ENVOY}" in head) is captured, head


@pytest.mark.parametrize(
    ("who", "captured"), [("plain", True), ("label", False), ("excluded", False), ("included", False)]
)
def test_calls_come_through_the_sidecar_unless_their_port_is_left_out(pods, who: str, captured: bool) -> None:
    address = pods.get("pod", who, "-n", "in")["status"]["podIP"]
    until("an answer", lambda: "404" in ask(pods, "web", "out", f"http://{address}:8000/from-outside"))

    def callers() -> set[str]:
        log = pods.kubectl("logs", "-n", "in", who, "-c", "app").stdout
        return {line.split()[0] for line in log.splitlines() if "GET /from-outside" in line}

    (caller,) = until("its line in the log", callers)
    assert (caller == FROM_SIDECAR) is captured


def test_an_annotation_that_cannot_be_followed_is_refused_in_words(pods) -> None:
    wrong = pod("wrong", "in", annotations={TRAFFIC + "excludeInboundPorts": "http"})
    done = pods.kubectl("create", "-f", "-", given=json.dumps(wrong), code=1)
    assert "'http' is not a port; write port numbers from 1 to 65535" in done.stderr


@pytest.mark.parametrize("namespace", ["in", "out"])
def test_a_template_injected_by_hand_is_not_injected_again(pods, namespace: str) -> None:
    given = yaml.safe_dump(deployment("by-hand"))
    injected = pods.plait("kube-inject", "-n", namespace, "-f", "-", given=given).stdout
    assert pods.plait("kube-inject", "-n", namespace, "-f", "-", given=injected).stdout == injected
    pods.kubectl("apply", "-n", namespace, "-f", "-", given=injected)
    pods.kubectl("rollout", "status", "-n", namespace, "deployment/by-hand", "--timeout=180s")
    (count,) = {count for name, count in ready(pods, namespace).items() if name.startswith("by-hand-")}
    assert count == "2/2"


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_foreign_sidecar_is_replaced_with_a_warning_and_never_doubled(pods, by_hand: bool) -> None:
    name = "foreign-by-hand" if by_hand else "foreign"
    proxy = {"name": "istio-proxy", "image": "gcr.io/istio-release/proxyv2:release-1.0-latest-daily"}
    init = {"name": "istio-init", "image": "gcr.io/istio-release/proxy_init:release-1.0-latest-daily"}
    given = yaml.safe_dump(deployment(name, containers=[container(), proxy], initContainers=[init]))
    if by_hand:
        done = pods.plait("kube-inject", "-f", "-", given=given)
        assert "Warning: " in done.stderr
        given = done.stdout
    done = pods.kubectl("apply", "-n", "out", "-f", "-", given=given)
    if not by_hand:
        assert "release-1.0-latest-daily" in done.stderr
    pods.kubectl("rollout", "status", "-n", "out", f"deployment/{name}", "--timeout=180s")
    (found,) = pods.get("pods", "-n", "out", "-l", f"app={name}")["items"]
    assert [status["ready"] for status in found["status"]["containerStatuses"]] == [True, True]
    assert all("istio-release" not in c["image"] for c in found["spec"]["containers"])


def test_the_access_log_of_a_sidecar_is_explained(pods) -> None:
    def explained() -> str | None:
        ask(pods, "plain", "in", "http://web.out:8000/nowhere")
        text = pods.plait("logs", "--proxy", "plain.in", "--errors").stdout
        return text if "NC: upstream cluster not found" in text else None

    text = until("a line with the flag NC, in words", explained)
    assert "GET /nowhere" in text
    assert "usual cause: the VirtualService names a subset that no DestinationRule defines" in text
    assert "route: VirtualService/out/web" in text
