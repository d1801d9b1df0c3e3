"""Clients that are not kubectl: Python's three, and helm, each doing what its users do every day."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kr8s
import kr8s.asyncio
import kubernetes
import kubernetes.stream
import kubernetes_asyncio
import kubernetes_asyncio.stream
import pytest

from .conftest import Mesh, until

pytestmark = [
    pytest.mark.system,
    # They are as their makers leave them: pools and sessions that are closed late, calls that are deprecated.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning"),
]

BODY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "labels": {"of": "clients"}},
    "data": {"a": "1"},
}
HELLO = ["sh", "-c", "echo hello; echo oops >&2"]


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    """A mesh with a pod in it."""
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("run", "box", "--image=debian", "--labels=of=clients", "--", "sleep", "100000")
    mesh.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=180s")
    return mesh


@pytest.fixture
def namespace(up: Mesh, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").lower()[:40].strip("-")
    up.kubectl("create", "namespace", name)
    return name


@pytest.fixture(autouse=True)
def _files_of_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clients write certificates into temporary files, which they remove when Python ends; a worker is killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    for library in (kubernetes, kubernetes_asyncio):
        library.config.kube_config._cleanup_temp_files()


def test_kubernetes_lists_watches_patches_and_executes(up: Mesh, namespace: str) -> None:
    client = kubernetes.config.new_client_from_config(str(up.state / "kubeconfig"))
    core = kubernetes.client.CoreV1Api(client)
    core.create_namespaced_config_map(namespace, BODY)
    listed = core.list_namespaced_config_map(namespace, label_selector="of=clients")
    assert [item.data for item in listed.items] == [{"a": "1"}]
    core.patch_namespaced_config_map("c", namespace, {"data": {"b": "2"}})
    seen = []
    for event in kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, namespace, label_selector="of=clients", timeout_seconds=120
    ):
        seen.append((event["type"], event["object"].data))
        if event["type"] == "ADDED":
            core.delete_namespaced_config_map("c", namespace)
        else:
            break
    assert seen == [("ADDED", {"a": "1", "b": "2"}), ("DELETED", {"a": "1", "b": "2"})]
    said = kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec,
        "box",
        "default",
        command=HELLO,
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    assert sorted(said.split()) == ["hello", "oops"]
    with pytest.raises(kubernetes.client.exceptions.ApiException) as raised:
        core.read_namespaced_config_map("absent", namespace)
    assert raised.value.status == 404
    virtual = kubernetes.client.CustomObjectsApi(client).list_cluster_custom_object(
        "networking.istio.io", "v1", "gateways"
    )
    assert virtual["kind"] == "GatewayList"


async def test_kubernetes_asyncio_lists_watches_patches_and_executes(up: Mesh, namespace: str) -> None:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        str(up.state / "kubeconfig"), client_configuration=configuration, persist_config=False
    )
    async with kubernetes_asyncio.client.ApiClient(configuration) as client:
        core = kubernetes_asyncio.client.CoreV1Api(client)
        await core.create_namespaced_config_map(namespace, BODY)
        listed = await core.list_namespaced_config_map(namespace, label_selector="of=clients")
        assert len(listed.items) == 1
        await core.patch_namespaced_config_map("c", namespace, {"data": {"b": "2"}})
        async with kubernetes_asyncio.watch.Watch() as watch:
            async for event in watch.stream(
                core.list_namespaced_config_map, namespace, label_selector="of=clients", timeout_seconds=120
            ):
                assert (event["type"], event["object"].data) == ("ADDED", {"a": "1", "b": "2"})
                break
    async with kubernetes_asyncio.stream.WsApiClient(configuration) as client:
        said = await kubernetes_asyncio.client.CoreV1Api(client).connect_get_namespaced_pod_exec(
            "box", "default", command=HELLO, stdout=True, stderr=True, stdin=False, tty=False
        )
        assert sorted(said.split()) == ["hello", "oops"]


async def test_kr8s_lists_watches_patches_and_executes(up: Mesh, namespace: str) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(up.state / "kubeconfig"))
    made = await kr8s.asyncio.objects.ConfigMap(
        {**BODY, "metadata": {**BODY["metadata"], "namespace": namespace}}, api=api
    )
    await made.create()
    found = [each async for each in api.get("configmaps", namespace=namespace, label_selector="of=clients")]
    assert [each.data for each in found] == [{"a": "1"}]
    await made.patch({"data": {"b": "2"}})
    async with asyncio.timeout(60):
        async for kind, each in api.watch("configmaps", namespace=namespace, label_selector="of=clients"):
            assert (kind, dict(each.data)) == ("ADDED", {"a": "1", "b": "2"})
            break
    pod = await kr8s.asyncio.objects.Pod.get("box", namespace="default", api=api)
    done = await pod.exec(HELLO)
    assert (done.stdout, done.stderr) == (b"hello\n", b"oops\n")


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    "values.yaml": "replicas: 1\nword: one\n",
    "templates/all.yaml": """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: "{{ .Release.Name }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {word: "{{ .Values.word }}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}", labels: {app: small}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: small}}
  template:
    metadata: {labels: {app: small}, annotations: {word: "{{ .Values.word }}"}}
    spec:
      serviceAccountName: "{{ .Release.Name }}"
      containers:
      - {name: c, image: "debian", command: ["sleep", "100000"], env: [{name: WORD, value: "{{ .Values.word }}"}]}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: small}, ports: [{name: http, port: 80}]}
""",
}


def helm_program() -> str | None:
    """The helm of this machine, or the one that the tests' set-up has put beside Python."""
    return shutil.which("helm") or shutil.which("helm", path=str(Path(sys.executable).parent))


def test_helm_installs_upgrades_rolls_back_and_uninstalls(up: Mesh, namespace: str, tmp_path: Path, lacking) -> None:
    if (helm := helm_program()) is None:
        lacking("no helm is installed")
    for name, text in CHART.items():
        file = tmp_path / "small" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(*arguments: str) -> str:
        command = [helm, *arguments, "--namespace", namespace]
        done = subprocess.run(command, capture_output=True, text=True, env=up.environment, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def words() -> tuple[str, int]:
        deployment = up.get("deployment", "-n", namespace, "demo")
        return up.get("configmap", "-n", namespace, "demo")["data"]["word"], deployment["status"].get(
            "readyReplicas", 0
        )

    chart = str(tmp_path / "small")
    run("install", "demo", chart, "--wait", "--timeout", "180s")
    assert words() == ("one", 1)
    # Afterwards pods of before may still be counted, and be there, for a moment.
    run("upgrade", "demo", chart, "--set", "word=two,replicas=2", "--wait", "--timeout", "180s")
    until("two of the second", lambda: words() == ("two", 2))
    run("rollback", "demo", "1", "--wait", "--timeout", "180s")
    until("one of the first", lambda: words() == ("one", 1))
    assert [each["revision"] for each in json.loads(run("history", "demo", "-o", "json"))] == [1, 2, 3]
    run("uninstall", "demo", "--wait", "--timeout", "180s")
    left = "deployments,services,configmaps,serviceaccounts,pods"
    until("nothing is left", lambda: "demo" not in up.kubectl("get", left, "-n", namespace, "-o", "name").stdout)
